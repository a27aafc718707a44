// Finding users by their names: who is found by whom, by what, in which order.
import { expect } from "chai";
import { objectsAt, stringAt } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const path = (id: string): string => encodeURIComponent(id);

async function nameOf(client: TestClient, displayname: string): Promise<void> {
  expect((await client.put(`${V3}/profile/${path(client.user_id)}/displayname`, { displayname })).status).to.equal(200);
}

async function roomOf(client: TestClient, preset: string, ...members: TestClient[]): Promise<string> {
  const invite = members.map(({ user_id }) => user_id);
  const room = stringAt((await client.post(`${V3}/createRoom`, { preset, invite })).body, "room_id") ?? "";
  for (const member of members) expect((await member.post(`${V3}/join/${path(room)}`)).status).to.equal(200);
  return room;
}

async function found(client: TestClient, search_term: string, limit?: number): Promise<(string | undefined)[]> {
  const answer = await client.post(`${V3}/user_directory/search`, { search_term, ...(limit !== undefined && { limit }) });
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return objectsAt(answer.body, "results").map((user) => stringAt(user, "user_id"));
}

describe("user directory", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let eve: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob, eve] = await Promise.all([server.register("alice"), server.register("bob"), server.register("eve")]);
    await Promise.all([nameOf(alice, "Alice Cooper"), nameOf(bob, "Robert Élan")]);
  });
  after(() => server[Symbol.asyncDispose]());

  it("finds those who share a room, by id and name, and nobody else", async () => {
    expect(await found(bob, "alice")).to.deep.equal([]);
    const room = await roomOf(alice, "private_chat", bob);
    for (const term of ["alice", "Alice Cooper", "ALICE c", "@alice", alice.user_id, "coop", "oper", "cooper alice"]) {
      expect(await found(bob, term), term).to.deep.equal([alice.user_id]);
    }
    for (const term of ["", " ", "@", "lice x", "%", "_lice", "ali%", "\\", "\u0000", "al%ce"]) {
      expect(await found(bob, term), term).to.deep.equal([]);
    }
    expect(await found(alice, "elan")).to.deep.equal([bob.user_id]);
    expect(await found(eve, "alice")).to.deep.equal([]);
    await alice.post(`${V3}/rooms/${path(room)}/leave`);
    expect(await found(bob, "alice")).to.deep.equal([]);
  });

  it("finds those in rooms that anybody may join or read, as long as these are so", async () => {
    const room = await roomOf(alice, "public_chat");
    expect(await found(eve, "alice")).to.deep.equal([alice.user_id]);
    const set = (type: string, content: Record<string, unknown>) => alice.put(`${V3}/rooms/${path(room)}/state/${type}/`, content);
    await set("m.room.join_rules", { join_rule: "invite" });
    expect(await found(eve, "alice")).to.deep.equal([]);
    await set("m.room.history_visibility", { history_visibility: "world_readable" });
    expect(await found(eve, "alice")).to.deep.equal([alice.user_id]);
    await alice.post(`${V3}/rooms/${path(room)}/leave`);
    expect(await found(eve, "alice")).to.deep.equal([]);
  });

  it("knows names of profiles only, with the pictures", async () => {
    const open = await roomOf(alice, "public_chat");
    const room = await roomOf(bob, "private_chat", alice);
    await alice.put(`${V3}/rooms/${path(room)}/state/m.room.member/${path(alice.user_id)}`, { membership: "join", displayname: "Freddy" });
    await alice.put(`${V3}/profile/${path(alice.user_id)}/avatar_url`, { avatar_url: "mxc://localhost/a" });
    expect(await found(eve, "Freddy")).to.deep.equal([]);
    expect(await found(bob, "Freddy")).to.deep.equal([]);
    const answer = await eve.post(`${V3}/user_directory/search`, { search_term: "alice" });
    expect(answer.body).to.deep.equal({
      results: [{ user_id: alice.user_id, display_name: "Alice Cooper", avatar_url: "mxc://localhost/a" }],
      limited: false,
    });
    for (const left of [open, room]) await alice.post(`${V3}/rooms/${path(left)}/leave`);
  });

  it("puts whole names before their beginnings and those before the rest, and says whether there are more", async () => {
    const names = { anna: "x", annabel: "y", joanna: "z", hannah: "Anna" };
    const users = await Promise.all(Object.keys(names).map((name) => server.register(name)));
    await Promise.all(users.map((user, index) => nameOf(user, Object.values(names)[index] ?? "")));
    await roomOf(eve, "private_chat", ...users);
    const ids = await found(eve, "anna");
    expect(ids.slice(0, 2)).to.have.members(["@anna:localhost", "@hannah:localhost"]);
    expect(ids.slice(2)).to.deep.equal(["@annabel:localhost", "@joanna:localhost"]);
    const limited = await eve.post(`${V3}/user_directory/search`, { search_term: "anna", limit: 3 });
    expect(objectsAt(limited.body, "results")).to.have.length(3);
    expect(limited.body["limited"]).to.equal(true);
    expect(await found(eve, "anna", 0)).to.deep.equal([]);
  });

  it("does not find deactivated and locked accounts, or guests; oneself only where anybody would", async () => {
    const loner = await server.register("loner");
    await roomOf(loner, "private_chat");
    expect(await found(loner, "loner")).to.deep.equal([]);
    await roomOf(alice, "public_chat");
    expect(await found(alice, "alice")).to.deep.equal([alice.user_id]);
    for (const column of ["locked = true", "is_guest = true", "deactivated_ts = 1"]) {
      const which = "WHERE user_nid = (SELECT nid FROM users WHERE user_id = $1)";
      expect(await found(eve, "alice")).to.deep.equal([alice.user_id]);
      await server.database.write({ name: "", text: `UPDATE accounts SET ${column} ${which}` }, [alice.user_id]);
      expect(await found(eve, "alice"), column).to.deep.equal([]);
      const back = "locked = false, is_guest = false, deactivated_ts = NULL";
      await server.database.write({ name: "", text: `UPDATE accounts SET ${back} ${which}` }, [alice.user_id]);
    }
  });

  it("takes names of any length", async () => {
    await nameOf(bob, `Longname${"é".repeat(5_000)}`);
    await roomOf(bob, "public_chat");
    expect(await found(eve, "longname")).to.deep.equal([bob.user_id]);
    await nameOf(bob, "Short");
    expect(await found(eve, "longname")).to.deep.equal([]);
  });

  it("finds everyone where the configuration says so, and guests", async () => {
    await using all = await startTestServer({ user_directory: { search_all_users: true, show_guests: true } });
    const [one, two] = await Promise.all([all.register("one"), all.register("two")]);
    expect(await found(one, "two")).to.deep.equal([two.user_id]);
    await all.database.write({ name: "", text: "UPDATE accounts SET is_guest = true WHERE user_nid = (SELECT nid FROM users WHERE user_id = $1)" }, [two.user_id]);
    expect(await found(one, "two")).to.deep.equal([two.user_id]);
  });

  it("wants a user and a term", async () => {
    expect((await server.anonymous.post(`${V3}/user_directory/search`, { search_term: "x" })).status).to.equal(401);
    expect((await alice.post(`${V3}/user_directory/search`, {})).body["errcode"]).to.equal("M_BAD_JSON");
    expect((await alice.post(`${V3}/user_directory/search`, { search_term: "x", limit: -1 })).body["errcode"]).to.equal("M_BAD_JSON");
  });
});
