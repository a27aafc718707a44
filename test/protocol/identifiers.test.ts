// Identifier grammar (appendices, "Identifier Grammar").
import { expect } from "chai";
import {
  createEventIdOfRoom,
  isCompliantUserId,
  isStrictLocalpart,
  localpartOf,
  newUserId,
  parseEventId,
  parseRoomAlias,
  parseRoomId,
  parseServerName,
  parseUserId,
  roomIdOfCreateEvent,
  serverNameOf,
  splitServerName,
} from "../../src/protocol/identifiers.js";

function check(parse: (text: unknown) => string | undefined, good: readonly string[], bad: readonly unknown[]): void {
  for (const text of good) expect(parse(text), text).to.equal(text);
  for (const text of bad) expect(parse(text), String(text)).to.equal(undefined);
}

describe("identifiers", () => {
  it("server names: hosts, IPv4, IPv6, ports", () => {
    check(
      parseServerName,
      [
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
        "localhost",
        "MATRIX.ORG",
        "a-b.c",
        "a..b",
        "example.org.",
        "xn--bcher-kva.example",
      ],
      [
        "",
        ":80",
        "a:",
        "a:b",
        "a:123456",
        "a:65536",
        "a b",
        "a/b",
        "..",
        ".a",
        "-a",
        "256.1.1.1",
        "[1234]",
        "[::1",
        "::1",
        "a@b",
        "a%2fb",
        "bücher.example",
        "a\u0000",
        `${"a".repeat(256)}`,
        undefined,
        7,
      ],
    );
    expect(splitServerName("[::1]:8448")).to.deep.equal({ host: "[::1]", port: 8448 });
    expect(splitServerName("example.org")).to.deep.equal({ host: "example.org", port: undefined });
  });

  it("user ids: historical ones are read, new ones follow the strict grammar", () => {
    check(
      parseUserId,
      ["@a:b", "@Alice:example.org", "@:example.org", "@é/\u0001 x:example.org:8448", "@a:[::1]:1"],
      ["a:b", "@a", "@a:", "@a\u0000:b", "@\ud800:b", `@${"é".repeat(127)}:b`, "@a:b c", null, "#a:b"],
    );
    const server = parseServerName("example.org");
    if (server === undefined) throw new Error("example.org is a server name");
    expect(newUserId("alice+x/_=-.9", server)).to.equal("@alice+x/_=-.9:example.org");
    for (const localpart of ["", "Alice", "a b", "a:b", "é", "a".repeat(250)]) {
      expect(newUserId(localpart, server), localpart).to.equal(undefined);
    }
    expect(isStrictLocalpart("a\n")).to.equal(false);
    const [plain, empty, accent] = [parseUserId("@A!:b"), parseUserId("@:b"), parseUserId("@é:b")];
    expect([plain, empty, accent].map((id) => id && isCompliantUserId(id))).to.deep.equal([true, false, false]);
  });

  it("255 bytes, not characters", () => {
    expect(parseUserId(`@${"a".repeat(252)}:b`)).to.have.lengthOf(255);
    expect(parseUserId(`@${"a".repeat(253)}:b`)).to.equal(undefined);
    expect(parseRoomAlias(`#${"é".repeat(126)}:b`)).to.have.lengthOf(129);
    expect(parseRoomAlias(`#${"é".repeat(127)}:b`)).to.equal(undefined);
  });

  it("room and event ids with and without domain", () => {
    check(parseRoomId, ["!a:b", "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"], ["!", "a", "!a:", "!a\u0000", "$a:b"]);
    check(parseEventId, ["$a:b", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk"], ["$", "a", "$a:", "!a", {}]);
    check(parseRoomAlias, ["#a:b", "#:b", "#é b:b"], ["#a", "@a:b", "#a\u0000:b"]);
  });

  it("takes them apart", () => {
    const user = parseUserId("@a:b:80");
    const room = parseRoomId("!hash");
    const event = parseEventId("$hash");
    if (!user || !room || !event) throw new Error("sound ids");
    expect(localpartOf(user)).to.equal("a");
    expect(serverNameOf(user)).to.equal("b:80");
    expect(serverNameOf(room)).to.equal(undefined);
    expect(roomIdOfCreateEvent(event)).to.equal(room);
    expect(createEventIdOfRoom(room)).to.equal(event);
  });
});
