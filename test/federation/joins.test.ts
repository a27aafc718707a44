// Joins between servers: two of ours, and a peer that builds its events itself.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { fsck } from "../../src/storage/fsck.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("joins between servers", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [one, two] = [await startFederatingServer(), await startFederatingServer()];
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  async function members(client: TestClient, room: string): Promise<string[]> {
    const { body } = await client.get(`${V3}/rooms/${room}/joined_members`);
    return Object.keys(objectAt(body, "joined")).toSorted();
  }

  for (const version of ["1", "3", "6", "10", "11", "12"]) {
    it(`through a server of the room, version ${version}`, async () => {
      const created = await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: version, name: "meeting" });
      const room = stringAt(created.body, "room_id") ?? "";
      await alice.put(`${V3}/rooms/${room}/send/m.room.message/1`, { msgtype: "m.text", body: "before" });
      const joined = await bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${one.name}`);
      expect([joined.status, joined.body]).to.deep.equal([200, { room_id: room }]);
      const both = [alice.user_id, bob.user_id].toSorted();
      expect(await members(alice, room)).to.deep.equal(both);
      expect(await members(bob, room)).to.deep.equal(both);
      const section = objectAt((await bob.get(`${V3}/sync`)).body, "rooms", "join", room);
      expect(objectsAt(section, "timeline", "events").map((event) => event["type"])).to.deep.equal(["m.room.member"]);
      expect(objectsAt(section, "state", "events").map((event) => event["type"])).to.include.members(["m.room.create", "m.room.name"]);
      for (const server of [one, two]) expect((await fsck(server.database)).problems).to.deep.equal([]);
    });
  }

  it("by an alias of the other server", async () => {
    const created = await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_alias_name: "here" });
    const joined = await bob.post(`${V3}/join/${encodeURIComponent(`#here:${one.name}`)}`);
    expect(joined.body).to.deep.equal({ room_id: stringAt(created.body, "room_id") });
    const unknown = await bob.post(`${V3}/join/${encodeURIComponent(`#nowhere:${one.name}`)}`);
    expect([unknown.status, unknown.body["errcode"]]).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("are refused as the room says, and nobody to ask is M_NOT_FOUND", async () => {
    const created = await alice.post(`${V3}/createRoom`, { preset: "private_chat" });
    const room = stringAt(created.body, "room_id") ?? "";
    const refused = await bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${one.name}`);
    expect([refused.status, refused.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
    const nobody = await bob.post(`${V3}/join/${encodeURIComponent(room)}`);
    expect([nobody.status, nobody.body["errcode"]]).to.deep.equal([404, "M_NOT_FOUND"]);
    const acl = await alice.post(`${V3}/createRoom`, {
      preset: "public_chat",
      initial_state: [{ type: "m.room.server_acl", state_key: "", content: { allow: ["elsewhere.example"] } }],
    });
    const closed = await bob.post(`${V3}/join/${encodeURIComponent(stringAt(acl.body, "room_id") ?? "")}?via=${one.name}`);
    expect([closed.status, closed.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("into restricted rooms are vouched for by who may invite", async () => {
    const space = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    const allow = [{ type: "m.room_membership", room_id: space }];
    const created = await alice.post(`${V3}/createRoom`, {
      preset: "private_chat",
      initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "restricted", allow } }],
    });
    const room = stringAt(created.body, "room_id") ?? "";
    const join = (): ReturnType<TestClient["post"]> => bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${one.name}`);
    expect((await join()).status).to.equal(403);
    await bob.post(`${V3}/join/${encodeURIComponent(space)}?via=${one.name}`);
    expect((await join()).status).to.equal(200);
    const member = await alice.get(`${V3}/rooms/${room}/state/m.room.member/${bob.user_id}`);
    expect(member.body["join_authorised_via_users_server"]).to.equal(alice.user_id);
  });

  it("into restricted rooms are asked for elsewhere where nobody of ours may invite, and only of the servers that are named", async () => {
    const carol = await two.register("carol");
    const space = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    const allow = [{ type: "m.room_membership", room_id: space }];
    const initial_state = [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "restricted", allow } }];
    for (const room_version of ["8", "12"]) {
      const created = await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version, initial_state, invite: [bob.user_id] });
      const room = stringAt(created.body, "room_id") ?? "";
      expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
      const invited = await bob.post(`${V3}/rooms/${room}/invite`, { user_id: carol.user_id });
      expect([invited.status, invited.body["errcode"]]).to.deep.equal([403, "M_FORBIDDEN"]);
      await carol.post(`${V3}/join/${encodeURIComponent(space)}?via=${one.name}`);
      expect((await carol.post(`${V3}/join/${encodeURIComponent(room)}?via=${two.name}`)).status).to.equal(200);
      const member = await bob.get(`${V3}/rooms/${room}/state/m.room.member/${carol.user_id}`);
      expect(member.body["join_authorised_via_users_server"]).to.equal(alice.user_id);
      await carol.post(`${V3}/rooms/${space}/leave`);
    }
    const open = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
    expect((await carol.post(`${V3}/join/${encodeURIComponent(open)}?via=localhost:1`)).status).to.equal(502);
    expect((await carol.post(`${V3}/join/${encodeURIComponent(open)}`)).status).to.equal(200);
  });
});
