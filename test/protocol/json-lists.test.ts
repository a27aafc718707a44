// Long lists taken apart while their bytes come.
import { expect } from "chai";
import fc from "fast-check";
import { ListSplitter } from "../../src/protocol/json-lists.js";

/** What comes of a text in pieces of some sizes. */
function split(text: string, sizes: readonly number[], names = ["state", "chain"]): { found: [string, string][]; rest: string } {
  const splitter = new ListSplitter(names);
  const bytes = Buffer.from(text);
  const found: [string, string][] = [];
  for (let start = 0, turn = 0; start < bytes.length; turn += 1) {
    const end = start + (sizes[turn % sizes.length] ?? 1);
    for (const { list, bytes: element } of splitter.push(bytes.subarray(start, end))) found.push([list, Buffer.from(element).toString()]);
    start = end;
  }
  return { found, rest: Buffer.from(splitter.rest()).toString() };
}

describe("ListSplitter", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

  it("gives the elements of its lists and the rest, whatever the pieces", () => {
    const lists = fc.record({ state: fc.array(fc.jsonValue()), other: fc.jsonValue(), chain: fc.array(fc.jsonValue()) });
    fc.assert(
      fc.property(lists, sizes, fc.boolean(), fc.constantFrom(undefined, 2), (given, pieces, isListed, space) => {
        const text = JSON.stringify(isListed ? [200, given] : given, undefined, space);
        const { found, rest } = split(text, pieces);
        const of = (name: string): unknown[] => found.flatMap(([list, element]) => (list === name ? [JSON.parse(element) as unknown] : []));
        const plain = JSON.parse(text) as unknown;
        const object = (isListed ? (plain as unknown[])[1] : plain) as typeof given;
        expect(of("state")).to.deep.equal(object.state);
        expect(of("chain")).to.deep.equal(object.chain);
        const empty = { ...object, state: [], chain: [] };
        expect(JSON.parse(rest)).to.deep.equal(isListed ? [200, empty] : empty);
      }),
    );
  });

  it("leaves lists of the same name elsewhere, and what is not at the top", () => {
    const text = '{"event": {"state": [1, 2]}, "chain": {"state": [3]}, "x": "state", "y": ["a"], "state": [{"state": [4, "]"]}]}';
    expect(split(text, [3])).to.deep.equal({
      found: [["state", '{"state": [4, "]"]}']],
      rest: '{"event": {"state": [1, 2]}, "chain": {"state": [3]}, "x": "state", "y": ["a"], "state": []}',
    });
  });

  it("makes nothing sound of what is not", () => {
    expect(split('{"state": [1,,]}', [4]).found.map(([, element]) => element)).to.deep.equal(["1", ""]);
    for (const text of ['{"state": [1, 2', '{"state": [1', '{"state": [', '{"state": [1]', '{"state": [1]]}', '{"state": [}]}']) {
      expect(() => JSON.parse(split(text, [5]).rest) as unknown, text).to.throw(SyntaxError);
    }
    expect(split('{"state": [], "state": [1]}', [100])).to.deep.equal({ found: [["state", "1"]], rest: '{"state": [], "state": []}' });
  });

  it("lets go of an element that is longer than any sensible one", () => {
    const { found, rest } = split(`{"state": ["${"x".repeat(2_000_000)}", 7]}`, [64_000]);
    expect(found.map(([, element]) => element.trim())).to.deep.equal(["", "7"]);
    expect(rest).to.equal('{"state": []}');
  });
});
