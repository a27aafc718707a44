// Globs, and what matches with them: server ACLs.
import { expect } from "chai";
import fc from "fast-check";
import { compileGlob, matchesWhole, matchesWords } from "../../src/protocol/glob.js";
import { parseServerName } from "../../src/protocol/identifiers.js";
import { aclAllows, compileServerAcl } from "../../src/protocol/server-acl.js";

const whole = (pattern: string, text: string): boolean => matchesWhole(compileGlob(pattern), text.toLowerCase());
const words = (pattern: string, text: string): boolean => matchesWords(compileGlob(pattern), text.toLowerCase());

describe("glob", () => {
  it("matches whole values", () => {
    for (const [pattern, text] of [
      ["lunc?*", "Lunch plans"],
      ["lunc?*", "LUNCH"],
      ["*", ""],
      ["", ""],
      ["a*b*c", "aXbXbc"],
      ["*a", "aaa"],
      ["a*a", "aa"],
      ["?", "😀"],
      ["a?c", "a😀c"],
      ["*?", "x"],
      ["a**b", "ab"],
      ["[a]", "[a]"],
    ] as const) {
      expect(whole(pattern, text), `${pattern} ${text}`).to.equal(true);
    }
    for (const [pattern, text] of [
      ["lunc?*", " lunch"],
      ["lunc?*", "lunc"],
      ["a*a", "a"],
      ["?", ""],
      ["?", "ab"],
      ["a", "ab"],
      ["b", "ab"],
      ["", "a"],
      ["a.c", "abc"],
      ["*ab", "abc"],
    ] as const) {
      expect(whole(pattern, text), `${pattern} ${text}`).to.equal(false);
    }
  });

  it("matches words", () => {
    for (const [pattern, text] of [
      ["ex*ple", "An example event."],
      ["ex*ple", "exple"],
      ["ex*ple", "An exciting triple-whammy"],
      ["cake", "cake"],
      ["cake", "a CAKE!"],
      ["cake", "cupcake cake"],
      ["@room", "hey @room!"],
      ["c?t", "the cat sat"],
      ["*", "anything"],
      ["日", "今日は"],
    ] as const) {
      expect(words(pattern, text), `${pattern} ${text}`).to.equal(true);
    }
    for (const [pattern, text] of [
      ["cake", "cupcake"],
      ["cake", "cakes"],
      ["cake", "_cake"],
      ["ex*ple", "examples"],
      ["c?t", "scat"],
    ] as const) {
      expect(words(pattern, text), `${pattern} ${text}`).to.equal(false);
    }
  });

  it("agrees with a regular expression on short input", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 6 });
    const texts = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
    fc.assert(
      fc.property(letters, texts, (pattern, text) => {
        const expression = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`, "s");
        return whole(pattern, text) === expression.test(text);
      }),
    );
  });

  it("stays linear on patterns that make expressions explode", () => {
    const started = performance.now();
    expect(whole("*a".repeat(50), `${"a".repeat(60_000)}b`)).to.equal(false);
    expect(whole(`${"a*".repeat(50)}b`, "a".repeat(60_000))).to.equal(false);
    expect(words("a?*".repeat(50), "a".repeat(60_000))).to.equal(true);
    expect(performance.now() - started).to.be.lessThan(10_000);
  });
});

describe("server ACL", () => {
  const allows = (content: Parameters<typeof compileServerAcl>[0], server: string): boolean => {
    const name = parseServerName(server);
    if (name === undefined) throw new Error(server);
    return aclAllows(compileServerAcl(content), name);
  };
  it("denies by default, deny wins over allow, ports and case do not count", () => {
    expect(allows({}, "a.example")).to.equal(false);
    expect(allows({ allow: ["*"] }, "a.example")).to.equal(true);
    expect(allows({ allow: ["*"], deny: ["*.EVIL.com", "evil.com"] }, "evil.com:8448")).to.equal(false);
    expect(allows({ allow: ["*"], deny: ["*.evil.com"] }, "x.EVIL.com")).to.equal(false);
    expect(allows({ allow: ["*"], deny: ["*.evil.com"] }, "evil.com")).to.equal(true);
    expect(allows({ allow: ["?.example"] }, "a.example:1")).to.equal(true);
    expect(allows({ allow: "*", deny: [1, null] }, "a.example")).to.equal(false);
  });
  it("tells IP literals", () => {
    for (const server of ["1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:8448"]) {
      expect(allows({ allow: ["*"], allow_ip_literals: false }, server), server).to.equal(false);
      expect(allows({ allow: ["*"], allow_ip_literals: "no" }, server), server).to.equal(true);
    }
    expect(allows({ allow: ["*"], allow_ip_literals: false }, "1.example")).to.equal(true);
  });
});
