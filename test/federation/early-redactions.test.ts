// Redactions that come before the events that they redact, and those that have no effect (room versions, "Handling redactions").
import { expect } from "chai";
import type { EventId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { fsck } from "../../src/storage/fsck.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer, type PeerRoom, resultOf } from "../support/peer-room.js";
import { roomOf, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("redactions from elsewhere", () => {
  let server: FederatingServer;
  let peer: Peer;
  let other: Peer;
  let alice: TestClient;
  before(async () => {
    [server, peer, other] = await Promise.all([startFederatingServer(), startPeer(), startPeer()]);
    alice = await server.register("alice");
  });
  after(async () => {
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    for (const part of [server, peer, other]) await part[Symbol.asyncDispose]();
  });

  async function contentOf(room: string, id: EventId): Promise<Readonly<Record<string, unknown>>> {
    const { status, body } = await alice.get(`${V3}/rooms/${room}/event/${encodeURIComponent(id)}`);
    expect(status, JSON.stringify(body)).to.equal(200);
    return objectAt(body, "content");
  }
  const redactionOf = (at: PeerRoom, id: EventId): ReturnType<PeerRoom["event"]> => {
    const redacts = { redacts: id };
    return at.event({ type: "m.room.redaction", content: at.version.redactsInContent ? redacts : {}, ...redacts });
  };
  const redaction = (at: PeerRoom, id: EventId): JsonObject => redactionOf(at, id).wire;

  for (const version of ["10", "11"]) {
    it(`take effect when the event comes, version ${version}`, async () => {
      const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: version })).body, "room_id") ?? "";
      const [at, beside] = [await joinAsPeer(peer, server, room), await joinAsPeer(other, server, room)];
      const [late, together, foreign, ours] = [at.event(), at.event(), at.event(), at.event()];
      await at.send([redaction(at, late.id)]);
      await beside.send([redaction(beside, foreign.id)]);
      expect((await alice.put(`${V3}/rooms/${room}/redact/${encodeURIComponent(ours.id)}/r`, {})).status).to.equal(200);
      await at.send([late.wire, redaction(at, together.id), together.wire, foreign.wire, ours.wire]);
      for (const { id } of [late, together, ours]) expect(await contentOf(room, id)).to.deep.equal({});
      // Who may not redact it did not.
      expect(await contentOf(room, foreign.id)).to.have.property("body");
      const { body } = await alice.get(`${V3}/rooms/${room}/event/${encodeURIComponent(late.id)}`);
      expect(objectAt(body, "unsigned", "redacted_because")).to.include({ type: "m.room.redaction" });
    });

    it(`are shown only when they take effect, version ${version}`, async () => {
      const room = await roomOf(alice, { preset: "public_chat", room_version: version });
      const at = await joinAsPeer(peer, server, room);
      const of = encodeURIComponent(room);
      const filter = encodeURIComponent(JSON.stringify({ room: { rooms: [room], timeline: { limit: 50 } } }));
      let since = stringAt((await alice.get(`${V3}/sync?filter=${filter}`)).body, "next_batch") ?? "";
      /** What a sync tells since the last one. */
      const told = async (): Promise<(string | undefined)[]> => {
        const { body } = await alice.get(`${V3}/sync?filter=${filter}&since=${since}`);
        since = stringAt(body, "next_batch") ?? "";
        return objectsAt(body, "rooms", "join", room, "timeline", "events").map((event) => stringAt(event, "event_id"));
      };
      const pages = async (): Promise<(string | undefined)[]> =>
        objectsAt((await alice.get(`${V3}/rooms/${of}/messages?dir=b&limit=100`)).body, "chunk").map((event) => stringAt(event, "event_id"));
      const said = stringAt((await alice.put(`${V3}/rooms/${of}/send/m.room.message/1`, { body: "mine", msgtype: "m.text" })).body, "event_id") as EventId;
      const [late, harmless] = [at.event(), redactionOf(at, said)];
      const [early, never] = [redactionOf(at, late.id), redactionOf(at, "$nothing" as EventId)];
      const last = at.event({ prev_events: [harmless.id, early.id, never.id] });
      expect(await told()).to.deep.equal([said]);
      for (const { id, wire } of [harmless, early, never, last]) expect(resultOf(await at.send([wire]), id)).to.equal("");
      expect(await told()).to.deep.equal([last.id]);
      for (const { id } of [harmless, early, never]) {
        expect(await pages()).to.not.include(id);
        expect((await alice.get(`${V3}/rooms/${of}/event/${encodeURIComponent(id)}`)).status).to.equal(404);
      }
      expect(await contentOf(room, said)).to.have.property("body");
      expect(resultOf(await at.send([late.wire]), late.id)).to.equal("");
      expect(await told()).to.deep.equal([late.id, early.id]);
      expect(await pages()).to.include.members([late.id, early.id]).and.not.include.members([harmless.id]).and.not.include.members([never.id]);
      // For other servers they are part of the room.
      const missing = { earliest_events: [at.join], latest_events: [last.id], limit: 20, min_depth: 0 };
      const { body } = await peer.request(server.federationUrl, server.name, "POST", `/_matrix/federation/v1/get_missing_events/${of}`, missing);
      expect(objectsAt(body, "events").filter(({ type }) => type === "m.room.redaction")).to.have.length(3);
    });
  }
});
