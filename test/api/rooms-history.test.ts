// Sending events, and reading what a room has: pages, context, state, members, and who may see it.
import { expect } from "chai";
import { numberAt, objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

/** The room's id as paths have it. */
async function roomOf(client: TestClient, body: Record<string, unknown> = { preset: "public_chat" }): Promise<string> {
  const answer = await client.post(`${V3}/createRoom`, body);
  return encodeURIComponent(stringAt(answer.body, "room_id") ?? "");
}

let serial = 0;

/** Sends a message; its event id as paths have it. */
async function say(client: TestClient, room: string, body: string): Promise<string> {
  const answer = await client.put(`${V3}/rooms/${room}/send/m.room.message/t${++serial}`, { msgtype: "m.text", body });
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return encodeURIComponent(stringAt(answer.body, "event_id") ?? "");
}

const bodies = (answer: Answer, list = "chunk"): (string | undefined)[] =>
  objectsAt(answer.body, list).flatMap((event) => stringAt(event, "content", "body") ?? []);

describe("events of rooms", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(() => server[Symbol.asyncDispose]());

  describe("send", () => {
    it("gives the same event for the same transaction id of a device, room, type and endpoint", async () => {
      const [room, other] = [await roomOf(alice), await roomOf(alice)];
      const second = await server.login("alice");
      const send = async (client: TestClient, where: string, type = "m.room.message"): Promise<unknown> =>
        (await client.put(`${V3}/rooms/${where}/send/${type}/same`, { body: "once" })).body["event_id"];
      const first = await send(alice, room);
      expect(await Promise.all([1, 2, 3].map(() => send(alice, room)))).to.deep.equal([first, first, first]);
      const different = [await send(alice, other), await send(alice, room, "m.other"), await send(second, room)];
      expect(new Set([first, ...different])).to.have.property("size", 4);
      const path = `${V3}/rooms/${room}/event/${encodeURIComponent(String(first))}`;
      const own = await alice.get(path);
      expect(stringAt(own.body, "unsigned", "transaction_id")).to.equal("same");
      expect(numberAt(own.body, "unsigned", "age")).to.be.within(0, 60_000);
      expect(objectAt((await second.get(path)).body, "unsigned")).not.to.have.property("transaction_id");
    });

    it("gives the same event in another process too, and after a start", async () => {
      const room = await roomOf(alice);
      const send = async (client: TestClient): Promise<unknown> =>
        (await client.put(`${V3}/rooms/${room}/send/m.room.message/anywhere`, { body: "once" })).body["event_id"];
      const first = await send(alice);
      await using second = await startTestServer({}, server.address);
      expect(await send(second.client(alice))).to.equal(first);
      // With nothing of it in memory: the other process owns the room after this one has gone.
      const own = encodeURIComponent(stringAt((await second.client(alice).post(`${V3}/createRoom`)).body, "room_id") ?? "");
      const path = `${V3}/rooms/${own}/send/m.room.message/anywhere`;
      const there = (await second.client(alice).put(path, { body: "once" })).body["event_id"];
      await second[Symbol.asyncDispose]();
      expect((await alice.put(path, { body: "once" })).body["event_id"]).to.equal(there).and.not.equal(first);
    });

    it("refuses to annotate twice in the same way, until the first was redacted", async () => {
      const room = await roomOf(alice);
      const event_id = decodeURIComponent(await say(alice, room, "nice"));
      await bob.post(`${V3}/join/${room}`);
      const react = (client: TestClient, key: string, txn: string): Promise<Answer> =>
        client.put(`${V3}/rooms/${room}/send/m.reaction/${txn}`, { "m.relates_to": { rel_type: "m.annotation", event_id, key } });
      const first = await react(alice, "+1", "one");
      expect((await react(alice, "+1", "one")).body).to.deep.equal(first.body);
      expect(refusal(await react(alice, "+1", "two"))).to.deep.equal([400, "M_DUPLICATE_ANNOTATION"]);
      expect([(await react(alice, "-1", "three")).status, (await react(bob, "+1", "one")).status]).to.deep.equal([200, 200]);
      await alice.put(`${V3}/rooms/${room}/redact/${encodeURIComponent(String(first.body["event_id"]))}/four`);
      expect((await react(alice, "+1", "five")).status).to.equal(200);
    });

    it("refuses what is no event, and writes nothing", async () => {
      const room = await roomOf(alice);
      const before = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=100`);
      const path = `${V3}/rooms/${room}/send/m.room.message/bad`;
      for (const [body, status, errcode] of [
        ["[]", 400, "M_BAD_JSON"],
        ["{", 400, "M_NOT_JSON"],
        [{ fraction: 1.5 }, 400, "M_BAD_JSON"],
        [{ big: 2 ** 60 }, 400, "M_BAD_JSON"],
        [{ text: "x".repeat(66_000) }, 413, "M_TOO_LARGE"],
      ] as const) {
        expect(refusal(await alice.put(path, body)), JSON.stringify(body).slice(0, 50)).to.deep.equal([status, errcode]);
      }
      expect(refusal(await alice.put(`${V3}/rooms/${room}/send/${"x".repeat(300)}/bad`, {}))).to.deep.equal([413, "M_TOO_LARGE"]);
      expect(refusal(await bob.put(path, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await bob.put(`${V3}/rooms/!none/send/m.room.message/1`, {}))).to.deep.equal([404, "M_NOT_FOUND"]);
      const after = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=100`);
      expect(objectsAt(after.body, "chunk").length).to.equal(objectsAt(before.body, "chunk").length);
    });
  });

  describe("state", () => {
    it("is set and read, with an empty state key in any spelling", async () => {
      const room = await roomOf(alice);
      const set = await alice.put(`${V3}/rooms/${room}/state/m.room.name`, { name: "One" });
      const again = await alice.put(`${V3}/rooms/${room}/state/m.room.name/`, { name: "One" });
      expect(again.body["event_id"]).to.equal(set.body["event_id"]);
      const changed = await alice.put(`${V3}/rooms/${room}/state/m.room.name/`, { name: "Two" });
      expect(changed.body["event_id"]).not.to.equal(set.body["event_id"]);
      for (const spelling of ["", "/"]) {
        const answer = await alice.get(`${V3}/rooms/${room}/state/m.room.name${spelling}`);
        expect(answer.body).to.deep.equal({ name: "Two" });
      }
      const whole = await alice.get(`${V3}/rooms/${room}/state/m.room.name?format=event`);
      expect(whole.body).to.include({ type: "m.room.name", state_key: "", sender: alice.user_id, room_id: decodeURIComponent(room) });
      expect(objectAt(whole.body, "unsigned")).to.deep.include({ prev_content: { name: "One" }, replaces_state: set.body["event_id"] });
      await alice.put(`${V3}/rooms/${room}/state/org.example/${encodeURIComponent("a/b")}`, { deep: true });
      expect((await alice.get(`${V3}/rooms/${room}/state/org.example/${encodeURIComponent("a/b")}`)).body).to.deep.equal({ deep: true });
      expect(refusal(await alice.get(`${V3}/rooms/${room}/state/org.example/none`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await bob.get(`${V3}/rooms/${room}/state/m.room.name`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await bob.put(`${V3}/rooms/${room}/state/m.room.name`, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("is for those who left what it was when they left", async () => {
      const room = await roomOf(alice);
      await alice.put(`${V3}/rooms/${room}/state/m.room.name`, { name: "Before" });
      await bob.post(`${V3}/join/${room}`);
      await bob.post(`${V3}/rooms/${room}/leave`);
      await alice.put(`${V3}/rooms/${room}/state/m.room.name`, { name: "After" });
      await alice.put(`${V3}/rooms/${room}/state/org.example/new`, {});
      expect((await bob.get(`${V3}/rooms/${room}/state/m.room.name`)).body).to.deep.equal({ name: "Before" });
      expect(refusal(await bob.get(`${V3}/rooms/${room}/state/org.example/new`))).to.deep.equal([404, "M_NOT_FOUND"]);
      const members = await bob.get(`${V3}/rooms/${room}/members?membership=leave`);
      expect(objectsAt(members.body, "chunk").map((event) => event["state_key"])).to.deep.equal([bob.user_id]);
      expect(refusal(await bob.get(`${V3}/rooms/${room}/joined_members`))).to.deep.equal([403, "M_FORBIDDEN"]);
      // Whoever declined an invitation was never in the room.
      const closed = await roomOf(alice, { invite: [bob.user_id] });
      await bob.post(`${V3}/rooms/${closed}/leave`);
      expect(refusal(await bob.get(`${V3}/rooms/${closed}/state/m.room.create`))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("is shown whole to members", async () => {
      const room = await roomOf(alice, { preset: "private_chat", name: "Whole" });
      const response = await fetch(`${server.url}${V3}/rooms/${room}/state`, {
        headers: { authorization: `Bearer ${alice.access_token}` },
      });
      const events: unknown = await response.json();
      expect(events).to.be.an("array");
      const types = objectsAt({ events }, "events").map((event) => stringAt(event, "type"));
      expect(types).to.have.members([
        "m.room.create",
        "m.room.guest_access",
        "m.room.history_visibility",
        "m.room.join_rules",
        "m.room.member",
        "m.room.name",
        "m.room.power_levels",
      ]);
    });
  });

  describe("members", () => {
    it("are listed by membership, now and as of a token", async () => {
      const room = await roomOf(alice);
      const before = await alice.get(`${V3}/sync`);
      await bob.put(`${V3}/profile/${encodeURIComponent(bob.user_id)}/displayname`, { displayname: "Bob" });
      await bob.post(`${V3}/join/${room}`);
      const keys = async (query: string): Promise<unknown[]> =>
        objectsAt((await alice.get(`${V3}/rooms/${room}/members${query}`)).body, "chunk").map((event) => event["state_key"]);
      expect(await keys("")).to.have.members([alice.user_id, bob.user_id]);
      expect(await keys(`?at=${String(before.body["next_batch"])}`)).to.deep.equal([alice.user_id]);
      const start = await alice.get(`${V3}/rooms/${room}/messages?dir=f&limit=0`);
      expect(await keys(`?at=${String(start.body["start"])}`)).to.deep.equal([alice.user_id]);
      expect(await keys("?membership=leave")).to.deep.equal([]);
      expect(await keys("?not_membership=join")).to.deep.equal([]);
      await bob.post(`${V3}/rooms/${room}/leave`);
      expect(await keys("?membership=leave")).to.deep.equal([bob.user_id]);
      expect(await keys("?not_membership=leave")).to.deep.equal([alice.user_id]);
      await bob.post(`${V3}/join/${room}`);
      const joined = await bob.get(`${V3}/rooms/${room}/joined_members`);
      expect(joined.body["joined"]).to.deep.equal({
        [alice.user_id]: { display_name: "alice", avatar_url: null },
        [bob.user_id]: { display_name: "Bob", avatar_url: null },
      });
      expect(refusal(await alice.get(`${V3}/rooms/${room}/members?at=nonsense`))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await alice.get(`${V3}/rooms/${room}/members?membership=nonsense`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    });
  });

  describe("the end of the history", () => {
    it("has a token from which clients go on when more was said", async () => {
      const room = await roomOf(alice);
      const page = async (query: string): Promise<JsonObject> => (await alice.get(`${V3}/rooms/${room}/messages?dir=f&limit=50${query}`)).body;
      const end = stringAt(await page(""), "end") ?? "";
      const nothing = await page(`&from=${end}`);
      expect([objectsAt(nothing, "chunk"), nothing["end"]]).to.deep.equal([[], undefined]);
      await say(alice, room, "more");
      const more = objectsAt(await page(`&from=${end}`), "chunk").map((event) => objectAt(event, "content")["body"]);
      expect(more).to.deep.equal(["more"]);
      expect(await page(`&to=${end}`), "nothing is beyond what was asked for").to.not.have.property("end");
    });
  });

  describe("members of rooms that are readable to the world", () => {
    it("are listed for anybody", async () => {
      const visibility = { type: "m.room.history_visibility", content: { history_visibility: "world_readable" } };
      const open = await alice.post(`${V3}/createRoom`, { initial_state: [visibility] });
      const joined = await bob.get(`${V3}/rooms/${String(open.body["room_id"])}/joined_members`);
      expect(joined.body).to.have.property("joined").that.has.all.keys(alice.user_id);
      const closed = await alice.post(`${V3}/createRoom`, {});
      const refused = await bob.get(`${V3}/rooms/${String(closed.body["room_id"])}/joined_members`);
      expect(refusal(refused)).to.deep.equal([403, "M_FORBIDDEN"]);
    });
  });

  describe("messages", () => {
    it("walk the whole history in both directions without gap or repeat", async () => {
      const room = await roomOf(alice);
      const said = Array.from({ length: 23 }, (_, index) => `m${index}`);
      for (const body of said) await say(alice, room, body);
      for (const [dir, expected] of [
        ["b", said.toReversed()],
        ["f", said],
      ] as const) {
        const found: (string | undefined)[] = [];
        let from = "";
        for (let page = 0; page < 30; page++) {
          const answer = await alice.get(`${V3}/rooms/${room}/messages?dir=${dir}&limit=5${from}`);
          expect(objectsAt(answer.body, "chunk").length).to.be.at.most(5);
          found.push(...bodies(answer));
          const end = stringAt(answer.body, "end");
          if (end === undefined) break;
          from = `&from=${end}`;
        }
        expect(found).to.deep.equal(expected);
      }
    });

    it("begin and stop at tokens of /sync and of other pages", async () => {
      const room = await roomOf(alice);
      await say(alice, room, "one");
      const first = String((await alice.get(`${V3}/sync`)).body["next_batch"]);
      await say(alice, room, "two");
      await say(alice, room, "three");
      const second = String((await alice.get(`${V3}/sync`)).body["next_batch"]);
      await say(alice, room, "four");
      const get = async (query: string): Promise<unknown> => bodies(await alice.get(`${V3}/rooms/${room}/messages?${query}`));
      expect(await get(`dir=f&from=${first}`)).to.deep.equal(["two", "three", "four"]);
      expect(await get(`dir=f&from=${first}&to=${second}`)).to.deep.equal(["two", "three"]);
      expect(await get(`dir=b&from=${second}&to=${first}`)).to.deep.equal(["three", "two"]);
      expect(await get(`dir=b&from=${first}`)).to.deep.equal(["one"]);
      const page = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=2`);
      expect(await get(`dir=f&from=${String(page.body["end"])}`)).to.deep.equal(["three", "four"]);
      expect(await get(`dir=b&from=${String(page.body["start"])}&to=${String(page.body["end"])}`)).to.deep.equal(["four", "three"]);
      for (const bad of ["from=nonsense", "to=nonsense", "dir=x", "limit=-1", "limit=x"]) {
        expect(refusal(await alice.get(`${V3}/rooms/${room}/messages?dir=b&${bad}`)), bad).to.deep.equal([400, "M_INVALID_PARAM"]);
      }
      expect(refusal(await alice.get(`${V3}/rooms/${room}/messages?dir=b&filter={`))).to.deep.equal([400, "M_NOT_JSON"]);
      expect(refusal(await alice.get(`${V3}/rooms/${room}/messages?dir=b&filter={"types":1}`))).to.deep.equal([400, "M_BAD_JSON"]);
    });

    it("are filtered, and bring the members who speak where they are asked for", async () => {
      const room = await roomOf(alice);
      await bob.post(`${V3}/join/${room}`);
      for (let index = 0; index < 40; index++) await say(alice, room, "noise");
      await say(bob, room, "signal");
      for (let index = 0; index < 40; index++) await say(alice, room, "noise");
      const filter = encodeURIComponent(JSON.stringify({ senders: [bob.user_id], types: ["m.room.message"], lazy_load_members: true }));
      const page = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=3&filter=${filter}`);
      expect(bodies(page)).to.deep.equal(["signal"]);
      expect(objectsAt(page.body, "state").map((event) => event["state_key"])).to.deep.equal([bob.user_id]);
    });

    it("are found by what relates to them", async () => {
      const room = await roomOf(alice);
      await bob.post(`${V3}/join/${room}`);
      const [liked, answered] = [await say(alice, room, "liked"), await say(alice, room, "answered")];
      await say(alice, room, "ignored");
      const relate = async (client: TestClient, to: string, type: string, rel_type: string): Promise<Answer> =>
        await client.put(`${V3}/rooms/${room}/send/${type}/r${++serial}`, {
          "m.relates_to": { event_id: decodeURIComponent(to), rel_type, key: "x" },
        });
      await relate(bob, liked, "m.reaction", "m.annotation");
      await relate(alice, answered, "m.room.message", "m.thread");
      const get = async (filter: unknown): Promise<unknown> =>
        bodies(await alice.get(`${V3}/rooms/${room}/messages?dir=f&filter=${encodeURIComponent(JSON.stringify(filter))}`));
      expect(await get({ related_by_senders: [bob.user_id] })).to.deep.equal(["liked"]);
      expect(await get({ related_by_rel_types: ["m.thread"] })).to.deep.equal(["answered"]);
      expect(await get({ related_by_rel_types: ["m.thread"], related_by_senders: [bob.user_id] })).to.deep.equal([]);
      expect(await get({ related_by_rel_types: ["org.example.unheard-of"] })).to.deep.equal([]);
    });

    it("are for members and those who were, as far as the history's visibility goes", async () => {
      const messagesOf = async (client: TestClient, room: string): Promise<Answer> =>
        await client.get(`${V3}/rooms/${room}/messages?dir=b&limit=100`);
      const seen: Record<string, unknown> = {};
      for (const visibility of ["world_readable", "shared", "invited", "joined"]) {
        const room = await roomOf(alice, {
          preset: "public_chat",
          initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: visibility } }],
        });
        await say(alice, room, "early");
        const outside = await messagesOf(bob, room);
        await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id });
        await say(alice, room, "invited");
        await bob.post(`${V3}/join/${room}`);
        await say(alice, room, "joined");
        const inside = await messagesOf(bob, room);
        await bob.post(`${V3}/rooms/${room}/leave`);
        await say(alice, room, "late");
        seen[visibility] = [
          outside.status === 200 ? bodies(outside) : outside.body["errcode"],
          bodies(inside).toReversed(),
          bodies(await messagesOf(bob, room)).toReversed(),
        ];
      }
      expect(seen).to.deep.equal({
        world_readable: [["early"], ["early", "invited", "joined"], ["early", "invited", "joined"]],
        shared: ["M_FORBIDDEN", ["early", "invited", "joined"], ["early", "invited", "joined"]],
        invited: ["M_FORBIDDEN", ["invited", "joined"], ["invited", "joined"]],
        joined: ["M_FORBIDDEN", ["joined"], ["joined"]],
      });
    });
  });

  describe("one event", () => {
    it("is shown with what surrounds it", async () => {
      const room = await roomOf(alice);
      const ids: string[] = [];
      for (const body of ["a", "b", "c", "d", "e"]) ids.push(await say(alice, room, body));
      const answer = await alice.get(`${V3}/rooms/${room}/context/${ids[2] ?? ""}?limit=3`);
      expect(stringAt(answer.body, "event", "content", "body")).to.equal("c");
      expect(bodies(answer, "events_before")).to.deep.equal(["b"]);
      expect(bodies(answer, "events_after")).to.deep.equal(["d", "e"]);
      expect(objectsAt(answer.body, "state").length).to.equal(5);
      const start = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=1&from=${String(answer.body["start"])}`);
      expect(bodies(start)).to.deep.equal(["a"]);
      const later = await say(alice, room, "f");
      const end = await alice.get(`${V3}/rooms/${room}/messages?dir=f&from=${String(answer.body["end"])}`);
      expect(bodies(end)).to.deep.equal(["f"]);
      const alone = await alice.get(`${V3}/rooms/${room}/context/${later}?limit=0`);
      expect(stringAt(alone.body, "event", "content", "body")).to.equal("f");
      expect(objectsAt(alone.body, "events_before")).to.deep.equal([]);
      expect(refusal(await alice.get(`${V3}/rooms/${room}/context/$none`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await bob.get(`${V3}/rooms/${room}/context/${later}`))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("is nobody's who may not see it, nor another room's", async () => {
      const [room, other] = [await roomOf(alice), await roomOf(alice)];
      const id = await say(alice, room, "here");
      expect((await alice.get(`${V3}/rooms/${room}/event/${id}`)).status).to.equal(200);
      expect(refusal(await alice.get(`${V3}/rooms/${other}/event/${id}`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await bob.get(`${V3}/rooms/${room}/event/${id}`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await bob.get(`${V3}/rooms/!none/event/${id}`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.get(`${V3}/rooms/${room}/event/none`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    });

    it("is found by time", async () => {
      const room = await roomOf(alice);
      const id = await say(alice, room, "then");
      const event = await alice.get(`${V3}/rooms/${room}/event/${id}`);
      const ts = numberAt(event.body, "origin_server_ts") ?? 0;
      const path = `/_matrix/client/v1/rooms/${room}/timestamp_to_event`;
      expect((await alice.get(`${path}?ts=${ts + 1000}&dir=b`)).body).to.deep.equal({
        event_id: decodeURIComponent(id),
        origin_server_ts: ts,
      });
      const first = await alice.get(`${path}?ts=0&dir=f`);
      const create = await alice.get(`${V3}/rooms/${room}/state/m.room.create?format=event`);
      expect(first.body["event_id"]).to.equal(create.body["event_id"]);
      expect(refusal(await alice.get(`${path}?ts=${ts + 1000}&dir=f`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await bob.get(`${path}?ts=0&dir=f`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await alice.get(`${path}?dir=f`))).to.deep.equal([400, "M_MISSING_PARAM"]);
    });
  });

  describe("redact", () => {
    it("takes content away for who may", async () => {
      const room = await roomOf(alice);
      await bob.post(`${V3}/join/${room}`);
      const [hers, his] = [await say(alice, room, "hers"), await say(bob, room, "his")];
      expect(refusal(await bob.put(`${V3}/rooms/${room}/redact/${hers}/1`, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await alice.get(`${V3}/rooms/${room}/event/${hers}`)).body["content"]).to.include({ body: "hers" });
      const redaction = await alice.put(`${V3}/rooms/${room}/redact/${his}/2`, { reason: "spam" });
      const again = await alice.put(`${V3}/rooms/${room}/redact/${his}/2`, { reason: "spam" });
      expect(again.body).to.deep.equal(redaction.body);
      const shown = await bob.get(`${V3}/rooms/${room}/event/${his}`);
      expect(shown.body["content"]).to.deep.equal({});
      expect(objectAt(shown.body, "unsigned", "redacted_because")).to.deep.include({
        event_id: redaction.body["event_id"],
        content: { reason: "spam", redacts: decodeURIComponent(his) },
        redacts: decodeURIComponent(his),
      });
      const page = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=3`);
      expect(bodies(page)).to.deep.equal(["hers"]);
      expect(refusal(await alice.put(`${V3}/rooms/${room}/redact/$none/3`, {}))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("works as well by sending the event itself", async () => {
      const room = await roomOf(alice);
      const id = await say(alice, room, "gone");
      const sent = await alice.put(`${V3}/rooms/${room}/send/m.room.redaction/r`, { redacts: decodeURIComponent(id) });
      expect(sent.status).to.equal(200);
      expect((await alice.get(`${V3}/rooms/${room}/event/${id}`)).body["content"]).to.deep.equal({});
    });
  });
});
