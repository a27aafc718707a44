// Events of every room version: building, parsing, hashes, ids, redaction, signatures.
import { expect } from "chai";
import fc from "fast-check";
import { MatrixError } from "../../src/errors.js";
import { isState, type RoomEvent, storedEvent } from "../../src/protocol/event.js";
import {
  buildEvent,
  cosignEvent,
  type EventDraft,
  isSignedBy,
  isSignedByAsync,
  type ParsedEvent,
  parseEvent,
  redactEvent,
  referenceHashOf,
  requiredSigners,
  signingKeyIds,
  wireForm,
} from "../../src/protocol/event-format.js";
import { parseEventId, parseRoomId, parseServerName, parseUserId } from "../../src/protocol/identifiers.js";
import { isObject, type JsonObject, own, parseJson } from "../../src/protocol/json.js";
import { redact, redactContent } from "../../src/protocol/redaction.js";
import { roomVersion, roomVersions, type RoomVersion, V1, V10, V11, V12, V3, V4, V5, V6, V8, V9 } from "../../src/protocol/room-version.js";
import { signingKey } from "../../src/protocol/signing.js";

/** Fails the test where a fixture is not what it must be. */
function sure<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the fixture is sound");
  return value;
}

const server = sure(parseServerName("example.org"));
const other = sure(parseServerName("other.example"));
const key = signingKey("ed25519:a", Buffer.alloc(32, 1));
const otherKey = signingKey("ed25519:b", Buffer.alloc(32, 2));
const alice = sure(parseUserId("@alice:example.org"));
const room = sure(parseRoomId("!room:example.org"));
const first = sure(parseEventId("$first:example.org"));

function draft(version: RoomVersion, extra: Partial<EventDraft> = {}): EventDraft {
  return {
    room_id: room,
    type: "m.room.message",
    sender: alice,
    content: { body: "hello", msgtype: "m.text" },
    origin_server_ts: 1_700_000_000_000,
    depth: 7,
    prev_events: [first],
    auth_events: [first],
    ...(version.eventIds === "chosen" && { event_id: sure(parseEventId("$own:example.org")) }),
    ...extra,
  };
}
const build = (version: RoomVersion, extra: Partial<EventDraft> = {}): RoomEvent =>
  buildEvent(version, draft(version, extra), server, key);
const sound = (version: RoomVersion, json: JsonObject): ParsedEvent => {
  const result = parseEvent(version, json);
  if ("malformed" in result) throw new Error(result.malformed);
  return result;
};
const parsed = (version: RoomVersion, json: JsonObject): RoomEvent => sound(version, json).event;

describe("event format", () => {
  it("a built event comes back from the wire and from storage as it was, in every room version", async () => {
    for (const version of roomVersions()) {
      const event = build(version);
      const wire = wireForm(version, event);
      const result = sound(version, { ...wire, unsigned: { age: 5 } });
      expect(result).to.deep.include({ event, redacted: false });
      expect(storedEvent(version, event.event_id, event.json)).to.deep.equal(event);
      expect(requiredSigners(version, event)).to.deep.equal([server]);
      expect(isSignedBy(result, server, new Map([[key.id, key.publicKey]]))).to.equal(true);
      expect(await isSignedByAsync(result, server, new Map([[key.id, otherKey.publicKey]]))).to.equal(false);
      expect(isSignedBy(result, server, new Map())).to.equal(false);
      expect(isSignedBy(result, other, new Map([[key.id, key.publicKey]]))).to.equal(false);
      expect(isState(event)).to.equal(false);
    }
    expect(roomVersions().map(({ id }) => id)).to.deep.equal(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "org.matrix.msc3757.10", "org.matrix.msc3757.11", "12"]);
    expect(roomVersion("13")).to.equal(undefined);
  });

  it("ids are chosen, base64 or URL-safe base64 of the reference hash", () => {
    expect(build(V1).event_id).to.equal("$own:example.org");
    const texts = Array.from({ length: 40 }, (_, index) => ({ content: { body: `${index}` } }));
    expect(texts.every((extra) => /^\$[A-Za-z0-9+/]{43}$/.test(build(V3, extra).event_id))).to.equal(true);
    expect(texts.some((extra) => /[+/]/.test(build(V3, extra).event_id))).to.equal(true);
    expect(texts.every((extra) => /^\$[A-Za-z0-9_-]{43}$/.test(build(V4, extra).event_id))).to.equal(true);
  });

  it("versions 1 and 2 carry pairs of id and hash", () => {
    const hash = referenceHashOf(V1, build(V1));
    const event = build(V1, { referenceHashes: new Map([[first, hash]]) });
    expect(wireForm(V1, event).prev_events).to.deep.equal([[first, { sha256: hash }]]);
    expect(event.prev_events).to.deep.equal([first]);
    expect(parseEvent(V1, { ...wireForm(V1, event), prev_events: [first] })).to.have.property("malformed");
    expect(parseEvent(V4, { ...wireForm(V4, build(V4)), prev_events: [[first, {}]] })).to.have.property("malformed");
  });

  it("version 12: the create event's id is the room's id and the event carries none", () => {
    const { room_id: _room, ...create } = draft(V12, { type: "m.room.create", state_key: "", content: { room_version: "12" } });
    const event = buildEvent(V12, create, server, key);
    expect(event.room_id).to.equal(`!${event.event_id.slice(1)}`);
    expect(wireForm(V12, event)).to.not.have.property("room_id");
    expect(parsed(V12, wireForm(V12, event))).to.deep.equal(event);
    expect(parseEvent(V12, { ...wireForm(V12, event), room_id: "!x" }), "rule 1.2").to.have.property("malformed");
    expect(parseEvent(V11, wireForm(V12, event))).to.have.property("malformed");
  });

  it("an event whose content hash does not match is redacted and keeps its id", () => {
    for (const version of roomVersions()) {
      const event = build(version);
      const result = parseEvent(version, { ...wireForm(version, event), content: { body: "forged" } });
      if ("malformed" in result) throw new Error(result.malformed);
      expect(result.redacted).to.equal(true);
      expect(result.event.content).to.deep.equal({});
      expect(result.event.event_id).to.equal(event.event_id);
      expect(result.event).to.deep.equal(redactEvent(version, event));
    }
  });

  it("a content hash may be padded or URL-safe", () => {
    const wire = wireForm(V11, build(V11));
    const { sha256 } = wire.hashes as { sha256: string };
    for (const hash of [`${sha256}=`, sha256.replaceAll("+", "-").replaceAll("/", "_")]) {
      expect(parseEvent(V11, { ...wire, hashes: { sha256: hash } }), hash).to.have.property("redacted", false);
    }
    expect(parseEvent(V11, { ...wire, hashes: { sha256: "!" } })).to.have.property("redacted", true);
  });

  it("up to version 10 types and state keys may have 255 characters, though none of ours has", () => {
    const long = { state_key: "\u{1f4a5}".repeat(70) };
    const wire = (version: RoomVersion): JsonObject => wireForm(version, build(version, { type: "m.room.name", state_key: "" }));
    expect(parseEvent(V10, { ...wire(V10), ...long })).to.have.nested.property("event.state_key", long.state_key);
    expect(parseEvent(V11, { ...wire(V11), ...long })).to.have.property("malformed");
    expect(parseEvent(V10, { ...wire(V10), state_key: "\u{1f4a5}".repeat(256) })).to.have.property("malformed");
    expect(() => build(V10, { type: "m.room.name", ...long })).to.throw("255 bytes");
  });

  it("what is no event is named malformed", () => {
    const wire = wireForm(V11, build(V11, { type: "m.room.name", state_key: "" }));
    const changes: readonly JsonObject[] = [
      { type: 1 },
      { type: "x".repeat(256) },
      { state_key: 1 },
      { state_key: "é".repeat(128) },
      { sender: "alice" },
      { sender: null },
      { content: [] },
      { content: "x" },
      { room_id: 1 },
      { room_id: "#a:b" },
      { room_id: `!${"a".repeat(255)}` },
      { origin_server_ts: "1" },
      { origin_server_ts: 1.5 },
      { depth: -1 },
      { depth: "7" },
      { depth: 2 ** 53 },
      { prev_events: {} },
      { prev_events: [1] },
      { prev_events: Array.from({ length: 21 }, () => first) },
      { auth_events: Array.from({ length: 11 }, () => first) },
      { auth_events: [null] },
      { hashes: {} },
      { hashes: { sha256: 1 } },
      { signatures: [] },
      { signatures: { a: "b" } },
      { extra: 0.5 },
      { extra: "\ud800" },
      { extra: "x".repeat(65_536) },
    ];
    for (const change of changes) {
      expect(parseEvent(V11, { ...wire, ...change }), JSON.stringify(change).slice(0, 60)).to.have.property("malformed");
    }
    for (const value of [null, [], "x", 1]) expect(parseEvent(V11, value)).to.have.property("malformed");
    expect(parseEvent(V1, { ...wireForm(V1, build(V1)), event_id: "$nodomain" })).to.have.property("malformed");
  });

  it("a draft that breaks the format is refused with the right error", () => {
    const errcode = (extra: Partial<EventDraft>): string => {
      try {
        build(V12, extra);
      } catch (error) {
        if (error instanceof MatrixError) return error.errcode;
      }
      return "none";
    };
    expect(errcode({ content: { body: "x".repeat(65_536) } })).to.equal("M_TOO_LARGE");
    expect(errcode({ content: { body: "\ud800" } })).to.equal("M_BAD_JSON");
    expect(errcode({ content: { n: 0.5 } })).to.equal("M_BAD_JSON");
    expect(errcode({ type: "x".repeat(256) })).to.equal("M_TOO_LARGE");
  });

  it("hostile nesting within the size limit is an event like others", () => {
    const event = build(V11);
    const deep = '{"a":'.repeat(9_000) + "1" + "}".repeat(9_000);
    const json = parseJson(event.json.replace('{"body":"hello","msgtype":"m.text"}', deep));
    const result = parseEvent(V11, json);
    expect(result).to.have.property("redacted", true);
  });

  it("versions 1 to 5 keep number lexemes, later ones refuse them", () => {
    for (const [version, kept] of [
      [V1, true],
      [V3, true],
      [V5, true],
      [V6, false],
      [V12, false],
    ] as const) {
      const text = build(version).json.replace('"body":"hello"', '"body":1.10,"big":12345678901234567890');
      const result = parseEvent(version, parseJson(text, { numbers: "lexemes" }));
      if (!kept) {
        expect(result).to.have.property("malformed");
        continue;
      }
      const json = parseJson(text, { numbers: "lexemes" });
      const content = isObject(json) ? own(json, "content") : undefined;
      const signed = build(version, { content: isObject(content) ? content : {} });
      const again = parsed(version, wireForm(version, signed));
      expect(signed.json).to.contain('"big":12345678901234567890,"body":1.1,');
      expect(again.json).to.equal(signed.json);
      expect(again.event_id).to.equal(signed.event_id);
      expect(again.content).to.deep.equal({ big: Number("12345678901234567890"), body: 1.1, msgtype: "m.text" });
    }
  });

  it("invites and restricted joins name who must sign, and can be signed twice", async () => {
    const join = { membership: "join", join_authorised_via_users_server: "@bob:other.example" };
    const event = build(V10, { type: "m.room.member", state_key: alice, content: join });
    expect(requiredSigners(V10, event)).to.deep.equal([server, other]);
    expect(requiredSigners(V6, build(V6, { type: "m.room.member", state_key: alice, content: join }))).to.deep.equal([server]);
    const forged = build(V10, { type: "m.room.member", state_key: alice, content: { ...join, join_authorised_via_users_server: 1 } });
    expect(requiredSigners(V10, forged), "rule 4.2.1").to.equal(undefined);

    const signed = cosignEvent(V10, event, other, otherKey);
    expect(signed.event_id).to.equal(event.event_id);
    const cosigned = sound(V10, wireForm(V10, signed));
    expect(signingKeyIds(cosigned, other)).to.deep.equal([otherKey.id]);
    expect(isSignedBy(cosigned, server, new Map([[key.id, key.publicKey]]))).to.equal(true);
    expect(isSignedBy(cosigned, other, new Map([[otherKey.id, otherKey.publicKey]]))).to.equal(true);
    expect(cosigned.event).to.deep.equal(signed);

    const thirdParty = { membership: "invite", third_party_invite: {} };
    const invite = build(V10, { type: "m.room.member", state_key: alice, content: thirdParty });
    expect(requiredSigners(V10, invite)).to.deep.equal([]);
    const elsewhere = build(V1, { event_id: sure(parseEventId("$a:other.example")) });
    expect(requiredSigners(V1, elsewhere)).to.deep.equal([server, other]);
  });

  it("redactions name their target in the content from version 11 on", () => {
    const event = build(V11, { type: "m.room.redaction", content: { reason: "spam" }, redacts: first });
    expect(event.content).to.deep.equal({ reason: "spam", redacts: first });
    expect(event.redacts).to.equal(first);
    const old = build(V10, { type: "m.room.redaction", content: { reason: "spam" }, redacts: first });
    expect(old.content).to.deep.equal({ reason: "spam" });
    expect(wireForm(V10, old).redacts).to.equal(first);
    expect(redactEvent(V11, event).redacts).to.equal(first);
    expect(redactEvent(V10, old).redacts).to.equal(undefined);
  });
});

describe("redaction", () => {
  const content = {
    membership: "join",
    join_authorised_via_users_server: "@a:b",
    third_party_invite: { signed: { mxid: "@a:b" }, display_name: "A" },
    creator: "@a:b",
    room_version: "9",
    join_rule: "restricted",
    allow: [],
    ban: 1,
    events: {},
    events_default: 1,
    kick: 1,
    redact: 1,
    state_default: 1,
    users: {},
    users_default: 1,
    invite: 1,
    notifications: {},
    aliases: [],
    history_visibility: "shared",
    redacts: "$a",
    body: "x",
  };
  const kept = (version: RoomVersion, type: string): string => Object.keys(redactContent(version, type, content)).toSorted().join(" ");

  it("keeps of each type's content what the version keeps", () => {
    const levels = "ban events events_default kick redact state_default users users_default";
    const table: readonly (readonly [string, RoomVersion, string])[] = [
      ["m.room.member", V1, "membership"],
      ["m.room.member", V8, "membership"],
      ["m.room.member", V9, "join_authorised_via_users_server membership"],
      ["m.room.member", V11, "join_authorised_via_users_server membership third_party_invite"],
      ["m.room.create", V10, "creator"],
      ["m.room.create", V11, Object.keys(content).toSorted().join(" ")],
      ["m.room.join_rules", V6, "join_rule"],
      ["m.room.join_rules", V8, "allow join_rule"],
      ["m.room.power_levels", V10, levels],
      ["m.room.power_levels", V11, levels.replace("kick", "invite kick")],
      ["m.room.aliases", V5, "aliases"],
      ["m.room.aliases", V6, ""],
      ["m.room.history_visibility", V1, "history_visibility"],
      ["m.room.redaction", V10, ""],
      ["m.room.redaction", V11, "redacts"],
      ["m.room.message", V12, ""],
    ];
    for (const [type, version, keys] of table) expect(kept(version, type), `${type} ${version.id}`).to.equal(keys);
    expect(redactContent(V11, "m.room.member", content).third_party_invite).to.deep.equal({ signed: { mxid: "@a:b" } });
  });

  it("keeps the version's top-level keys", () => {
    const event = { type: "x", origin: "o", membership: "m", prev_state: [], depth: 1, age: 1, unsigned: {}, content: { a: 1 }, redacts: "$x" };
    expect(Object.keys(redact(V10, event)).toSorted()).to.deep.equal(["content", "depth", "membership", "origin", "prev_state", "type"]);
    expect(Object.keys(redact(V11, event)).toSorted()).to.deep.equal(["content", "depth", "type"]);
  });

  it("is idempotent, whatever the event", () => {
    const types = ["m.room.member", "m.room.create", "m.room.power_levels", "m.room.redaction", "m.room.aliases", "x"];
    const some = fc.subarray(Object.entries(content)).map((entries) => Object.fromEntries(entries) as JsonObject);
    fc.assert(
      fc.property(fc.constantFrom(...roomVersions()), fc.constantFrom(...types), some, some, (version, type, inside, beside) => {
        const once = redact(version, { ...beside, type, content: inside });
        expect(redact(version, once)).to.deep.equal(once);
      }),
    );
  });
});
