// Rooms are replaced by rooms of other versions, with what belongs to them and what their members have set.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

const path = (room: string, rest: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${rest}`;

async function state(client: TestClient, room: string, type: string, key = ""): Promise<JsonObject> {
  return (await client.get(path(room, `state/${type}/${encodeURIComponent(key)}`))).body;
}

const upgrade = (client: TestClient, room: string, body: Record<string, unknown>): Promise<Answer> =>
  client.post(path(room, "upgrade"), body);

async function upgraded(client: TestClient, room: string, new_version: string): Promise<string> {
  const answer = await upgrade(client, room, { new_version });
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return stringAt(answer.body, "replacement_room") ?? "";
}

describe("room upgrades", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let mallory: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob, mallory] = await Promise.all([server.register("alice"), server.register("bob"), server.register("mallory")]);
  });
  after(() => server[Symbol.asyncDispose]());

  it("take over state, bans, aliases and the place in the directory, and close the old room", async () => {
    const old = await roomOf(alice, {
      room_version: "10",
      preset: "public_chat",
      visibility: "public",
      name: "Name",
      topic: "Topic",
      room_alias_name: "moved",
      creation_content: { type: "org.example.type", "m.federate": false },
      initial_state: [
        { type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } },
        { type: "m.room.avatar", content: { url: "mxc://localhost/picture" } },
        { type: "m.room.history_visibility", content: { history_visibility: "joined" } },
        { type: "m.room.server_acl", content: { allow: ["*"], deny: [] } },
        { type: "org.example.other", content: { kept: false } },
      ],
      power_level_content_override: { users: { [alice.user_id]: 100, [bob.user_id]: 50 }, kick: 70 },
    });
    await bob.post(path(old, "join"));
    await alice.post(path(old, "ban"), { user_id: mallory.user_id, reason: "spam" });
    const last = stringAt((await alice.put(path(old, "send/m.room.message/1"), { body: "last", msgtype: "m.text" })).body, "event_id");
    const room = await upgraded(alice, old, "11");

    expect(await state(alice, room, "m.room.create")).to.deep.equal({
      room_version: "11",
      type: "org.example.type",
      "m.federate": false,
      predecessor: { room_id: old, event_id: last },
    });
    for (const type of ["name", "topic", "encryption", "avatar", "history_visibility", "server_acl", "join_rules", "guest_access"]) {
      const before = await state(alice, old, `m.room.${type}`);
      expect(await state(alice, room, `m.room.${type}`), type).to.deep.equal(before);
    }
    expect(await state(alice, room, "org.example.other")).to.include({ errcode: "M_NOT_FOUND" });
    expect(await state(alice, room, "m.room.member", mallory.user_id)).to.deep.include({ membership: "ban", reason: "spam" });
    expect(await state(alice, room, "m.room.member", bob.user_id)).to.include({ errcode: "M_NOT_FOUND" });
    const levels = await state(alice, room, "m.room.power_levels");
    expect(levels).to.deep.include({ users: { [alice.user_id]: 100, [bob.user_id]: 50 }, kick: 70, events_default: 0, invite: 50 });
    expect(await state(alice, room, "m.room.canonical_alias")).to.deep.equal({ alias: "#moved:localhost" });
    expect((await alice.get(`${V3}/directory/room/${encodeURIComponent("#moved:localhost")}`)).body["room_id"]).to.equal(room);
    expect((await alice.get(`${V3}/directory/list/room/${encodeURIComponent(room)}`)).body).to.deep.equal({ visibility: "public" });
    expect((await alice.get(`${V3}/directory/list/room/${encodeURIComponent(old)}`)).body).to.deep.equal({ visibility: "private" });

    expect(await state(alice, old, "m.room.tombstone")).to.include({ replacement_room: room });
    expect(await state(alice, old, "m.room.canonical_alias")).to.deep.equal({});
    expect(await state(alice, old, "m.room.power_levels")).to.include({ events_default: 50, invite: 50, kick: 70 });
    const newcomer = await server.register("newcomer");
    await newcomer.post(path(old, "join"));
    expect(refusal(await newcomer.put(path(old, "send/m.room.message/1"), { body: "x" }))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("make creators of version 12 out of who upgrades and whom they name", async () => {
    const old = await roomOf(alice, {
      room_version: "11",
      preset: "public_chat",
      power_level_content_override: { users: { [alice.user_id]: 100, [bob.user_id]: 100, [mallory.user_id]: 50 } },
    });
    const answer = await upgrade(alice, old, { new_version: "12", additional_creators: [bob.user_id] });
    const room = stringAt(answer.body, "replacement_room") ?? "";
    expect(await state(alice, room, "m.room.create")).to.deep.equal({
      room_version: "12",
      additional_creators: [bob.user_id],
      predecessor: { room_id: old },
    });
    const levels = await state(alice, room, "m.room.power_levels");
    expect(levels["users"]).to.deep.equal({ [mallory.user_id]: 50 });
    expect(objectAt(levels, "events")["m.room.tombstone"]).to.equal(150);
    // And back: creators have no special place in version 11.
    const again = await upgraded(alice, room, "11");
    const back = await state(alice, again, "m.room.power_levels");
    expect(back["users"]).to.deep.equal({ [alice.user_id]: 100, [bob.user_id]: 100, [mallory.user_id]: 50 });
  });

  it("take the rooms of a space along, and levels that newer versions do not take as they are", async () => {
    const child = await roomOf(alice);
    const old = await roomOf(alice, {
      room_version: "9",
      creation_content: { type: "m.space" },
      power_level_content_override: { users: { [alice.user_id]: "100" } },
      initial_state: [
        { type: "m.space.child", state_key: child, content: { via: ["localhost"] } },
        { type: "m.space.child", state_key: "!gone:localhost", content: {} },
      ],
    });
    const room = await upgraded(alice, old, "10");
    expect(await state(alice, room, "m.space.child", child)).to.deep.equal({ via: ["localhost"] });
    expect(await state(alice, room, "m.space.child", "!gone:localhost")).to.include({ errcode: "M_NOT_FOUND" });
    expect(objectAt(await state(alice, room, "m.room.power_levels"), "users")).to.deep.equal({ [alice.user_id]: 100 });
  });

  it("give one room however often and by whomever they are asked for", async () => {
    const old = await roomOf(alice, { room_version: "11", preset: "public_chat", power_level_content_override: { users: { [alice.user_id]: 100, [bob.user_id]: 100 } } });
    await bob.post(path(old, "join"));
    const answers = await Promise.all([alice, bob, alice, bob].map((client) => upgraded(client, old, "12")));
    expect(new Set(answers).size).to.equal(1);
    expect(await upgraded(bob, old, "12")).to.equal(answers[0]);
    expect(await upgraded(alice, old, "11")).not.to.equal(answers[0]);
  });

  it("go on where a process that died had left off", async () => {
    const old = await roomOf(alice, { room_version: "11", room_alias_name: "left-off" });
    const room = await upgraded(alice, old, "12");
    // As after a kill between the two rooms: the new one is there, the old one does not know of it.
    await alice.put(path(old, "state/m.room.tombstone"), { body: "", replacement_room: "!other:localhost" });
    expect(await upgraded(alice, old, "12")).to.equal(room);
    expect(await state(alice, old, "m.room.tombstone")).to.include({ replacement_room: room });
  });

  it("are refused for unknown versions, unknown rooms and those who may not", async () => {
    const old = await roomOf(alice, { preset: "public_chat" });
    await bob.post(path(old, "join"));
    expect(refusal(await upgrade(alice, old, { new_version: "none" }))).to.deep.equal([400, "M_UNSUPPORTED_ROOM_VERSION"]);
    expect(refusal(await upgrade(alice, old, {}))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await upgrade(alice, "!none:localhost", { new_version: "11" }))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await upgrade(bob, old, { new_version: "11" }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await upgrade(mallory, old, { new_version: "11" }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await upgrade(alice, old, { new_version: "12", additional_creators: ["nobody"] }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await alice.get(path(old, "state/m.room.tombstone")))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  describe("settings", () => {
    const tags = (client: TestClient, room: string): string => `${V3}/user/${client.user_id}/rooms/${encodeURIComponent(room)}/tags`;
    const direct = (client: TestClient): string => `${V3}/user/${client.user_id}/account_data/m.direct`;
    const rule = (kind: string, room: string): string => `${V3}/pushrules/global/${kind}/${encodeURIComponent(room)}`;

    async function setAll(client: TestClient, room: string): Promise<void> {
      await client.put(`${tags(client, room)}/m.favourite`, { order: 0.5 });
      await client.put(direct(client), { "@friend:localhost": [room] });
      await client.put(rule("room", room), { actions: [] });
      const conditions = [{ kind: "event_match", key: "room_id", pattern: room }];
      await client.put(rule("override", room), { actions: [], conditions });
    }

    async function expectAll(client: TestClient, old: string, room: string): Promise<void> {
      expect((await client.get(tags(client, room))).body).to.deep.equal({ tags: { "m.favourite": { order: 0.5 } } });
      expect((await client.get(direct(client))).body).to.deep.equal({ "@friend:localhost": [old, room] });
      expect((await client.get(rule("room", room))).body).to.include({ enabled: true, rule_id: room });
      const override = (await client.get(rule("override", room))).body;
      expect(objectsAt(override, "conditions")).to.deep.equal([{ kind: "event_match", key: "room_id", pattern: room }]);
    }

    it("of who upgrades and of who joins go along, and are not set again", async () => {
      const old = await roomOf(alice, { room_version: "11", preset: "public_chat" });
      await bob.post(path(old, "join"));
      await setAll(alice, old);
      await setAll(bob, old);
      const room = await upgraded(alice, old, "12");
      await expectAll(alice, old, room);
      expect((await bob.get(tags(bob, room))).body).to.deep.equal({ tags: {} });
      await bob.post(path(room, "join"));
      await expectAll(bob, old, room);
      await bob.delete(`${tags(bob, room)}/m.favourite`);
      await bob.post(path(room, "join"));
      expect((await bob.get(tags(bob, room))).body).to.deep.equal({ tags: {} });
    });

    it("do not go to a room of which only its creator says that it replaces another", async () => {
      const old = await roomOf(alice, { preset: "public_chat" });
      await bob.post(path(old, "join"));
      await setAll(bob, old);
      const claimed = await roomOf(mallory, { preset: "public_chat", creation_content: { predecessor: { room_id: old } } });
      await bob.post(path(claimed, "join"));
      expect((await bob.get(tags(bob, claimed))).body).to.deep.equal({ tags: {} });
      expect((await bob.get(direct(bob))).body).to.deep.equal({ "@friend:localhost": [old] });
    });
  });
});
