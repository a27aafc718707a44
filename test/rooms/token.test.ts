import { expect } from "chai";
import fc from "fast-check";
import { formatToken, parseToken } from "../../src/rooms/token.js";

describe("tokens", () => {
  const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

  it("come back as they were written", () => {
    fc.assert(
      fc.property(number, number, number, fc.option(number, { nil: undefined }), (a, b, c, d) => {
        const sync = { kind: "sync", epoch: a, position: b, ephemeral: c, ...(d !== undefined && { toDevice: d, sticky: { position: a, event_nid: d } }) } as const;
        const history = { kind: "history", depth: a, nid: b, position: c, ...(d !== undefined && { upTo: d }) } as const;
        expect(parseToken(formatToken(sync))).to.deep.equal(sync);
        expect(parseToken(formatToken(history))).to.deep.equal(history);
      }),
    );
  });

  it("anything else is no token", () => {
    for (const text of ["", "s1", "s1_2", "x1_2_3", "s1_2_3_4_5", "t1_2_3_4_5", "t1_2_3k1_2", "s1_2_3k1", "s-1_2_3", "s1_2_3 ", "t1_2_9007199254740993", "s1_2_3\n"]) {
      expect(parseToken(text), text).to.equal(undefined);
    }
    fc.assert(fc.property(fc.string(), (text) => parseToken(text) === undefined || /^[st]\d/.test(text)));
  });
});
