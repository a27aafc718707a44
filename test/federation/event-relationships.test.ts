// Trees of events across servers (MSC2836).
import { createHash } from "node:crypto";
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import type { Answer, TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("trees of events", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  let serial = 0;
  before(async () => {
    [one, two, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    for (const server of [one, two]) expect((await fsck(server.database)).problems).to.deep.equal([]);
    await Promise.all([one, two, peer].map((server) => server[Symbol.asyncDispose]()));
  });

  const newRoom = async (more: JsonObject = {}): Promise<string> =>
    stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11", ...more })).body, "room_id") ?? "";
  async function say(room: string, parent?: string): Promise<string> {
    const content = { msgtype: "m.text", body: "x", ...(parent !== undefined && { "m.relationship": { rel_type: "m.reference", event_id: parent } }) };
    return stringAt((await alice.put(`${V3}/rooms/${room}/send/m.room.message/${++serial}`, content)).body, "event_id") ?? "";
  }
  const ask = (client: TestClient, body: JsonObject): Promise<Answer> => client.post("/_matrix/client/unstable/event_relationships", body);
  const ids = ({ body }: Answer): unknown[] => objectsAt(body, "events").map((event) => event["event_id"]);
  const hash = (children: string[]): string => createHash("sha256").update(children.toSorted().join("")).digest("base64").replace(/=+$/, "");

  it("are walked up and down, by depth or by breadth, in pages", async () => {
    const room = await newRoom();
    const a = await say(room);
    const [b, c] = [await say(room, a), await say(room, a)];
    const [d, e] = [await say(room, b), await say(room, c)];
    expect(ids(await ask(alice, { event_id: a }))).to.deep.equal([a, c, b, e, d]);
    expect(ids(await ask(alice, { event_id: a, recent_first: false }))).to.deep.equal([a, b, c, d, e]);
    expect(ids(await ask(alice, { event_id: a, recent_first: false, depth_first: true }))).to.deep.equal([a, b, d, c, e]);
    expect(ids(await ask(alice, { event_id: a, max_depth: 1, max_breadth: 1 }))).to.deep.equal([a, c]);
    expect(ids(await ask(alice, { event_id: d, direction: "up" }))).to.deep.equal([d, b, a]);
    expect(ids(await ask(alice, { event_id: b, direction: "up", include_children: true }))).to.deep.equal([b, a, d]);
    expect(ids(await ask(alice, { event_id: c, include_parent: true }))).to.deep.equal([c, a, e]);
    const first = await ask(alice, { event_id: a, limit: 3 });
    expect([ids(first), first.body["limited"], first.body["next_batch"]]).to.deep.equal([[a, c, b], true, "3"]);
    const last = await ask(alice, { event_id: a, limit: 3, batch: "3" });
    expect([ids(last), last.body["limited"]]).to.deep.equal([[e, d], false]);
    const [root] = objectsAt(first.body, "events");
    expect(objectAt(root, "unsigned")).to.include({ children_hash: hash([b, c]) });
    expect(objectAt(root, "unsigned", "children")).to.deep.equal({ "m.reference": 2 });
    await alice.put(`${V3}/rooms/${room}/redact/${encodeURIComponent(c)}/r${++serial}`, {});
    expect(ids(await ask(alice, { event_id: a }))).to.deep.equal([a, b, d]);
  });

  it("are shown to nobody who may not see their events", async () => {
    const room = await newRoom({ preset: "private_chat" });
    const a = await say(room);
    const carol = await one.register("carol");
    for (const body of [{ event_id: a }, { event_id: a, room_id: room }, { event_id: "$unknown", room_id: room }, { event_id: "$unknown" }]) {
      const refused = await ask(carol, body);
      expect([refused.status, refused.body["errcode"]]).to.deep.equal([404, "M_NOT_FOUND"]);
    }
    expect((await ask(carol, { event_id: 7 })).body["errcode"]).to.equal("M_BAD_JSON");
    const uri = "/_matrix/federation/unstable/event_relationships";
    const stranger = await peer.request(one.federationUrl, one.name, "POST", uri, { event_id: a });
    expect([stranger.status, stranger.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("are completed by the other servers of the room", async () => {
    const room = await newRoom();
    const a = await say(room);
    const b = await say(room, a);
    const [c, d] = [await say(room, b), await say(room, b)];
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?server_name=${one.name}`)).status).to.equal(200);
    const first = await ask(bob, { event_id: d, room_id: room, direction: "down", include_parent: true });
    expect([ids(first), first.body["limited"]]).to.deep.equal([[d, b], false]);
    expect(objectAt(objectsAt(first.body, "events")[1], "unsigned")).to.include({ children_hash: hash([c, d]) });
    const second = await ask(bob, { event_id: b, room_id: room, include_parent: true, recent_first: false });
    expect(ids(second)).to.deep.equal([b, a, c, d]);
    expect(objectAt(objectsAt(second.body, "events")[1], "unsigned")).to.include({ children_hash: hash([b]) });
    // What was fetched so is no part of the room's history until its place is known.
    expect((await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=20`)).status).to.equal(200);
    expect(ids(await ask(bob, { event_id: a, recent_first: false }))).to.deep.equal([a, b, c, d]);
  });

  it("are not believed what is not sound, and hidden where the room hides its past", async () => {
    const room = await newRoom();
    const at = await joinAsPeer(peer, one, room);
    const relating = (parent: string): JsonObject => ({ msgtype: "m.text", body: "x", "m.relationship": { rel_type: "m.reference", event_id: parent } });
    const hidden = at.event();
    const kept = at.event({ content: relating(hidden.id) as never });
    const sent = at.event({ content: relating(kept.id) as never });
    await at.send([sent.wire]);
    const path = "/_matrix/federation/unstable/event_relationships";
    const forged = { ...kept.wire, content: { body: "forged" } };
    peer.answer(path, () => ({ status: 200, body: { events: [{ ...kept.wire, signatures: {} }, 7, null], auth_chain: [{}], limited: false } }));
    expect(ids(await ask(alice, { event_id: sent.id, direction: "up" }))).to.deep.equal([sent.id]);
    peer.answer(path, () => ({ status: 200, body: { events: [kept.wire, forged], auth_chain: [], limited: false } }));
    expect(ids(await ask(alice, { event_id: sent.id, direction: "up" }))).to.deep.equal([sent.id, kept.id]);
    await alice.put(`${V3}/rooms/${room}/state/m.room.history_visibility`, { history_visibility: "joined" });
    expect(ids(await ask(alice, { event_id: sent.id, direction: "up" }))).to.deep.equal([sent.id]);
  });
});
