// JSON from outside, and canonical JSON (appendices, "Canonical JSON").
import canonicalPackage from "canonical-json";
import { expect } from "chai";
import fc from "fast-check";
import { MatrixError } from "../../src/errors.js";
import { canonicalJson } from "../../src/protocol/canonical-json.js";
import { type JsonValue, jsonText, type ParseOptions, parseJson, plainJson } from "../../src/protocol/json.js";

function errcode(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof MatrixError) return error.errcode;
    throw error;
  }
  return "nothing thrown";
}
const parseError = (input: string | Uint8Array, options?: ParseOptions): string => errcode(() => parseJson(input, options));

describe("parseJson", () => {
  it("refuses what is not one JSON value in UTF-8", () => {
    for (const text of ["", "{", "{} x", "{}{}", "\ufeff{}", "{'a':1}", '{"a":1,}', "NaN", "01", '"\u0001"', "[1,]"]) {
      expect(parseError(text), text).to.equal("M_NOT_JSON");
    }
    expect(parseError(Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]))).to.equal("M_NOT_JSON");
    expect(parseError(Buffer.from([0x22, 0xff, 0x22]))).to.equal("M_NOT_JSON");
    expect(parseError(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), "surrogate in UTF-8").to.equal("M_NOT_JSON");
    expect(parseJson(Buffer.from('{"a":"é"}'))).to.deep.equal({ a: "é" });
  });

  it("refuses duplicate keys, also when escapes hide them", () => {
    expect(parseError('{"a":1,"a":2}')).to.equal("M_NOT_JSON");
    expect(parseError('[{"b":{"a":1,"\\u0061":2}}]')).to.equal("M_NOT_JSON");
    expect(parseJson('{"a":{"a":[{"a":"\\":"}]},"b":":"}')).to.deep.equal({ a: { a: [{ a: '":' }] }, b: ":" });
  });

  it("bounds depth and size, and survives without a bound", () => {
    expect(parseError("[".repeat(101) + "]".repeat(101), { maxDepth: 100 })).to.equal("M_BAD_JSON");
    expect(parseJson("[".repeat(100) + "]".repeat(100), { maxDepth: 100 })).to.be.an("array");
    expect(parseError('"aaaa"', { maxBytes: 5 })).to.equal("M_TOO_LARGE");
    const deep = `${'{"a":['.repeat(16_000)}1${"]}".repeat(16_000)}`;
    expect(canonicalJson(parseJson(deep))).to.equal(deep);
    expect(canonicalJson(parseJson(deep.replace("1", "1.50"), { numbers: "lexemes" }), { lexemes: true })).to.equal(
      deep.replace("1", "1.5"),
    );
  });

  it("refuses halves of characters where that is asked for", () => {
    for (const text of ['"\\ud83d"', '{"a":["\\ude00\\ud83d"]}', '{"\\uD800":1}', '"\\\\\\ud800"']) {
      expect(() => parseJson(text, { wholeCharacters: true }), text).to.throw("surrogate");
      expect(() => parseJson(text), text).to.not.throw();
    }
    for (const text of ['"\\ud83d\\ude00"', '"\\\\ud800"', '"\\uFFFD"']) expect(() => parseJson(text, { wholeCharacters: true }), text).to.not.throw();
  });

  it("writes what is as deep as one likes, and bounds what is no event", () => {
    const deep = (levels: number): string => `${'{"a":['.repeat(levels)}1.5${"]}".repeat(levels)}`;
    for (const text of [deep(3), deep(20_000), '{"__proto__":[null,true,"x",[],{}]}']) expect(jsonText(parseJson(text))).to.equal(text);
    expect(jsonText([parseJson(deep(20_000)), { left: undefined, out: undefined }, undefined]).endsWith("},{},null]")).to.equal(true);
    const lexemes = (text: string): JsonValue => parseJson(text, { numbers: "lexemes" });
    expect(plainJson(lexemes(deep(2)), 4)).to.deep.equal({ a: [{ a: [1.5] }] });
    expect(plainJson(lexemes(deep(2)), 3)).to.equal(undefined);
    expect(plainJson(lexemes(deep(20_000)), 100)).to.equal(undefined);
    expect(plainJson(lexemes("[1e400]"), 100)).to.equal(undefined);
    expect(Object.keys(plainJson(lexemes('{"__proto__":1.0}'), 100) as object)).to.deep.equal(["__proto__"]);
  });

  it("keeps dangerous keys as data", () => {
    const value = parseJson('{"__proto__":{"x":1},"constructor":1,"toString":{"__proto__":null}}');
    expect(Object.keys(value ?? {})).to.deep.equal(["__proto__", "constructor", "toString"]);
    expect(canonicalJson(value)).to.equal('{"__proto__":{"x":1},"constructor":1,"toString":{"__proto__":null}}');
    expect(({} as { x?: number }).x).to.equal(undefined);
    const lexemes = parseJson('{"__proto__":{"x":1.5}}', { numbers: "lexemes" });
    expect(canonicalJson(lexemes, { lexemes: true })).to.equal('{"__proto__":{"x":1.5}}');
  });

  it("reads escaped keys as what they are, whatever was read before", () => {
    parseJson('{"a":1,"\\\\":2}');
    expect(parseJson('{"a":1,"\\u007f":2,"\\n" : [{"\\u0062":true}]}')).to.deep.equal({ a: 1, "\u007f": 2, "\n": [{ b: true }] });
    expect(() => parseJson('{"a":1,"\\u0061":2}')).to.throw(MatrixError);
  });

  it("knows integers from other numbers", () => {
    for (const number of ["1.0", "1e2", "1E2", "9007199254740992", "-9007199254740992", "0.5", "1e400", "123456789012345678", "-0", "-0.0", "0E1", "-1e-2"]) {
      expect(parseError(`{"a":[${number}]}`, { numbers: "integers" }), number).to.equal("M_BAD_JSON");
    }
    expect(
      parseJson('["1.0",9007199254740991,-9007199254740991,0,-1,1234567890123456,"-0 1e2",{"-0":"\\\"1.5"}]', { numbers: "integers" }),
    ).to.deep.equal(["1.0", 9007199254740991, -9007199254740991, 0, -1, 1234567890123456, "-0 1e2", { "-0": '"1.5' }]);
  });
});

describe("canonicalJson", () => {
  it("the examples of the specification", () => {
    const examples: readonly (readonly [string, string])[] = [
      ["{}", "{}"],
      ['{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'],
      ['{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'],
      [
        '{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}',
        '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}',
      ],
      ['{"a":"日本語"}', '{"a":"日本語"}'],
      ['{"本": 2, "日": 1}', '{"日":1,"本":2}'],
      ['{"a":"\\u65E5"}', '{"a":"日"}'],
      ['{"a":null}', '{"a":null}'],
      ['{"a":-0,"b":1}', '{"a":0,"b":1}'],
    ];
    for (const [input, output] of examples) expect(canonicalJson(parseJson(input))).to.equal(output);
  });

  it("orders keys by code point, not by UTF-16 unit, integers like others", () => {
    expect(canonicalJson({ "\u{10000}": 1, "\uffff": 2, "\ud7ff": 3, a: 4 })).to.equal('{"a":4,"\ud7ff":3,"\uffff":2,"\u{10000}":1}');
    expect(canonicalJson({ "10": 1, "9": 2, "09": 3 })).to.equal('{"09":3,"10":1,"9":2}');
    expect(canonicalJson({ "a\u{10000}": 1, "a\u{10000}b": 2, "a": 3 })).to.equal('{"a":3,"a\u{10000}":1,"a\u{10000}b":2}');
  });

  it("escapes as little as JSON allows", () => {
    expect(canonicalJson('\u0000\b\t\n\f\r\u001f"\\/\u007f\u2028')).to.equal('"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/\u007f\u2028"');
  });

  it("refuses floats, numbers out of range and lone surrogates", () => {
    const bad: readonly JsonValue[] = [1.5, 2 ** 53, -(2 ** 53), NaN, Infinity, "\ud800", { "\udc00": 1 }, ["a\ud83d"]];
    for (const value of bad) expect(errcode(() => canonicalJson(value)), JSON.stringify(value)).to.equal("M_BAD_JSON");
    expect(canonicalJson("\u{1f600}")).to.equal('"\u{1f600}"');
    expect(errcode(() => canonicalJson(parseJson("1.0", { numbers: "lexemes" })))).to.equal("M_BAD_JSON");
  });

  it("writes the numbers of room versions 1 to 5 as their servers sign them", () => {
    const numbers: readonly (readonly [string, string])[] = [
      ["1.0", "1.0"],
      ["1e3", "1000.0"],
      ["50.57", "50.57"],
      ["1.10", "1.1"],
      ["-0", "0"],
      ["-0.0", "-0.0"],
      ["12345678901234567890", "12345678901234567890"],
      ["1e16", "1e+16"],
      ["123456789012345680.0", "1.2345678901234568e+17"],
      ["1e15", "1000000000000000.0"],
      ["0.0001", "0.0001"],
      ["0.00001234", "1.234e-05"],
      ["5e-324", "5e-324"],
      ["5.114698E4", "51146.98"],
      ["-1.5e-7", "-1.5e-07"],
    ];
    for (const [input, output] of numbers) {
      const value = parseJson(`{"a":${input}}`, { numbers: "lexemes" });
      expect(canonicalJson(value, { lexemes: true }), input).to.equal(`{"a":${output}}`);
    }
    expect(errcode(() => canonicalJson(parseJson("1e400", { numbers: "lexemes" }), { lexemes: true }))).to.equal("M_BAD_JSON");
  });

  const text = fc.string({ unit: "grapheme" });
  const json = fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger(),
      text,
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(text, tie("value"), { maxKeys: 5 }),
    ),
  })).value;

  it("round trip: parsing the canonical text gives the value, and its canonical text is the same", () => {
    fc.assert(
      fc.property(json, (value) => {
        const canonical = canonicalJson(value);
        const again = parseJson(canonical);
        expect(canonicalJson(again)).to.equal(canonical);
        expect(again).to.deep.equal(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("agrees with the canonical-json package where the two standards agree", () => {
    const ascii = fc.stringMatching(/^[a-z][a-z0-9_]{0,6}$/);
    const simple = fc.dictionary(ascii, fc.oneof(fc.integer(), fc.boolean(), ascii, fc.array(fc.integer())));
    fc.assert(fc.property(simple, (value) => canonicalJson(value) === canonicalPackage(value)));
  });
});
