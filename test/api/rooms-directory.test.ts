// Room aliases and the directory of published rooms.
import { expect } from "chai";
import { objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

const aliasPath = (name: string): string => `${V3}/directory/room/${encodeURIComponent(`#${name}:localhost`)}`;

describe("the room directory", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(() => server[Symbol.asyncDispose]());

  describe("aliases", () => {
    it("are made, found, listed and deleted", async () => {
      const room_id = await roomOf(alice);
      const path = aliasPath("möglich");
      expect(refusal(await alice.get(path))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect((await alice.put(path, { room_id })).body).to.deep.equal({});
      expect((await server.anonymous.get(path)).body).to.deep.equal({ room_id, servers: ["localhost"] });
      expect(refusal(await alice.put(path, { room_id }))).to.deep.equal([409, "M_UNKNOWN"]);
      const list = `${V3}/rooms/${encodeURIComponent(room_id)}/aliases`;
      expect((await alice.get(list)).body).to.deep.equal({ aliases: ["#möglich:localhost"] });
      expect(refusal(await bob.get(list))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await alice.delete(path)).body).to.deep.equal({});
      expect(refusal(await alice.delete(path))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect((await alice.get(list)).body).to.deep.equal({ aliases: [] });
    });

    it("are refused where they cannot be", async () => {
      const room_id = await roomOf(alice);
      const away = `${V3}/directory/room/${encodeURIComponent("#x:away.example")}`;
      expect(refusal(await alice.put(away, { room_id }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await alice.put(`${V3}/directory/room/none`, { room_id }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await alice.put(aliasPath(""), { room_id }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await alice.put(aliasPath("nowhere"), { room_id: "!none:localhost" }))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.put(aliasPath("nowhere"), {}))).to.deep.equal([400, "M_BAD_JSON"]);
      expect(refusal(await bob.put(aliasPath("others"), { room_id }))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await server.anonymous.get(away))).to.deep.equal([502, "M_UNKNOWN"]);
      for (const name of ["nowhere", "others"]) expect((await alice.get(aliasPath(name))).status).to.equal(404);
    });

    it("are deleted by their makers and by who may set the canonical alias", async () => {
      const room_id = await roomOf(alice, { preset: "public_chat", room_alias_name: "canonical" });
      await bob.post(`${V3}/join/${encodeURIComponent(room_id)}`);
      expect((await bob.put(aliasPath("of-bob"), { room_id })).status).to.equal(200);
      expect((await bob.put(aliasPath("of-bob-too"), { room_id })).status).to.equal(200);
      expect(refusal(await bob.delete(aliasPath("canonical")))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await bob.delete(aliasPath("of-bob"))).status).to.equal(200);
      expect((await alice.delete(aliasPath("of-bob-too"))).status).to.equal(200);
      expect((await alice.delete(aliasPath("canonical"))).status).to.equal(200);
      const state = await alice.get(`${V3}/rooms/${encodeURIComponent(room_id)}/state/m.room.canonical_alias`);
      expect(state.body).to.deep.equal({});
    });

    it("are canonical only where they point to the room", async () => {
      const room_id = await roomOf(alice, { room_alias_name: "here" });
      await roomOf(alice, { room_alias_name: "there" });
      await alice.put(aliasPath("here-too"), { room_id });
      const path = `${V3}/rooms/${encodeURIComponent(room_id)}/state/m.room.canonical_alias`;
      for (const [content, status, errcode] of [
        [{ alias: "#here:localhost", alt_aliases: ["#here-too:localhost"] }, 200, undefined],
        [{ alias: "#there:localhost" }, 400, "M_BAD_ALIAS"],
        [{ alt_aliases: ["#there:localhost"] }, 400, "M_BAD_ALIAS"],
        [{ alias: "#missing:localhost" }, 400, "M_BAD_ALIAS"],
        [{ alias: "no alias" }, 400, "M_INVALID_PARAM"],
        [{ alt_aliases: [7] }, 400, "M_INVALID_PARAM"],
        [{}, 200, undefined],
      ] as const) {
        expect(refusal(await alice.put(path, content)), JSON.stringify(content)).to.deep.equal([status, errcode]);
      }
    });
  });

  describe("published rooms", () => {
    const ids = (answer: Answer): (string | undefined)[] => objectsAt(answer.body, "chunk").map((room) => stringAt(room, "room_id"));

    it("are published by who may, and said to be", async () => {
      const room_id = await roomOf(alice, { preset: "public_chat" });
      await bob.post(`${V3}/join/${encodeURIComponent(room_id)}`);
      const path = `${V3}/directory/list/room/${encodeURIComponent(room_id)}`;
      expect((await server.anonymous.get(path)).body).to.deep.equal({ visibility: "private" });
      expect(refusal(await bob.put(path, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await server.anonymous.get(path)).body).to.deep.equal({ visibility: "private" });
      expect((await alice.put(path, {})).body).to.deep.equal({});
      expect((await server.anonymous.get(path)).body).to.deep.equal({ visibility: "public" });
      expect(ids(await server.anonymous.get(`${V3}/publicRooms`))).to.include(room_id);
      expect(refusal(await alice.put(path, { visibility: "hidden" }))).to.deep.equal([400, "M_BAD_JSON"]);
      expect((await alice.put(path, { visibility: "private" })).status).to.equal(200);
      expect(ids(await server.anonymous.get(`${V3}/publicRooms`))).not.to.include(room_id);
      const none = `${V3}/directory/list/room/!none`;
      expect(refusal(await alice.get(none))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.put(none, {}))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("are described, found by their words and types, and paged in both directions", async () => {
      const made: string[] = [];
      for (const index of [0, 1, 2, 3, 4]) {
        made.push(
          await roomOf(alice, {
            visibility: "public",
            name: `Paged ${index}`,
            topic: index === 3 ? "A ZEBRA crosses" : "",
            creation_content: index === 4 ? { type: "m.space" } : {},
            initial_state: [
              { type: "m.room.history_visibility", content: { history_visibility: "world_readable" } },
              { type: "m.room.guest_access", content: { guest_access: "can_join" } },
              { type: "m.room.avatar", content: { url: "mxc://localhost/a" } },
            ],
          }),
        );
      }
      await bob.post(`${V3}/join/${encodeURIComponent(made[2] ?? "")}`);
      const order = [made[2], made[0], made[1], made[3], made[4]];
      const all = await bob.get(`${V3}/publicRooms`);
      expect(ids(all)).to.deep.equal(order);
      expect(all.body["total_room_count_estimate"]).to.equal(5);
      expect(objectsAt(all.body, "chunk").at(-1)).to.deep.equal({
        room_id: made[4],
        num_joined_members: 1,
        world_readable: true,
        guest_can_join: true,
        join_rule: "public",
        name: "Paged 4",
        avatar_url: "mxc://localhost/a",
        room_type: "m.space",
      });
      const first = await bob.get(`${V3}/publicRooms?limit=2`);
      expect(ids(first)).to.deep.equal(order.slice(0, 2));
      expect(first.body).not.to.have.property("prev_batch");
      const second = await bob.get(`${V3}/publicRooms?limit=2&since=${String(first.body["next_batch"])}`);
      expect(ids(second)).to.deep.equal(order.slice(2, 4));
      const third = await bob.get(`${V3}/publicRooms?limit=2&since=${String(second.body["next_batch"])}`);
      expect(ids(third)).to.deep.equal(order.slice(4));
      expect(third.body).not.to.have.property("next_batch");
      const back = await bob.get(`${V3}/publicRooms?limit=2&since=${String(second.body["prev_batch"])}`);
      expect(ids(back)).to.deep.equal(order.slice(0, 2));
      const search = (filter: unknown, limit = 10): Promise<Answer> => bob.post(`${V3}/publicRooms`, { filter, limit });
      expect(ids(await search({ generic_search_term: "zebra" }))).to.deep.equal([made[3]]);
      expect(ids(await search({ room_types: ["m.space"] }))).to.deep.equal([made[4]]);
      expect(ids(await search({ room_types: [null], generic_search_term: "paged" }, 3))).to.deep.equal(order.slice(0, 3));
      expect(ids(await bob.post(`${V3}/publicRooms`, { third_party_instance_id: "irc" }))).to.deep.equal([]);
      expect(ids(await bob.get(`${V3}/publicRooms?server=localhost`))).to.deep.equal(order);
      expect(refusal(await bob.get(`${V3}/publicRooms?server=away.example`))).to.deep.equal([502, "M_UNKNOWN"]);
      expect(refusal(await bob.get(`${V3}/publicRooms?since=x`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    });
  });
});
