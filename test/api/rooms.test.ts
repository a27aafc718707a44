// Creating rooms, and who is in them.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

/** Status and errcode together, as most expectations need them. */

async function roomOf(client: TestClient, body: Record<string, unknown> = {}): Promise<string> {
  const answer = await client.post(`${V3}/createRoom`, body);
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return encodeURIComponent(stringAt(answer.body, "room_id") ?? "");
}

describe("rooms", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob, carol] = await Promise.all([server.register("alice"), server.register("bob"), server.register("carol")]);
  });
  after(() => server[Symbol.asyncDispose]());

  const member = async (room: string, who: TestClient, reader: TestClient = alice): Promise<string | undefined> => {
    const answer = await reader.get(`${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(who.user_id)}`);
    return stringAt(answer.body, "membership");
  };

  describe("createRoom", () => {
    it("makes the events in the order of the specification", async () => {
      const room = await roomOf(alice, {
        preset: "public_chat",
        room_alias_name: "ordered",
        name: "Name",
        topic: "Topic",
        initial_state: [
          { type: "m.room.history_visibility", content: { history_visibility: "world_readable" } },
          { type: "m.room.name", content: { name: "overwritten" } },
          { type: "org.example.first", state_key: "a", content: {} },
        ],
        invite: [bob.user_id],
        is_direct: true,
      });
      const page = await alice.get(`${V3}/rooms/${room}/messages?dir=f&limit=50`);
      const events = objectsAt(page.body, "chunk");
      expect(events.map(({ type }) => type)).to.deep.equal([
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.canonical_alias",
        "m.room.join_rules",
        "m.room.history_visibility",
        "org.example.first",
        "m.room.name",
        "m.room.topic",
        "m.room.member",
      ]);
      const [create, , levels] = events;
      expect(objectAt(create, "content")).to.deep.equal({ room_version: "12" });
      expect(objectAt(levels, "content", "users")).to.deep.equal({});
      expect(objectAt(levels, "content", "events")["m.room.tombstone"]).to.equal(150);
      expect(objectAt(events.at(-1), "content")).to.deep.equal({ membership: "invite", displayname: "bob", is_direct: true });
      const topic = await alice.get(`${V3}/rooms/${room}/state/m.room.topic`);
      expect(topic.body).to.deep.equal({ topic: "Topic", "m.topic": { "m.text": [{ body: "Topic", mimetype: "text/plain" }] } });
    });

    it("gives trusted invitees the level of the creator", async () => {
      const old = await roomOf(alice, { room_version: "11", preset: "trusted_private_chat", invite: [bob.user_id] });
      const levels = await alice.get(`${V3}/rooms/${old}/state/m.room.power_levels`);
      expect(levels.body["users"]).to.deep.equal({ [alice.user_id]: 100, [bob.user_id]: 100 });
      const room = await roomOf(alice, {
        preset: "trusted_private_chat",
        invite: [bob.user_id],
        creation_content: { additional_creators: [carol.user_id, bob.user_id], "m.federate": false, room_version: "1" },
      });
      const create = await alice.get(`${V3}/rooms/${room}/state/m.room.create`);
      expect(create.body).to.deep.equal({
        room_version: "12",
        "m.federate": false,
        additional_creators: [carol.user_id, bob.user_id],
      });
    });

    for (const version of Array.from({ length: 12 }, (_, index) => String(index + 1))) {
      it(`makes a room of version ${version} that people can talk in`, async () => {
        const room = await roomOf(alice, { room_version: version, preset: "public_chat" });
        const create = await alice.get(`${V3}/rooms/${room}/state/m.room.create`);
        expect(create.body["room_version"]).to.equal(version);
        expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
        const sent = await bob.put(`${V3}/rooms/${room}/send/m.room.message/1`, { body: "hello" });
        expect(sent.status).to.equal(200);
        const redacted = await bob.put(
          `${V3}/rooms/${room}/redact/${encodeURIComponent(stringAt(sent.body, "event_id") ?? "")}/2`,
        );
        expect(redacted.status).to.equal(200);
        const shown = await alice.get(
          `${V3}/rooms/${room}/event/${encodeURIComponent(stringAt(sent.body, "event_id") ?? "")}`,
        );
        expect(shown.body["content"]).to.deep.equal({});
        expect(stringAt(shown.body, "unsigned", "redacted_because", "redacts")).to.equal(sent.body["event_id"]);
      });
    }

    it("refuses what cannot be, and then nothing exists", async () => {
      await roomOf(alice, { room_alias_name: "taken" });
      const before = await server.database.read<{ count: number }>(
        { name: "test_count_rooms", text: "SELECT count(*) AS count FROM rooms" },
        [],
      );
      for (const [body, status, errcode] of [
        [{ room_version: "unheard of" }, 400, "M_UNSUPPORTED_ROOM_VERSION"],
        [{ room_version: 1 }, 400, "M_BAD_JSON"],
        [{ room_alias_name: "taken" }, 400, "M_ROOM_IN_USE"],
        [{ room_alias_name: "a".repeat(300) }, 400, "M_INVALID_PARAM"],
        [{ preset: "unheard of" }, 400, "M_BAD_JSON"],
        [{ power_level_content_override: { users: { [alice.user_id]: 100 } } }, 400, "M_INVALID_ROOM_STATE"],
        [{ room_version: "11", name: "x", power_level_content_override: { users: { [alice.user_id]: 0 } } }, 400, "M_INVALID_ROOM_STATE"],
        [{ creation_content: { additional_creators: ["nobody"] } }, 400, "M_INVALID_PARAM"],
        [{ invite_3pid: [{ id_server: "a", id_access_token: "b", medium: "email", address: "c" }] }, 400, "M_INVALID_PARAM"],
        [{ initial_state: [{ type: "m.x", content: { text: "x".repeat(70_000) } }] }, 413, "M_TOO_LARGE"],
        [{ initial_state: [{ type: "m.x", content: { fraction: 1.5 } }] }, 400, "M_BAD_JSON"],
        [{ initial_state: [{ type: "m.room.member", state_key: "nobody", content: { membership: "invite" } }] }, 400, "M_INVALID_PARAM"],
        [{ initial_state: [{ type: "m.room.member", content: { membership: "invite" } }] }, 400, "M_INVALID_PARAM"],
      ] as const) {
        const answer = await alice.post(`${V3}/createRoom`, body);
        expect(refusal(answer), JSON.stringify(body).slice(0, 200)).to.deep.equal([status, errcode]);
      }
      const after = await server.database.read<{ count: number }>(
        { name: "test_count_rooms", text: "SELECT count(*) AS count FROM rooms" },
        [],
      );
      expect(after).to.deep.equal(before);
      expect(refusal(await server.anonymous.post(`${V3}/createRoom`))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    });

    it("makes rooms of the version that the configuration names", async () => {
      await using other = await startTestServer({ rooms: { default_version: "10" } });
      const dora = await other.register("dora");
      const room = await roomOf(dora);
      expect((await dora.get(`${V3}/rooms/${room}/state/m.room.create`)).body["room_version"]).to.equal("10");
      const { body } = await dora.get(`${V3}/capabilities`);
      expect(objectAt(body, "capabilities", "m.room_versions")["default"]).to.equal("10");
    });

    it("is limited, as joins and invitations are", async () => {
      const rate = { per_second: 0.001, burst: 1 };
      await using other = await startTestServer({ rate_limits: { enabled: true, room_creation: rate, join: rate, invite: rate } });
      const [dora, emil] = [await other.register("dora"), await other.register("emil")];
      const room = await roomOf(dora, { preset: "public_chat" });
      const invite = (): Promise<Answer> => dora.post(`${V3}/rooms/${room}/invite`, { user_id: emil.user_id });
      expect([(await invite()).status, (await emil.post(`${V3}/join/${room}`)).status]).to.deep.equal([200, 200]);
      for (const answer of [await dora.post(`${V3}/createRoom`), await invite(), await emil.post(`${V3}/join/${room}`)]) {
        expect(refusal(answer)).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
        expect(answer.body["retry_after_ms"]).to.be.greaterThan(0);
      }
    });

    it("lets one of many have an alias", async () => {
      const answers = await Promise.all(
        Array.from({ length: 6 }, () => alice.post(`${V3}/createRoom`, { room_alias_name: "wanted" })),
      );
      expect(answers.filter(({ status }) => status === 200)).to.have.length(1);
      for (const answer of answers) if (answer.status !== 200) expect(refusal(answer)).to.deep.equal([400, "M_ROOM_IN_USE"]);
    });
  });

  describe("membership", () => {
    it("joins, leaves, and joins again", async () => {
      const room = await roomOf(alice, { preset: "public_chat" });
      await bob.put(`${V3}/profile/${encodeURIComponent(bob.user_id)}/displayname`, { displayname: "Bob" });
      const joined = await bob.post(`${V3}/rooms/${room}/join`, { reason: "curious" });
      expect(joined.body).to.deep.equal({ room_id: decodeURIComponent(room) });
      const event = await alice.get(`${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(bob.user_id)}`);
      expect(event.body).to.deep.equal({ membership: "join", displayname: "Bob", reason: "curious" });
      expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
      expect((await carol.post(`${V3}/join/${room}`, { "org.example.colour": "red", membership: "ban" })).status).to.equal(200);
      const custom = await alice.get(`${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(carol.user_id)}`);
      expect(custom.body).to.deep.equal({ membership: "join", displayname: "carol", "org.example.colour": "red" });
      const rooms = await bob.get(`${V3}/joined_rooms`);
      expect(rooms.body["joined_rooms"]).to.include(decodeURIComponent(room));
      expect((await bob.post(`${V3}/rooms/${room}/leave`)).body).to.deep.equal({});
      expect((await bob.post(`${V3}/rooms/${room}/leave`)).status).to.equal(200);
      expect(await member(room, bob)).to.equal("leave");
      expect((await bob.post(`${V3}/rooms/${room}/join`)).status).to.equal(200);
      expect(await member(room, bob)).to.equal("join");
      const other = await roomOf(alice);
      expect(refusal(await carol.post(`${V3}/rooms/${other}/leave`))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("knows rooms by id and alias", async () => {
      const room = await roomOf(alice, { preset: "public_chat", room_alias_name: "door" });
      const joined = await bob.post(`${V3}/join/${encodeURIComponent("#door:localhost")}?via=localhost&server_name=a&server_name=b`);
      expect(joined.body).to.deep.equal({ room_id: decodeURIComponent(room) });
      for (const [name, status, errcode] of [
        ["#nowhere:localhost", 404, "M_NOT_FOUND"],
        ["#nowhere:away.example", 502, "M_UNKNOWN"],
        ["!nowhere:localhost", 404, "M_NOT_FOUND"],
        ["neither", 400, "M_INVALID_PARAM"],
      ] as const) {
        expect(refusal(await bob.post(`${V3}/join/${encodeURIComponent(name)}`)), name).to.deep.equal([status, errcode]);
      }
    });

    it("invites, and refuses who was not invited", async () => {
      const room = await roomOf(alice);
      expect(refusal(await bob.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await bob.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id }))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id, reason: "come" })).status).to.equal(200);
      expect(await member(room, bob)).to.equal("invite");
      expect((await bob.post(`${V3}/rooms/${room}/leave`)).status).to.equal(200);
      expect(refusal(await bob.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id });
      expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
      for (const [body, status, errcode] of [
        [{ user_id: bob.user_id }, 403, "M_FORBIDDEN"],
        [{ user_id: alice.user_id }, 403, "M_FORBIDDEN"],
        [{ user_id: "@far:away.example" }, 502, "M_UNKNOWN"],
        [{ user_id: "nobody" }, 400, "M_BAD_JSON"],
        [{}, 400, "M_BAD_JSON"],
      ] as const) {
        expect(refusal(await alice.post(`${V3}/rooms/${room}/invite`, body))).to.deep.equal([status, errcode]);
      }
      for (const nobody of ["nobody", "@x:", "@:localhost/"]) {
        const answer = await alice.put(`${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(nobody)}`, { membership: "invite" });
        expect(refusal(answer), nobody).to.deep.equal([400, "M_INVALID_PARAM"]);
      }
    });

    it("kicks, bans and unbans by power level", async () => {
      const room = await roomOf(alice, { preset: "public_chat" });
      await bob.post(`${V3}/join/${room}`);
      await carol.post(`${V3}/join/${room}`);
      const on = (who: TestClient, what: string, user: TestClient): Promise<Answer> =>
        who.post(`${V3}/rooms/${room}/${what}`, { user_id: user.user_id, reason: "because" });
      expect(refusal(await on(bob, "kick", carol))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await on(bob, "ban", carol))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await on(alice, "kick", bob)).status).to.equal(200);
      expect(await member(room, bob)).to.equal("leave");
      expect(refusal(await on(alice, "kick", bob))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await on(alice, "unban", carol))).to.deep.equal([403, "M_BAD_STATE"]);
      expect((await on(alice, "ban", bob)).status).to.equal(200);
      expect(refusal(await bob.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await on(alice, "kick", bob))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await on(carol, "unban", bob))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await on(alice, "unban", bob)).status).to.equal(200);
      expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
    });

    it("knocks where the room wants it", async () => {
      const room = await roomOf(alice, {
        initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock" } }],
      });
      const knocked = await bob.post(`${V3}/knock/${room}`, { reason: "please" });
      expect(knocked.body).to.deep.equal({ room_id: decodeURIComponent(room) });
      expect(await member(room, bob)).to.equal("knock");
      expect(refusal(await bob.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id });
      expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
      expect(refusal(await bob.post(`${V3}/knock/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      const closed = await roomOf(alice);
      expect(refusal(await bob.post(`${V3}/knock/${closed}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await bob.post(`${V3}/knock/!none`))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("lets members of another room into a restricted one, and nobody by their own word", async () => {
      const lobby = await roomOf(alice, { preset: "public_chat" });
      const room = await roomOf(alice, {
        initial_state: [
          {
            type: "m.room.join_rules",
            content: { join_rule: "restricted", allow: [{ type: "m.room_membership", room_id: decodeURIComponent(lobby) }] },
          },
        ],
      });
      expect(refusal(await bob.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      const forged = { membership: "join", join_authorised_via_users_server: alice.user_id };
      const path = `${V3}/rooms/${room}/state/m.room.member/${encodeURIComponent(bob.user_id)}`;
      expect(refusal(await bob.put(path, forged))).to.deep.equal([403, "M_FORBIDDEN"]);
      await bob.post(`${V3}/join/${lobby}`);
      expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
      const event = await alice.get(path);
      expect(event.body["join_authorised_via_users_server"]).to.equal(alice.user_id);
    });

    it("lets others knock where only members of another room come in by themselves", async () => {
      const lobby = await roomOf(alice);
      const allow = [{ type: "m.room_membership", room_id: decodeURIComponent(lobby) }];
      const room = await roomOf(alice, {
        initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock_restricted", allow } }],
      });
      expect(refusal(await carol.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await carol.post(`${V3}/knock/${room}`)).status).to.equal(200);
      await alice.post(`${V3}/rooms/${lobby}/invite`, { user_id: bob.user_id });
      await bob.post(`${V3}/join/${lobby}`);
      expect((await bob.post(`${V3}/join/${room}`)).status).to.equal(200);
      // Once nobody who may invite is left, nobody can be let in.
      await alice.post(`${V3}/rooms/${lobby}/invite`, { user_id: carol.user_id });
      await carol.post(`${V3}/join/${lobby}`);
      await alice.put(`${V3}/rooms/${room}/state/m.room.power_levels`, { invite: 50, users: {} });
      await alice.post(`${V3}/rooms/${room}/leave`);
      expect(refusal(await carol.post(`${V3}/join/${room}`))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("forgets a room that was left, until it is joined again", async () => {
      const room = await roomOf(alice, { preset: "public_chat" });
      await bob.post(`${V3}/join/${room}`);
      const forget = (): Promise<Answer> => bob.post(`${V3}/rooms/${room}/forget`);
      expect(refusal(await forget())).to.deep.equal([400, "M_UNKNOWN"]);
      const before = await bob.get(`${V3}/sync`);
      await bob.post(`${V3}/rooms/${room}/leave`);
      expect((await bob.get(`${V3}/rooms/${room}/messages?dir=b`)).status).to.equal(200);
      expect((await forget()).status).to.equal(200);
      const filter = encodeURIComponent(JSON.stringify({ room: { include_leave: true } }));
      const leftRooms = async (query: string): Promise<Record<string, unknown>> =>
        objectAt((await bob.get(`${V3}/sync?filter=${filter}${query}`)).body, "rooms", "leave");
      expect(await leftRooms("")).not.to.have.property(decodeURIComponent(room));
      // Another device has to hear that the room was left.
      expect(await leftRooms(`&since=${String(before.body["next_batch"])}`)).to.have.property(decodeURIComponent(room));
      expect(refusal(await bob.get(`${V3}/rooms/${room}/messages?dir=b`))).to.deep.equal([403, "M_FORBIDDEN"]);
      await bob.post(`${V3}/join/${room}`);
      expect((await bob.get(`${V3}/rooms/${room}/messages?dir=b`)).status).to.equal(200);
    });
  });
});
