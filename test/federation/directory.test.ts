// Directories of other servers.
import { expect } from "chai";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { type Answer, refusal, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("directories of other servers", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  const rooms: string[] = [];
  before(async () => {
    [here, there, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    alice = await here.register("alice");
    const bob = await there.register("bob");
    for (const name of ["one", "two"]) {
      const created = await bob.post(`${V3}/createRoom`, { preset: "public_chat", visibility: "public", name });
      rooms.push(stringAt(created.body, "room_id") ?? "");
    }
  });
  after(async () => {
    for (const part of [here, there, peer]) await part[Symbol.asyncDispose]();
  });
  const ids = ({ body }: Answer): unknown[] => objectsAt(body, "chunk").map(({ room_id }) => room_id);

  it("are shown, by pages and by a filter", async () => {
    const path = `${V3}/publicRooms?server=${encodeURIComponent(there.name)}`;
    expect(ids(await alice.get(path))).to.have.members(rooms);
    const first = await alice.get(`${path}&limit=1`);
    const second = await alice.get(`${path}&limit=1&since=${stringAt(first.body, "next_batch")}`);
    expect([...ids(first), ...ids(second)]).to.have.members(rooms);
    expect(ids(await alice.post(path, { filter: { generic_search_term: "two" } }))).to.deep.equal([rooms[1]]);
  });

  it("are asked for only by users, and refused with reasons", async () => {
    expect(refusal(await here.anonymous.get(`${V3}/publicRooms?server=${there.name}`))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    expect(refusal(await alice.get(`${V3}/publicRooms?server=no%20name`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await alice.get(`${V3}/publicRooms?server=localhost:1`))).to.deep.equal([502, "M_UNKNOWN"]);
    expect(refusal(await alice.get(`${V3}/publicRooms?server=${peer.name}`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("are believed only as far as they can be true", async () => {
    const chunk = [null, 1, { room_id: "x" }, { room_id: "!a:b", name: 7, num_joined_members: "many", canonical_alias: "none" }];
    peer.answer("/_matrix/federation/v1/publicRooms", () => ({ status: 200, body: { chunk, next_batch: 5 } }));
    const { body } = await alice.get(`${V3}/publicRooms?server=${peer.name}`);
    expect(body).to.deep.equal({
      chunk: [{ room_id: "!a:b", num_joined_members: 0, world_readable: false, guest_can_join: false, join_rule: "public" }],
    });
  });

  it("of ours are shown to servers that sign", async () => {
    const uri = "/_matrix/federation/v1/publicRooms";
    const listed = await peer.request(there.federationUrl, there.name, "GET", `${uri}?limit=10`);
    expect(objectsAt(listed.body, "chunk").map(({ room_id }) => room_id)).to.have.members(rooms);
    expect((await there.anonymous.get(uri)).status).to.equal(401);
  });
});
