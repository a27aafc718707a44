// What other servers' events follow and we do not have (server-server API, "Backfilling and retrieving missing events").
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer, resultOf } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const V1 = "/_matrix/federation/v1";

describe("events whose predecessors are missing", () => {
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

  for (const given of [true, false]) {
    it(`beyond a gap are ${given ? "taken with" : "not taken without"} the state at the gap's other side, which is asked for once`, async () => {
      const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
      const at = await joinAsPeer(peer, server, room);
      const member = { type: "m.room.member", state_key: at.mallory, content: { membership: "join", displayname: "after" } };
      const [, ...levels] = at.auth;
      const rules = at.state.get("m.room.join_rules");
      const lost = at.event();
      const far = at.event({ ...member, prev_events: [lost.id], depth: 30, auth_events: [at.join, ...levels, ...(rules === undefined ? [] : [rules])] });
      const near = at.event({ prev_events: [far.id], depth: 31, auth_events: [far.id, ...levels] });
      const sent = at.event({ prev_events: [near.id], depth: 32, auth_events: [far.id, ...levels] });
      const pdus = (wire: object): { status: number; body: never } => ({ status: 200, body: { pdus: [wire] } as never });
      const missing = `${V1}/get_missing_events/${encodeURIComponent(room)}`;
      const states = `${V1}/state_ids/${encodeURIComponent(room)}`;
      peer.answer(missing, () => ({ status: 200, body: { events: [near.wire] } }));
      peer.answer(`${V1}/event/${encodeURIComponent(far.id)}`, () => (given ? pdus(far.wire) : { status: 404, body: {} }));
      peer.answer(states, () => ({ status: 200, body: { pdu_ids: [...at.state.values(), at.join], auth_chain_ids: [...at.state.values()] } }));
      const before = peer.asked.length;
      const answer = await at.send([sent.wire]);
      expect(resultOf(answer, sent.id)).to.equal("");
      const asked = peer.asked.slice(before);
      const asks = (path: string): string[] => asked.filter((line) => line.includes(path));
      expect(asks("get_missing_events")).to.have.length(1);
      expect(asks("state_ids").map((line) => line.endsWith(encodeURIComponent(far.id)))).to.deep.equal(given ? [true] : []);
      const { body } = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=3`);
      const shown = objectsAt(body, "chunk").map((event) => event["event_id"]);
      const name = (await alice.get(`${V3}/rooms/${room}/state/m.room.member/${at.mallory}`)).body["displayname"];
      if (given) expect([shown, name]).to.deep.equal([[sent.id, near.id, far.id], "after"]);
      else expect([shown[0], name]).to.deep.equal([at.join, undefined]);
    });
  }
});
