// Memberships follow the accounts of their users.
import { expect } from "chai";
import { objectAt, stringAt } from "../support/json-path.js";
import { passwordOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("membership upkeep", () => {
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    server = await startTestServer();
    alice = await server.register("alice");
  });
  after(() => server[Symbol.asyncDispose]());

  const roomOf = async (client: TestClient, body: Record<string, unknown>): Promise<string> =>
    encodeURIComponent(stringAt((await client.post(`${V3}/createRoom`, body)).body, "room_id") ?? "");

  async function eventually(room: string, who: TestClient, expected: Record<string, unknown>): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      const { body } = await alice.get(`${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(who.user_id)}`);
      if (performance.now() < deadline && JSON.stringify(body) !== JSON.stringify(expected)) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      expect(body).to.deep.equal(expected);
      return;
    }
  }

  it("brings a new name and picture into all joined rooms and no other", async () => {
    const bob = await server.register("bob");
    const rooms = await Promise.all(Array.from({ length: 12 }, () => roomOf(alice, { preset: "public_chat" })));
    const left = await roomOf(alice, { preset: "public_chat" });
    for (const room of [...rooms, left]) await bob.post(`${V3}/join/${room}`);
    await bob.post(`${V3}/rooms/${left}/leave`);
    const profile = `${V3}/profile/${encodeURIComponent(bob.user_id)}`;
    await bob.put(`${profile}/displayname`, { displayname: "Robert" });
    await bob.put(`${profile}/avatar_url`, { avatar_url: "mxc://localhost/x" });
    for (const room of rooms) {
      await eventually(room, bob, { avatar_url: "mxc://localhost/x", displayname: "Robert", membership: "join" });
    }
    await bob.delete(`${profile}/displayname`);
    for (const room of rooms) await eventually(room, bob, { avatar_url: "mxc://localhost/x", membership: "join" });
    await eventually(left, bob, { membership: "leave" });
  });

  it("does not bring back who leaves at once after a change", async () => {
    const dora = await server.register("dora");
    const [stays, leaves] = [await roomOf(alice, { preset: "public_chat" }), await roomOf(alice, { preset: "public_chat" })];
    await dora.post(`${V3}/join/${stays}`);
    for (let round = 0; round < 8; round += 1) {
      await dora.post(`${V3}/join/${leaves}`);
      const displayname = `Dora ${round}`;
      await dora.put(`${V3}/profile/${encodeURIComponent(dora.user_id)}/displayname`, { displayname });
      await dora.post(`${V3}/rooms/${leaves}/leave`);
      await eventually(stays, dora, { displayname, membership: "join" });
      await eventually(leaves, dora, { membership: "leave" });
    }
  });

  it("leaves the rooms of an account that has ended, and declines its invitations", async () => {
    const carol = await server.register("carol");
    const joined = await roomOf(alice, { preset: "public_chat" });
    const invited = await roomOf(alice, { invite: [carol.user_id] });
    await carol.post(`${V3}/join/${joined}`);
    const ended = await carol.post(`${V3}/account/deactivate`, {
      auth: { type: "m.login.password", identifier: { type: "m.id.user", user: "carol" }, password: passwordOf("carol") },
    });
    expect(ended.status).to.equal(200);
    await eventually(joined, carol, { membership: "leave" });
    await eventually(invited, carol, { membership: "leave" });
  });

  it("is done by another process where the first was stopped before", async () => {
    const dave = await server.register("dave");
    const room = await roomOf(alice, { preset: "public_chat" });
    await dave.post(`${V3}/join/${room}`);
    // As the first process leaves it: asked for, and a claim that has run out.
    await server.database.write(
      {
        name: "test_change_profile",
        text: `WITH profile AS (UPDATE profile_fields SET value = '"Dave"' WHERE name = 'displayname'
            AND user_nid = (SELECT nid FROM users WHERE user_id = $1) RETURNING user_nid)
          INSERT INTO membership_upkeep (user_nid, claimed_until) SELECT user_nid, now() FROM profile`,
      },
      [dave.user_id],
    );
    await using second = await startTestServer({}, server.address);
    expect(objectAt((await second.anonymous.get("/_matrix/client/versions")).body)).to.have.property("versions");
    await eventually(room, dave, { displayname: "Dave", membership: "join" });
  });
});
