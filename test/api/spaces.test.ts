// What is told of rooms to those who are not in them: summaries, the trees of spaces, the rooms that users share.
import { expect } from "chai";
import { objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const V1 = "/_matrix/client/v1";

const path = (room: string, rest: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${rest}`;

const spaceOf = (client: TestClient, body: Record<string, unknown> = {}): Promise<string> =>
  roomOf(client, { preset: "public_chat", creation_content: { type: "m.space" }, ...body });

async function addChild(client: TestClient, space: string, room: string, content: Record<string, unknown> = {}): Promise<void> {
  const answer = await client.put(path(space, `state/m.space.child/${encodeURIComponent(room)}`), { via: ["localhost"], ...content });
  expect(answer.status).to.equal(200);
}

const restrictedTo = (space: string): Record<string, unknown> => ({
  initial_state: [
    {
      type: "m.room.join_rules",
      content: { join_rule: "restricted", allow: [{ type: "m.room_membership", room_id: space }] },
    },
  ],
});

describe("rooms seen from outside", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(() => server[Symbol.asyncDispose]());

  describe("GET /room_summary", () => {
    const summary = (client: TestClient, room: string): Promise<Answer> => client.get(`${V1}/room_summary/${encodeURIComponent(room)}`);

    it("tells what a public room is like, by id, by alias and at the old paths", async () => {
      const room_id = await roomOf(alice, {
        preset: "public_chat",
        name: "Talk",
        topic: "All of it",
        room_alias_name: "talk",
        initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
      });
      const seen = {
        room_id,
        name: "Talk",
        topic: "All of it",
        canonical_alias: "#talk:localhost",
        num_joined_members: 1,
        world_readable: false,
        guest_can_join: false,
        join_rule: "public",
        room_version: "12",
        encryption: "m.megolm.v1.aes-sha2",
      };
      expect((await summary(server.anonymous, room_id)).body).to.deep.equal(seen);
      expect((await summary(bob, "#talk:localhost")).body).to.deep.equal({ ...seen, membership: "leave" });
      expect((await summary(alice, room_id)).body).to.deep.equal({ ...seen, membership: "join" });
      const old = "/_matrix/client/unstable/im.nheko.summary";
      const id = encodeURIComponent(room_id);
      for (const rest of [`summary/${id}`, `rooms/${id}/summary`]) {
        expect((await server.anonymous.get(`${old}/${rest}`)).body).to.deep.equal(seen);
      }
    });

    it("is refused for what is not there and for what is not to be known, in the same way", async () => {
      const secret = await roomOf(alice);
      expect(refusal(await summary(bob, "!none:localhost"))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await summary(bob, secret))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await summary(server.anonymous, secret))).to.deep.equal([404, "M_NOT_FOUND"]);
      await alice.post(path(secret, "invite"), { user_id: bob.user_id });
      expect((await summary(bob, secret)).body).to.include({ membership: "invite" });
      await alice.post(path(secret, "ban"), { user_id: bob.user_id });
      expect(refusal(await summary(bob, secret))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("names the rooms whose members may join, to them", async () => {
      const space = await spaceOf(alice);
      const room = await roomOf(alice, restrictedTo(space));
      expect(refusal(await summary(bob, room))).to.deep.equal([404, "M_NOT_FOUND"]);
      await bob.post(path(space, "join"));
      expect((await summary(bob, room)).body["allowed_room_ids"]).to.deep.equal([space]);
    });
  });

  describe("GET /hierarchy", () => {
    const page = (client: TestClient, space: string, query = ""): Promise<Answer> =>
      client.get(`${V1}/rooms/${encodeURIComponent(space)}/hierarchy${query}`);
    const ids = ({ body }: Answer): (string | undefined)[] => objectsAt(body, "rooms").map((room) => stringAt(room, "room_id"));

    it("walks depth first, by order, then by age, each room once", async () => {
      const [top, inner] = [await spaceOf(alice, { name: "$& top" }), await spaceOf(alice)];
      const rooms: string[] = [];
      for (let index = 0; index < 4; index++) rooms.push(await roomOf(alice, { preset: "public_chat" }));
      const [first = "", second = "", third = "", deep = ""] = rooms;
      await addChild(alice, top, third);
      await addChild(alice, top, inner, { order: "b" });
      await addChild(alice, top, second, { order: "not \u0007 valid" });
      await addChild(alice, top, first, { order: "a", note: "$& and $'" });
      await addChild(alice, inner, deep);
      await addChild(alice, inner, top);
      const answer = await page(bob, top);
      expect(ids(answer)).to.deep.equal([top, first, inner, deep, third, second]);
      const [shown] = objectsAt(answer.body, "rooms");
      expect(objectsAt(shown, "children_state").map(({ state_key }) => state_key)).to.deep.equal([first, inner, third, second]);
      expect(ids(await page(bob, top, "?max_depth=1"))).to.deep.equal([top, first, inner, third, second]);
      expect(ids(await page(bob, top, "?max_depth=0"))).to.deep.equal([top]);
    });

    it("goes on from page to page, in any process", async () => {
      await using other = await startTestServer({}, server.address);
      const there = other.client(bob);
      const top = await spaceOf(alice);
      const expected = [top];
      for (let index = 0; index < 5; index++) {
        const room = await roomOf(alice, { preset: "public_chat" });
        await addChild(alice, top, room);
        expected.push(room);
      }
      const seen: unknown[] = [];
      let from = "";
      for (let turn = 0; turn < 3; turn++) {
        const answer = await page(turn % 2 === 0 ? bob : there, top, `?limit=2&max_depth=3${from}`);
        seen.push(...ids(answer));
        const next = stringAt(answer.body, "next_batch");
        expect(next === undefined).to.equal(turn === 2);
        from = `&from=${encodeURIComponent(next ?? "")}`;
        if (turn === 0) {
          for (const query of [`?limit=2&max_depth=2${from}`, `?suggested_only=true&max_depth=3${from}`, "?from=h1_x"]) {
            expect(refusal(await page(bob, top, query))).to.deep.equal([400, "M_INVALID_PARAM"]);
          }
        }
      }
      expect(seen).to.deep.equal(expected);
    });

    it("leaves out what is not suggested, not reachable, removed, and not for the user", async () => {
      const top = await spaceOf(alice);
      const [suggested, plain, secret, unreachable, removed] = [
        await roomOf(alice, { preset: "public_chat" }),
        await roomOf(alice, { preset: "public_chat" }),
        await roomOf(alice),
        await roomOf(alice, { preset: "public_chat" }),
        await roomOf(alice, { preset: "public_chat" }),
      ];
      const restricted = await roomOf(alice, restrictedTo(top));
      await addChild(alice, top, suggested, { suggested: true });
      await addChild(alice, top, plain);
      await addChild(alice, top, secret);
      await addChild(alice, top, restricted);
      await addChild(alice, top, unreachable, { via: [] });
      await addChild(alice, top, removed);
      await addChild(alice, top, "!none:localhost");
      await alice.put(path(top, `state/m.space.child/${encodeURIComponent(removed)}`), {});
      expect(ids(await page(bob, top))).to.deep.equal([top, suggested, plain]);
      expect(ids(await page(alice, top))).to.deep.equal([top, suggested, plain, secret, restricted]);
      expect(ids(await page(bob, top, "?suggested_only=true"))).to.deep.equal([top, suggested]);
      await bob.post(path(top, "join"));
      expect(ids(await page(bob, top))).to.deep.equal([top, suggested, plain, restricted]);
    });

    it("is refused for spaces that the user may not look at, and for nonsense", async () => {
      const secret = await spaceOf(alice, { preset: "private_chat" });
      expect(refusal(await page(bob, secret))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await page(bob, "!none:localhost"))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await page(server.anonymous, secret))).to.deep.equal([401, "M_MISSING_TOKEN"]);
      for (const query of ["?limit=0", "?max_depth=-1"]) {
        expect(refusal(await page(alice, secret, query))).to.deep.equal([400, "M_INVALID_PARAM"]);
      }
    });
  });

  describe("GET /mutual_rooms", () => {
    const mutual = (client: TestClient, user: string, from = ""): Promise<Answer> =>
      client.get(`${V1}/mutual_rooms?user_id=${encodeURIComponent(user)}${from}`);

    it("names the rooms that both have joined, page by page", async () => {
      const [carol, dave] = await Promise.all([server.register("carol"), server.register("dave")]);
      const shared = new Set<string>();
      for (let index = 0; index < 101; index++) {
        const room = await roomOf(carol, { preset: "public_chat" });
        await dave.post(path(room, "join"));
        shared.add(room);
      }
      await roomOf(carol, { invite: [dave.user_id] });
      const first = await mutual(dave, carol.user_id);
      expect(first.body).to.include({ count: 101 });
      const second = await mutual(dave, carol.user_id, `&from=${String(first.body["next_batch"])}`);
      expect(second.body["next_batch"]).to.equal(undefined);
      const seen = [first, second].flatMap(({ body }) => (Array.isArray(body["joined"]) ? body["joined"] : []));
      expect(seen).to.have.length(101);
      expect(new Set(seen)).to.deep.equal(shared);
    });

    it("is empty for strangers and refused for oneself and nonsense", async () => {
      expect((await mutual(bob, "@nobody:localhost")).body).to.deep.equal({ joined: [], count: 0 });
      expect(refusal(await mutual(bob, bob.user_id))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await mutual(bob, alice.user_id, "&from=x"))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect((await mutual(bob, "nobody")).status).to.equal(400);
    });
  });
});
