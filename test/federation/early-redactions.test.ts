// Redactions that come before the events that they redact (room versions, "Handling redactions").
import { expect } from "chai";
import type { EventId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { fsck } from "../../src/storage/fsck.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer, type PeerRoom } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("early redactions", () => {
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
  const redaction = (at: PeerRoom, id: EventId): JsonObject => {
    const redacts = { redacts: id };
    return at.event({ type: "m.room.redaction", content: at.version.redactsInContent ? redacts : {}, ...redacts }).wire;
  };

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
  }
});
