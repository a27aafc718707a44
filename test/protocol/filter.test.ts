// What clients see of events: filters, property paths, client format, history visibility.
import { expect } from "chai";
import { completeEvent, eventHead, memberText, strippedEvent } from "../../src/protocol/client-event.js";
import { isState } from "../../src/protocol/event.js";
import { buildEvent, type EventDraft, parseEvent } from "../../src/protocol/event-format.js";
import { compileEventFields, compileFilter, compileRooms, type Filterable, type RoomEventFilter } from "../../src/protocol/filter.js";
import { historyVisibilityIn, mayServerSee, mayUserSee, type Viewpoint } from "../../src/protocol/history-visibility.js";
import { parseEventId, parseRoomId, parseServerName, parseUserId } from "../../src/protocol/identifiers.js";
import { type JsonObject, parseJson } from "../../src/protocol/json.js";
import { parsePath } from "../../src/protocol/property-path.js";
import { type RoomVersion, V1, V10, V11, V12 } from "../../src/protocol/room-version.js";
import { signingKey } from "../../src/protocol/signing.js";

const event: Filterable = { type: "m.room.message", sender: "@a:b", room_id: "!r:b", content: { body: "x", url: "mxc://a/b", "m.relates_to": { rel_type: "m.thread" } } };
const passes = (filter: RoomEventFilter, changes: Partial<Filterable> = {}): boolean => compileFilter(filter)({ ...event, ...changes });

describe("filter", () => {
  it("includes, excludes, and excludes first", () => {
    expect(passes({})).to.equal(true);
    expect(passes({ types: ["m.room.message"] })).to.equal(true);
    expect(passes({ types: [] })).to.equal(false);
    expect(passes({ types: ["m.room.*"] })).to.equal(true);
    expect(passes({ types: ["*"], not_types: ["m.*.message"] })).to.equal(false);
    expect(passes({ types: ["m.room.message*message"] })).to.equal(false);
    expect(passes({ types: ["M.ROOM.MESSAGE", "m?room?message"] })).to.equal(false);
    expect(passes({ not_types: [] })).to.equal(true);
    expect(passes({ senders: ["@a:b"] })).to.equal(true);
    expect(passes({ senders: ["@a:b"], not_senders: ["@a:b"] })).to.equal(false);
    expect(passes({ senders: [] })).to.equal(false);
    expect(passes({ rooms: ["!r:b"], not_rooms: ["!s:b"] })).to.equal(true);
    expect(passes({ rooms: ["!s:b"] })).to.equal(false);
    expect(passes({ not_rooms: ["!r:b"] })).to.equal(false);
    expect(passes({ contains_url: true })).to.equal(true);
    expect(passes({ contains_url: false })).to.equal(false);
    expect(passes({ contains_url: false }, { content: {} })).to.equal(true);
    expect(passes({ rel_types: ["m.thread"] })).to.equal(true);
    expect(passes({ rel_types: ["m.replace"] })).to.equal(false);
    expect(passes({ not_rel_types: ["m.thread"] })).to.equal(false);
    expect(passes({ not_rel_types: ["m.thread"] }, { content: {} })).to.equal(true);
    expect(compileFilter({ senders: ["@a:b"] })({ type: "m.tag", content: {} })).to.equal(false);
    expect(["!a", "!b", "!c"].map(compileRooms({ rooms: ["!a", "!b"], not_rooms: ["!b"] }))).to.deep.equal([true, false, false]);
  });

  it("keeps only the fields asked for", () => {
    const full: JsonObject = { type: "x", content: { body: "b", "m.relates_to": { a: 1 }, other: 2 }, sender: "@a:b" };
    const keep = (...fields: string[]): JsonObject => compileEventFields(fields)(full);
    expect(keep("type", "content.body")).to.deep.equal({ type: "x", content: { body: "b" } });
    expect(keep("content.m\\.relates_to.a")).to.deep.equal({ content: { "m.relates_to": { a: 1 } } });
    expect(keep("content")).to.deep.equal({ content: full.content });
    expect(keep("content.missing", "type.x", "__proto__")).to.deep.equal({});
    expect(parsePath("a\\.b.c\\\\d.e\\x.")).to.deep.equal(["a.b", "c\\d", "e\\x", ""]);
  });
});

describe("client event", () => {
  const server = parseServerName("example.org");
  const sender = parseUserId("@a:example.org");
  const room_id = parseRoomId("!r:example.org");
  const first = parseEventId("$f:example.org");
  if (!server || !sender || !room_id || !first) throw new Error("the fixtures are sound");
  const key = signingKey("ed25519:a", Buffer.alloc(32, 1));
  const build = (version: RoomVersion, draft: Partial<EventDraft>): ReturnType<typeof buildEvent> =>
    buildEvent(version, { room_id, type: "m.room.message", sender, content: {}, origin_server_ts: 5, depth: 1, prev_events: [], auth_events: [], ...draft }, server, key);

  it("has what clients need and nothing of the federation", () => {
    const state = build(V12, { type: "m.room.name", state_key: "", content: { name: 'a "name", {with} [all]: \\' } });
    expect(JSON.parse(completeEvent(eventHead(V12, state, "client"), { roomId: room_id, unsigned: '{"age":7}' }))).to.deep.equal({
      type: "m.room.name",
      sender,
      content: state.content,
      state_key: "",
      origin_server_ts: 5,
      event_id: state.event_id,
      room_id,
      unsigned: { age: 7 },
    });
    expect(JSON.parse(completeEvent(eventHead(V12, state, "client"), {}))).to.not.have.any.keys("room_id", "unsigned");
    expect(JSON.parse(completeEvent(eventHead(V12, state, "federation"), { unsigned: "{}" }))).to.deep.equal({
      ...JSON.parse(state.json),
      event_id: state.event_id,
    });
    if (!isState(state)) throw new Error("a state event");
    expect(JSON.parse(strippedEvent(state))).to.deep.equal({ type: "m.room.name", state_key: "", sender, content: state.content });
  });

  it("names the target of a redaction in both places, in every room version", () => {
    for (const [version, content] of [
      [V10, {}],
      [V10, { reason: "r" }],
      [V11, {}],
      [V11, { reason: "r" }],
    ] as const) {
      const redaction = build(version, { type: "m.room.redaction", redacts: first, content });
      const seen: unknown = JSON.parse(completeEvent(eventHead(version, redaction, "client"), {}));
      expect(seen).to.deep.include({ redacts: first, content: { ...content, redacts: first } });
    }
  });

  it("keeps the text of content: numbers of old rooms, hostile depth", () => {
    const own = build(V1, { event_id: first, content: { a: 1 } });
    const text = own.json.replace('"content":{"a":1}', '"content":{"a":12345678901234567890}');
    expect(memberText(text, "content")).to.equal('{"a":12345678901234567890}');
    const deep = `{"a":${'{"b":['.repeat(4000)}1${"]}".repeat(4000)}}`;
    const hostile = parseEvent(V11, parseJson(build(V11, { content: { x: 1 } }).json.replace('{"x":1}', deep)));
    if ("malformed" in hostile) throw new Error(hostile.malformed);
    expect(eventHead(V11, { ...hostile.event, json: `{"content":${deep}}` }, "client")).to.contain(deep);
    expect(memberText('{"a":"\\"content\\":1","content":{"content":2},"z":[]}', "content")).to.equal('{"content":2}');
    expect(memberText('{"z":[1,{"content":2}]}', "content")).to.equal(undefined);
    expect(memberText('{"z":[1,2]}', "z")).to.equal("[1,2]");
  });
});

describe("history visibility", () => {
  const sees = (point: Partial<Viewpoint>): boolean => mayUserSee({ visibilities: ["joined"], memberships: [undefined], joinedSince: false, ...point });
  it("follows the five rules", () => {
    expect(sees({ visibilities: ["world_readable"] }), "1").to.equal(true);
    expect(sees({ memberships: ["join"] }), "2").to.equal(true);
    expect(sees({ visibilities: ["shared"], joinedSince: true }), "3").to.equal(true);
    expect(sees({ visibilities: ["shared"], memberships: ["leave"] }), "3, never joined since").to.equal(false);
    expect(sees({ visibilities: ["invited"], memberships: ["invite"] }), "4").to.equal(true);
    expect(sees({ visibilities: ["joined"], memberships: ["invite"] }), "5").to.equal(false);
    expect(sees({ visibilities: ["invited"], joinedSince: true }), "5").to.equal(false);
  });
  it("looks before and after changes of the visibility and of the user's own membership", () => {
    expect(sees({ visibilities: ["joined", "world_readable"] })).to.equal(true);
    expect(sees({ memberships: ["join", "leave"] })).to.equal(true);
    expect(sees({ memberships: ["invite", "join"] })).to.equal(true);
  });
  it("is shared where nothing sound is set", () => {
    expect([undefined, {}, { history_visibility: "x" }, { history_visibility: 1 }].map(historyVisibilityIn)).to.deep.equal(["shared", "shared", "shared", "shared"]);
    expect(historyVisibilityIn({ history_visibility: "joined" })).to.equal("joined");
  });
  it("servers see what one of their users may see", () => {
    expect(mayServerSee("shared", [])).to.equal(true);
    expect(mayServerSee("joined", ["leave", "join"])).to.equal(true);
    expect(mayServerSee("joined", ["invite", "ban"])).to.equal(false);
    expect(mayServerSee("invited", ["invite"])).to.equal(true);
    expect(mayServerSee("invited", ["knock", "leave"])).to.equal(false);
  });
});
