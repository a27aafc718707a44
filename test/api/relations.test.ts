// Relations between events: their pages, their aggregations wherever clients are shown events, threads, filters by relations.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V1 = "/_matrix/client/v1";
const V3 = "/_matrix/client/v3";

const path = (id: string): string => encodeURIComponent(id);
const ids = (answer: Answer, list = "chunk"): (string | undefined)[] => objectsAt(answer.body, list).map((event) => stringAt(event, "event_id"));
const bundle = (event: unknown): JsonObject => objectAt(event, "unsigned", "m.relations");

let serial = 0;

async function roomOf(client: TestClient, body: Record<string, unknown> = { preset: "public_chat" }): Promise<string> {
  return stringAt((await client.post(`${V3}/createRoom`, body)).body, "room_id") ?? "";
}

function put(client: TestClient, room: string, content: Record<string, unknown>, type = "m.room.message"): Promise<Answer> {
  return client.put(`${V3}/rooms/${path(room)}/send/${type}/r${++serial}`, content);
}

/** Sends an event; its id. */
async function say(client: TestClient, room: string, content: Record<string, unknown>, type = "m.room.message"): Promise<string> {
  const answer = await put(client, room, content, type);
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return stringAt(answer.body, "event_id") ?? "";
}

const text = (body: string): Record<string, unknown> => ({ msgtype: "m.text", body });
const relates = (rel_type: string, event_id: string): Record<string, unknown> => ({ "m.relates_to": { rel_type, event_id } });
const inThread = (root: string, body = "reply"): Record<string, unknown> => ({ ...text(body), ...relates("m.thread", root) });
const edit = (event: string, body: string): Record<string, unknown> => ({
  ...text(`* ${body}`),
  "m.new_content": text(body),
  ...relates("m.replace", event),
});

async function redact(client: TestClient, room: string, event: string): Promise<void> {
  const answer = await client.put(`${V3}/rooms/${path(room)}/redact/${path(event)}/r${++serial}`, {});
  expect(answer.status).to.equal(200);
}

async function ignore(client: TestClient, ...users: string[]): Promise<void> {
  const content = { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) };
  const answer = await client.put(`${V3}/user/${path(client.user_id)}/account_data/m.ignored_user_list`, content);
  expect(answer.status).to.equal(200);
}

/** The event as this user is shown it. */
async function eventOf(client: TestClient, room: string, event: string): Promise<JsonObject> {
  const answer = await client.get(`${V3}/rooms/${path(room)}/event/${path(event)}`);
  expect(answer.status).to.equal(200);
  return answer.body;
}

describe("relations", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room: string;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    room = await roomOf(alice);
    await bob.post(`${V3}/join/${path(room)}`);
    await ignore(alice);
  });

  const relationsOf = (client: TestClient, event: string, rest = "", query: Record<string, string> = {}): Promise<Answer> =>
    client.get(`${V1}/rooms/${path(room)}/relations/${path(event)}${rest}?${new URLSearchParams(query).toString()}`);
  const threadsOf = (client: TestClient, query: Record<string, string> = {}): Promise<Answer> =>
    client.get(`${V1}/rooms/${path(room)}/threads?${new URLSearchParams(query).toString()}`);

  describe("getRelatingEvents", () => {
    it("gives the events that relate to one, the latest first, of all types or of one, under both names", async () => {
      const root = await say(alice, room, text("root"));
      const reply = await say(bob, room, inThread(root));
      const dummy = await say(bob, room, relates("m.thread", root), "m.dummy");
      const replacement = await say(alice, room, edit(root, "new"));
      await say(alice, room, { ...text("beside"), "m.relates_to": { "m.in_reply_to": { event_id: root } } });
      const all = await relationsOf(bob, root);
      expect(ids(all)).to.deep.equal([replacement, dummy, reply]);
      expect(all.body).not.to.have.any.keys("next_batch", "prev_batch", "recursion_depth");
      expect(objectsAt(all.body, "chunk")[0]).to.have.property("room_id", room);
      expect(ids(await relationsOf(bob, root, "/m.thread"))).to.deep.equal([dummy, reply]);
      expect(ids(await relationsOf(bob, root, "/m.thread/m.dummy"))).to.deep.equal([dummy]);
      expect(ids(await relationsOf(bob, root, "/org.example.unheard"))).to.deep.equal([]);
      expect(ids(await relationsOf(bob, root, "/m.thread/org.example.unheard"))).to.deep.equal([]);
      const old = await bob.get(`/_matrix/client/unstable/rooms/${path(room)}/relations/${path(root)}/m.replace`);
      expect(ids(old)).to.deep.equal([replacement]);
    });

    it("pages in both directions, exactly, whatever is sent between the pages", async () => {
      const root = await say(alice, room, text("root"));
      const sent: string[] = [];
      for (let n = 0; n < 7; n++) sent.push(await say(alice, room, inThread(root, `${n}`)));
      for (const dir of ["b", "f"]) {
        const found: (string | undefined)[] = [];
        let from: string | undefined;
        for (let page = 0; page < 10; page++) {
          const answer = await relationsOf(alice, root, "", { dir, limit: "3", ...(from !== undefined && { from }) });
          found.push(...ids(answer));
          expect(answer.body["prev_batch"]).to.equal(from);
          from = stringAt(answer.body, "next_batch");
          if (from === undefined) break;
          if (page < 2) sent.push(await say(alice, room, inThread(root, "between")));
        }
        const expected = dir === "f" ? sent : sent.slice(0, 7).toReversed();
        expect(found).to.deep.equal(expected);
      }
    });

    it("starts at a token of /sync, and ends at a token", async () => {
      const root = await say(alice, room, text("root"));
      const early = await say(alice, room, inThread(root));
      const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch") ?? "";
      const late = [await say(alice, room, inThread(root)), await say(alice, room, inThread(root))];
      expect(ids(await relationsOf(alice, root, "", { from: since, dir: "f" }))).to.deep.equal(late);
      expect(ids(await relationsOf(alice, root, "", { from: since }))).to.deep.equal([early]);
      expect(ids(await relationsOf(alice, root, "", { to: since }))).to.deep.equal(late.toReversed());
    });

    it("follows relations of relations where it is asked to, through those alone that match", async () => {
      const root = await say(alice, room, text("root"));
      const reply = await say(bob, room, inThread(root));
      const replacement = await say(bob, room, edit(reply, "better"));
      const reaction = await say(alice, room, relates("m.annotation", replacement), "m.reaction");
      await say(alice, room, relates("m.reference", reaction), "m.too.deep");
      const deep = await relationsOf(alice, root, "", { recurse: "true" });
      expect([ids(deep), deep.body["recursion_depth"]]).to.deep.equal([[reaction, replacement, reply], 3]);
      const second = await relationsOf(alice, root, "", { recurse: "true", limit: "1", from: stringAt((await relationsOf(alice, root, "", { recurse: "true", limit: "1" })).body, "next_batch") ?? "" });
      expect(ids(second)).to.deep.equal([replacement]);
      expect(ids(await relationsOf(alice, root, "/m.thread", { recurse: "true" }))).to.deep.equal([reply]);
      expect((await relationsOf(alice, root, "", { recurse: "false" })).body).to.have.property("recursion_depth", 1);
      expect(ids(await relationsOf(alice, root, "", { "org.matrix.msc3981.recurse": "true", "org.matrix.msc3715.dir": "f" }))).to.deep.equal([
        reply,
        replacement,
        reaction,
      ]);
      await redact(bob, room, reply);
      expect(ids(await relationsOf(alice, root, "", { recurse: "true" }))).to.deep.equal([]);
    });

    it("keeps to what the user may see, and whom they ignore", async () => {
      const root = await say(alice, room, text("root"));
      const [own, other] = [await say(alice, room, inThread(root)), await say(bob, room, inThread(root))];
      await ignore(alice, bob.user_id);
      expect(ids(await relationsOf(alice, root))).to.deep.equal([own]);
      expect(ids(await relationsOf(bob, root))).to.deep.equal([other, own]);
      await bob.post(`${V3}/rooms/${path(room)}/leave`);
      await say(alice, room, inThread(root));
      expect(ids(await relationsOf(bob, root))).to.deep.equal([other, own]);
      const carol = await server.register("carol");
      expect(refusal(await relationsOf(carol, root))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("refuses events that are not there or not to be seen, and tokens that are none", async () => {
      const hidden = await roomOf(alice, { initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: "joined" } }], preset: "public_chat" });
      const before = await say(alice, hidden, text("before"));
      await bob.post(`${V3}/join/${path(hidden)}`);
      room = hidden;
      expect(refusal(await relationsOf(bob, before))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await relationsOf(alice, "$nothing"))).to.deep.equal([404, "M_NOT_FOUND"]);
      const elsewhere = await roomOf(alice);
      expect(refusal(await relationsOf(alice, await say(alice, elsewhere, text("elsewhere"))))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await relationsOf(alice, before, "", { from: "x" }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect((await relationsOf(alice, before, "", { limit: "0" })).status).to.equal(400);
      expect((await relationsOf(alice, before, "", { dir: "up" })).status).to.equal(400);
      expect((await server.anonymous.get(`${V1}/rooms/${path(room)}/relations/${path(before)}`)).status).to.equal(401);
    });
  });

  describe("aggregations", () => {
    it("give the most recent valid replacement, whole, and leave the event as it was sent", async () => {
      const root = await say(alice, room, text("root"));
      await say(alice, room, edit(root, "first"));
      const second = await say(alice, room, edit(root, "second"));
      // None of these replaces it: of another sender, of another type, without new content, an edit of an edit.
      await say(bob, room, edit(root, "hijacked"));
      await say(alice, room, edit(root, "typed"), "m.other");
      await say(alice, room, { ...text("* no"), ...relates("m.replace", root) });
      await say(alice, room, edit(second, "edit of an edit"));
      const event = await eventOf(bob, room, root);
      expect(event).to.have.nested.property("content.body", "root");
      const replacement = objectAt(bundle(event), "m.replace");
      expect(replacement).to.have.property("event_id", second);
      expect(replacement).to.have.nested.property("content.m\\.new_content.body", "second");
      expect(bundle(await eventOf(bob, room, second))).to.deep.equal({});
      await redact(alice, room, second);
      expect(stringAt(bundle(await eventOf(bob, room, root)), "m.replace", "content", "m.new_content", "body")).to.equal("first");
      await redact(alice, room, root);
      expect(bundle(await eventOf(bob, room, root))).to.deep.equal({});
    });

    it("replace what is encrypted by what is encrypted alone", async () => {
      const secret = await say(alice, room, { ciphertext: "1" }, "m.room.encrypted");
      await say(alice, room, edit(secret, "in the clear"));
      const replacement = await say(alice, room, { ciphertext: "2", ...relates("m.replace", secret) }, "m.room.encrypted");
      expect(stringAt(bundle(await eventOf(bob, room, secret)), "m.replace", "event_id")).to.equal(replacement);
    });

    it("count threads, with their latest event and its own replacement", async () => {
      const root = await say(alice, room, text("root"));
      const first = await say(bob, room, inThread(root, "one"));
      const latest = await say(bob, room, inThread(root, "two"));
      await say(bob, room, edit(latest, "two!"));
      await say(alice, room, relates("m.annotation", latest), "m.reaction");
      const thread = objectAt(bundle(await eventOf(alice, room, root)), "m.thread");
      expect([thread["count"], thread["current_user_participated"]]).to.deep.equal([2, true]);
      expect(stringAt(thread, "latest_event", "event_id")).to.equal(latest);
      expect(stringAt(thread, "latest_event", "unsigned", "m.relations", "m.replace", "content", "m.new_content", "body")).to.equal("two!");
      const carol = await server.register("carol2");
      await carol.post(`${V3}/join/${path(room)}`);
      expect(objectAt(bundle(await eventOf(carol, room, root)), "m.thread")).to.have.property("current_user_participated", false);
      await redact(bob, room, latest);
      const shorter = objectAt(bundle(await eventOf(alice, room, root)), "m.thread");
      expect([shorter["count"], stringAt(shorter, "latest_event", "event_id")]).to.deep.equal([1, first]);
      await redact(bob, room, first);
      expect(bundle(await eventOf(alice, room, root))).to.deep.equal({});
      // Of a redacted root its thread remains.
      const again = await say(bob, room, inThread(root));
      await redact(alice, room, root);
      expect(stringAt(bundle(await eventOf(bob, room, root)), "m.thread", "latest_event", "event_id")).to.equal(again);
    });

    it("list references, and never annotations", async () => {
      const root = await say(alice, room, text("root"));
      const references = [await say(bob, room, relates("m.reference", root), "m.some"), await say(bob, room, relates("m.reference", root), "m.other")];
      await say(bob, room, { "m.relates_to": { rel_type: "m.annotation", event_id: root, key: "+1" } }, "m.reaction");
      expect(bundle(await eventOf(alice, room, root))).to.deep.equal({
        "m.reference": { chunk: references.map((event_id) => ({ event_id })) },
      });
    });

    it("leave out what users sent whom the reader ignores", async () => {
      const root = await say(alice, room, text("root"));
      const own = await say(alice, room, inThread(root));
      await say(bob, room, inThread(root));
      await say(bob, room, relates("m.reference", root), "m.some");
      await ignore(alice, bob.user_id);
      const found = bundle(await eventOf(alice, room, root));
      expect(found).to.have.all.keys("m.thread");
      expect([objectAt(found, "m.thread")["count"], stringAt(found, "m.thread", "latest_event", "event_id")]).to.deep.equal([1, own]);
      await redact(alice, room, own);
      expect(bundle(await eventOf(alice, room, root))).to.deep.equal({});
    });

    it("show nothing that the reader may not see", async () => {
      const root = await say(alice, room, text("root"));
      const seen = await say(alice, room, inThread(root, "seen"));
      const seenEdit = await say(alice, room, edit(root, "seen"));
      await bob.post(`${V3}/rooms/${path(room)}/leave`);
      await say(alice, room, inThread(root, "secret"));
      await say(alice, room, edit(root, "secret"));
      const reference = await say(alice, room, relates("m.reference", root), "m.some");
      const found = bundle(await eventOf(bob, room, root));
      expect(found).to.have.all.keys("m.replace", "m.thread");
      expect(stringAt(found, "m.replace", "event_id")).to.equal(seenEdit);
      expect([objectAt(found, "m.thread")["count"], stringAt(found, "m.thread", "latest_event", "event_id")]).to.deep.equal([1, seen]);
      expect(objectAt(bundle(await eventOf(alice, room, root)), "m.reference")).to.deep.equal({ chunk: [{ event_id: reference }] });
    });

    it("come with events wherever the specification says, and with no state", async () => {
      const root = await say(alice, room, text("root"));
      const latest = await say(bob, room, inThread(root));
      const replaced = await say(alice, room, edit(root, "new"));
      const topic = stringAt((await alice.put(`${V3}/rooms/${path(room)}/state/m.room.topic`, { topic: "x" })).body, "event_id") ?? "";
      await say(alice, room, relates("m.reference", topic), "m.some");
      const check = (event: unknown, place: string): void => {
        const found = bundle(event);
        expect(stringAt(found, "m.thread", "latest_event", "event_id"), place).to.equal(latest);
        expect(stringAt(found, "m.replace", "event_id"), place).to.equal(replaced);
      };
      const among = (events: readonly JsonObject[]): JsonObject | undefined => events.find((event) => event["event_id"] === root);
      const encoded = path(room);
      const messages = await alice.get(`${V3}/rooms/${encoded}/messages?dir=b&limit=50`);
      check(among(objectsAt(messages.body, "chunk")), "messages");
      const around = await alice.get(`${V3}/rooms/${encoded}/context/${path(latest)}?limit=20`);
      check(among(objectsAt(around.body, "events_before")), "context");
      check((await alice.get(`${V3}/rooms/${encoded}/context/${path(root)}`)).body["event"], "context");
      check(objectsAt((await threadsOf(alice)).body, "chunk")[0], "threads");
      const timelineOf = async (limit: number): Promise<JsonObject> => {
        const filter = JSON.stringify({ room: { timeline: { limit }, rooms: [room] } });
        const body = (await alice.get(`${V3}/sync?filter=${path(filter)}`)).body;
        return objectAt(body, "rooms", "join", room, "timeline");
      };
      const limited = await timelineOf(6);
      expect(limited["limited"]).to.equal(true);
      check(among(objectsAt(limited, "events")), "sync");
      expect(objectAt(bundle(await eventOf(alice, room, topic)))).to.deep.equal({});
      const whole = await timelineOf(100);
      expect(whole["limited"]).to.equal(false);
      expect(bundle(among(objectsAt(whole, "events"))), "a timeline without gaps has the relations themselves").to.deep.equal({});
    });
  });

  describe("getThreadRoots", () => {
    it("lists threads by their latest events, in pages", async () => {
      const roots = [];
      for (let n = 0; n < 5; n++) roots.push(await say(alice, room, text(`${n}`)));
      for (const root of roots) await say(bob, room, inThread(root));
      const moved = roots.shift() ?? "";
      const latest = await say(bob, room, inThread(moved));
      const expected = [moved, ...roots.toReversed()];
      const first = await threadsOf(alice, { limit: "2" });
      expect(stringAt(objectsAt(first.body, "chunk")[0], "unsigned", "m.relations", "m.thread", "latest_event", "event_id")).to.equal(latest);
      const second = await threadsOf(alice, { limit: "2", from: stringAt(first.body, "next_batch") ?? "" });
      const third = await threadsOf(alice, { limit: "2", from: stringAt(second.body, "next_batch") ?? "" });
      expect([...ids(first), ...ids(second), ...ids(third)]).to.deep.equal(expected);
      expect(third.body).not.to.have.property("next_batch");
      expect((await threadsOf(alice, { limit: "5" })).body).not.to.have.property("next_batch");
    });

    it("lists those alone in which the user took part", async () => {
      const [own, answered, others] = [await say(alice, room, text("own")), await say(bob, room, text("b")), await say(bob, room, text("c"))];
      for (const root of [own, answered, others]) await say(bob, room, inThread(root));
      const reply = await say(alice, room, inThread(answered));
      expect(ids(await threadsOf(alice, { include: "participated" }))).to.deep.equal([answered, own]);
      expect(ids(await threadsOf(alice))).to.deep.equal([answered, others, own]);
      await redact(alice, room, reply);
      expect(ids(await threadsOf(alice, { include: "participated" }))).to.deep.equal([own]);
    });

    it("shows the roots of ignored users as redacted, and no thread of theirs alone", async () => {
      const [root, other] = [await say(bob, room, text("hidden")), await say(bob, room, text("other"))];
      await say(alice, room, inThread(root));
      await say(bob, room, edit(root, "hidden too"));
      await say(bob, room, inThread(other));
      await ignore(alice, bob.user_id);
      const [shown, ...rest] = objectsAt((await threadsOf(alice)).body, "chunk");
      expect(rest).to.deep.equal([]);
      expect([shown?.["event_id"], shown?.["content"]]).to.deep.equal([root, {}]);
      expect(bundle(shown)).to.have.all.keys("m.thread");
    });

    it("shows nothing that happened after the user left", async () => {
      const [seen, unseen] = [await say(alice, room, text("seen")), await say(alice, room, text("unseen"))];
      await say(alice, room, inThread(seen));
      await bob.post(`${V3}/rooms/${path(room)}/leave`);
      await say(alice, room, inThread(unseen));
      expect(ids(await threadsOf(bob))).to.deep.equal([seen]);
    });

    it("refuses outsiders, tokens that are none, and what it does not know", async () => {
      const carol = await server.register("carol3");
      expect(refusal(await threadsOf(carol))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await threadsOf(alice, { from: "x" }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect((await threadsOf(alice, { include: "some" })).status).to.equal(400);
      expect((await threadsOf(alice, { limit: "0" })).status).to.equal(400);
    });
  });

  describe("threads", () => {
    it("begin at events that relate to nothing, replies apart", async () => {
      const root = await say(alice, room, text("root"));
      const reply = await say(alice, room, { ...text("reply"), "m.relates_to": { "m.in_reply_to": { event_id: root } } });
      await say(alice, room, inThread(reply));
      const threaded = await say(alice, room, inThread(root));
      const reference = await say(alice, room, relates("m.reference", root), "m.some");
      for (const event of [threaded, reference]) {
        expect(refusal(await put(alice, room, inThread(event)))).to.deep.equal([400, "M_UNKNOWN"]);
      }
      // Another process has nothing of them in memory.
      await using second = await startTestServer({}, server.address);
      expect(refusal(await put(second.client(alice), room, inThread(threaded)))).to.deep.equal([400, "M_UNKNOWN"]);
    });
  });

  describe("filters by relations", () => {
    it("work in /messages and /sync, under the names from before too", async () => {
      const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch") ?? "";
      const root = await say(alice, room, text("root"));
      const threaded = await say(bob, room, inThread(root));
      const reference = await say(alice, room, relates("m.reference", root), "m.some");
      const all = [root, threaded, reference];
      const cases: [Record<string, unknown>, string[]][] = [
        [{ rel_types: ["m.thread"] }, [threaded]],
        [{ "org.matrix.msc3874.rel_types": ["m.thread", "m.reference"] }, [threaded, reference]],
        [{ "org.matrix.msc3874.not_rel_types": ["m.thread"] }, [root, reference]],
        [{ not_rel_types: ["m.thread", "m.reference"] }, [root]],
        [{ related_by_rel_types: ["m.thread"] }, [root]],
        [{ related_by_rel_types: ["m.replace"] }, []],
        [{ related_by_senders: [bob.user_id] }, [root]],
        [{ related_by_senders: [bob.user_id], related_by_rel_types: ["m.reference"] }, []],
      ];
      for (const [filter, expected] of cases) {
        const label = JSON.stringify(filter);
        const page = await alice.get(`${V3}/rooms/${path(room)}/messages?dir=f&from=${since}&filter=${path(label)}`);
        expect(ids(page), label).to.deep.equal(expected);
        const sync = await alice.get(`${V3}/sync?since=${since}&filter=${path(JSON.stringify({ room: { timeline: filter } }))}`);
        const shown = objectsAt(sync.body, "rooms", "join", room, "timeline", "events").map((event) => stringAt(event, "event_id") ?? "");
        expect(shown.filter((id) => all.includes(id)), label).to.deep.equal(expected);
      }
    });
  });
});
