// Rooms whose history goes several ways at once.
import { expect } from "chai";
import type { EventDraft } from "../../src/protocol/event-format.js";
import type { EventId, UserId } from "../../src/protocol/identifiers.js";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("branches", () => {
  let server: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  before(async () => {
    [server, peer] = await Promise.all([startFederatingServer(), startPeer()]);
    alice = await server.register("alice");
  });
  after(async () => {
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    for (const part of [server, peer]) await part[Symbol.asyncDispose]();
  });

  const newRoom = async (): Promise<string> => stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
  async function ends(room: string): Promise<number> {
    const [row] = await server.database.read<{ ends: number }>({ name: "test_ends", text: "SELECT cardinality(extremities) AS ends FROM rooms WHERE room_id = $1" }, [room]);
    return Number(row?.ends);
  }
  const dummies = async (room: string): Promise<number> => {
    const { body } = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=100&filter=${encodeURIComponent('{"types":["org.matrix.dummy_event"]}')}`);
    return objectsAt(body, "chunk").length;
  };

  it("a few are left alone, too many are brought together", async () => {
    const room = await newRoom();
    const at = await joinAsPeer(peer, server, room);
    const send = async (): Promise<void> => void (await at.send(Array.from({ length: 45 }, () => at.event().wire)));
    await send();
    await eventually("all of it is there", async () => (await ends(room)) === 45);
    expect(await dummies(room)).to.equal(0);
    await send();
    await send();
    await eventually("they are few", async () => (await ends(room)) <= 10);
    expect(await dummies(room)).to.be.greaterThan(0);
    const said = await alice.put(`${V3}/rooms/${room}/send/m.room.message/after`, { msgtype: "m.text", body: "after" });
    expect(said.status).to.equal(200);
    expect(await ends(room)).to.equal(1);
  });

  it("that take state back tell it to clients, though no event of the timeline says so", async () => {
    const room = await newRoom();
    const at = await joinAsPeer(peer, server, room);
    const eve = `@eve:${peer.name}` as UserId;
    const set = (type: string, content: JsonObject): Promise<unknown> => alice.put(`${V3}/rooms/${room}/state/${type}`, content);
    const idOf = async (path: string): Promise<EventId> => {
      const { body } = await alice.get(`${V3}/rooms/${room}/state/${path}?format=event`);
      return (stringAt(body, "event_id") ?? "") as EventId;
    };
    await set("m.room.power_levels", { users: { [alice.user_id]: 100, [at.mallory]: 50, [eve]: 100 } });
    await set("m.room.topic", { topic: "first" });
    const [create, levels, rules, first] = await Promise.all(["m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.topic"].map(idOf));
    if (create === undefined || levels === undefined || rules === undefined || first === undefined) throw new Error("no state");
    const event = (change: Partial<EventDraft>): { readonly id: EventId; readonly wire: JsonObject } => at.event(change);
    const joined = event({ type: "m.room.member", sender: eve, state_key: eve, content: { membership: "join" }, prev_events: [first], auth_events: [create, levels, rules], depth: 20 });
    const second = event({ type: "m.room.topic", state_key: "", content: { topic: "second" }, prev_events: [joined.id], auth_events: [create, levels, at.join], depth: 21 });
    await at.send([joined.wire, second.wire] as never);
    expect(await idOf("m.room.topic")).to.equal(second.id);
    const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch") ?? "";
    // Who set the topic was banned meanwhile, so they did not set it.
    const ban = event({ type: "m.room.member", sender: eve, state_key: at.mallory, content: { membership: "ban" }, prev_events: [joined.id], auth_events: [create, levels, joined.id, at.join], depth: 21 });
    await at.send([ban.wire] as never);
    expect(await idOf("m.room.topic")).to.equal(first);
    for (const [query, section] of [["", "state"], ["&use_state_after=true", "state_after"]] as const) {
      const { body } = await alice.get(`${V3}/sync?since=${since}${query}`);
      const told = objectAt(body, "rooms", "join", room);
      const changes = objectsAt(told, section, "events");
      expect(changes.map(({ event_id }) => event_id)).to.include(first);
      expect(objectsAt(told, "timeline", "events").map(({ event_id }) => event_id)).to.deep.equal([ban.id]);
    }
  });

  it("that came in late stand where they belong, for a client that begins and for pages", async () => {
    const room = await newRoom();
    const at = await joinAsPeer(peer, server, room);
    const idsOf = (events: readonly JsonObject[]): (string | undefined)[] => events.map((event) => stringAt(event, "event_id"));
    const said: (string | undefined)[] = [];
    for (const word of ["one", "two", "three", "four"]) {
      said.push(stringAt((await alice.put(`${V3}/rooms/${room}/send/m.room.message/${word}`, { msgtype: "m.text", body: word })).body, "event_id"));
    }
    const { body: before } = await alice.get(`${V3}/sync`);
    const late = [at.event(), at.event(), at.event()];
    for (const { wire } of late) await at.send([wire]);
    const { body } = await alice.get(`${V3}/sync?filter=${encodeURIComponent('{"room":{"timeline":{"limit":2}}}')}`);
    const timeline = objectAt(body, "rooms", "join", room, "timeline");
    expect(idsOf(objectsAt(timeline, "events"))).to.deep.equal(said.slice(2));
    const { body: whole } = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=100`);
    const history = idsOf(objectsAt(whole, "chunk"));
    expect(history).to.include.members(late.map(({ id }) => id));
    const older = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=100&from=${stringAt(timeline, "prev_batch") ?? ""}`);
    expect(idsOf(objectsAt(older.body, "chunk")), "behind the first sync").to.deep.equal(history.slice(2));
    const all = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=100&from=${stringAt(body, "next_batch") ?? ""}`);
    expect(idsOf(objectsAt(all.body, "chunk")), "from where the sync ends").to.deep.equal(history);
    // One that goes on is told what arrived, in that order, and pages back to all the rest, each once.
    const five = stringAt((await alice.put(`${V3}/rooms/${room}/send/m.room.message/five`, { msgtype: "m.text", body: "five" })).body, "event_id");
    const filter = encodeURIComponent('{"room":{"timeline":{"limit":2}}}');
    const next = await alice.get(`${V3}/sync?filter=${filter}&since=${stringAt(before, "next_batch") ?? ""}`);
    const news = objectAt(next.body, "rooms", "join", room, "timeline");
    const shown = [late[2]?.id, five];
    expect(idsOf(objectsAt(news, "events"))).to.deep.equal(shown);
    const rest: (string | undefined)[] = [];
    for (let from = stringAt(news, "prev_batch"); from !== undefined; ) {
      const page = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=3&from=${from}`);
      rest.push(...idsOf(objectsAt(page.body, "chunk")));
      from = stringAt(page.body, "end");
    }
    expect(rest, "behind what arrived").to.deep.equal(history.filter((id) => !shown.includes(id)));
  });
});
