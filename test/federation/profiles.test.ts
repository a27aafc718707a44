// Profiles of users of other servers.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { startPeer, type Peer } from "../support/peer.js";
import { roomOf, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("profiles of other servers' users", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [here, there, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    [alice, bob] = await Promise.all([here.register("alice"), there.register("bob")]);
    await bob.put(`${V3}/profile/${bob.user_id}/displayname`, { displayname: "Bob" });
  });
  after(async () => {
    for (const part of [here, there, peer]) await part[Symbol.asyncDispose]();
  });
  const profile = async (user: string, field = ""): Promise<[number, unknown]> => {
    const { status, body } = await alice.get(`${V3}/profile/${encodeURIComponent(user)}${field}`);
    return [status, status === 200 ? body : body["errcode"]];
  };

  it("are what their server says, whole and by field", async () => {
    expect(await profile(bob.user_id)).to.deep.equal([200, { displayname: "Bob" }]);
    expect(await profile(bob.user_id, "/displayname")).to.deep.equal([200, { displayname: "Bob" }]);
    expect(await profile(bob.user_id, "/avatar_url")).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("are found by those who share a room with them, by id and by name", async () => {
    await alice.put(`${V3}/profile/${encodeURIComponent(alice.user_id)}/displayname`, { displayname: 'Alice "A" Cooper' });
    const room = await roomOf(alice, { preset: "private_chat", invite: [bob.user_id] });
    await eventually("bob is invited", async () => (await bob.post(`${V3}/join/${encodeURIComponent(room)}`)).status === 200);
    const found = async (client: TestClient, search_term: string): Promise<unknown> => (await client.post(`${V3}/user_directory/search`, { search_term })).body["results"];
    const [ours, theirs] = [{ user_id: bob.user_id, display_name: "Bob" }, { user_id: alice.user_id, display_name: 'Alice "A" Cooper' }];
    for (const term of ["bob", "Bob", "b", "@bob", bob.user_id]) expect(await found(alice, term), term).to.deep.equal([ours]);
    for (const term of ["alice", "ALICE", "coop", "cooper alice"]) expect(await found(bob, term), term).to.deep.equal([theirs]);
    for (const term of ["bobby", "%", "\"", "\\"]) expect(await found(alice, term), term).to.deep.equal([]);
    const carol = await here.register("carol");
    expect(await found(carol, "bob")).to.deep.equal([]);
  });

  it("are not found, or not to be had", async () => {
    expect(await profile(`@nobody:${there.name}`)).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(await profile("@nobody:localhost:1")).to.deep.equal([502, "M_UNKNOWN"]);
  });

  it("are asked for once in a while, again after a failure, and believed only as far as they can be true", async () => {
    const user = `@carol:${peer.name}`;
    const asked = (): number => peer.asked.filter((line) => line.includes("/query/profile")).length;
    peer.answer("/_matrix/federation/v1/query/profile", () => ({ status: 500, body: {} }));
    expect(await profile(user)).to.deep.equal([502, "M_UNKNOWN"]);
    peer.answer("/_matrix/federation/v1/query/profile", () => ({ status: 200, body: { displayname: 7, avatar_url: null, "org.example.x": [1] } }));
    expect(await profile(user)).to.deep.equal([200, { "org.example.x": [1] }]);
    expect(await profile(user)).to.deep.equal([200, { "org.example.x": [1] }]);
    expect(asked()).to.equal(2);
  });
});
