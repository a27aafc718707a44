// Searching what was said: what is found, by whom, in what order and in which pages; and the index behind it.
import { expect } from "chai";
import { rebuildSearch } from "../../src/rooms/views/search-index.js";
import { Interning } from "../../src/storage/interning.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const path = (id: string): string => encodeURIComponent(id);
const text = (body: string): Record<string, unknown> => ({ msgtype: "m.text", body });

let serial = 0;

async function roomOf(client: TestClient, body: Record<string, unknown> = { preset: "private_chat" }): Promise<string> {
  return stringAt((await client.post(`${V3}/createRoom`, body)).body, "room_id") ?? "";
}

async function say(client: TestClient, room: string, content: Record<string, unknown>): Promise<string> {
  const answer = await client.put(`${V3}/rooms/${path(room)}/send/m.room.message/s${++serial}`, content);
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return stringAt(answer.body, "event_id") ?? "";
}

async function setState(client: TestClient, room: string, type: string, content: Record<string, unknown>): Promise<string> {
  const answer = await client.put(`${V3}/rooms/${path(room)}/state/${type}/`, content);
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return stringAt(answer.body, "event_id") ?? "";
}

async function searchFor(client: TestClient, search_term: string, rest: Record<string, unknown> = {}, next?: string): Promise<JsonObject> {
  const query = next === undefined ? "" : `?next_batch=${encodeURIComponent(next)}`;
  const answer = await client.post(`${V3}/search${query}`, { search_categories: { room_events: { search_term, ...rest } } });
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return objectAt(answer.body, "search_categories", "room_events");
}

const found = (answer: JsonObject): (string | undefined)[] => objectsAt(answer, "results").map((result) => stringAt(result, "result", "event_id"));

async function join(client: TestClient, room: string): Promise<void> {
  expect((await client.post(`${V3}/join/${path(room)}`)).status).to.equal(200);
}

async function redact(client: TestClient, room: string, event: string): Promise<void> {
  expect((await client.put(`${V3}/rooms/${path(room)}/redact/${path(event)}/s${++serial}`, {})).status).to.equal(200);
}

describe("search", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room: string;
  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
    await alice.put(`${V3}/profile/${path(alice.user_id)}/displayname`, { displayname: "Alice" });
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    room = await roomOf(alice, { preset: "public_chat" });
  });
  const here = (client: TestClient, term: string, rest: Record<string, unknown> & { filter?: Record<string, unknown> } = {}): Promise<JsonObject> =>
    searchFor(client, term, { ...rest, filter: { rooms: [room], ...rest.filter } });

  describe("what is found", () => {
    it("finds messages, names and topics, each by its key", async () => {
      const said = await say(alice, room, text("the walrus was here"));
      const name = await setState(alice, room, "m.room.name", { name: "Walrus friends" });
      const topic = await setState(alice, room, "m.room.topic", { topic: "All about the walrus" });
      expect(found(await here(alice, "walrus", { order_by: "recent" }))).to.deep.equal([topic, name, said]);
      expect(found(await here(alice, "walrus", { keys: ["content.body"] }))).to.deep.equal([said]);
      expect(found(await here(alice, "walrus", { keys: ["content.name", "content.topic"], order_by: "recent" }))).to.deep.equal([topic, name]);
    });

    it("finds a message as soon as it was sent", async () => {
      for (let number = 0; number < 5; number++) {
        const event = await say(alice, room, text(`at once number${number}`));
        expect(found(await here(alice, `number${number}`))).to.deep.equal([event]);
      }
    });

    it("finds other forms of a word, of three languages, without accents and letter case", async () => {
      const english = await say(alice, room, text("She was RUNNING home"));
      const spanish = await say(alice, room, text("Las canciones de España"));
      const portuguese = await say(alice, room, text("As conversas em São Paulo"));
      expect(found(await here(alice, "runs"))).to.deep.equal([english]);
      expect(found(await here(alice, "canción"))).to.deep.equal([spanish]);
      expect(found(await here(alice, "espana"))).to.deep.equal([spanish]);
      expect(found(await here(alice, "SÃO"))).to.deep.equal([portuguese]);
      expect(found(await here(alice, "conversa"))).to.deep.equal([portuguese]);
      expect(found(await here(alice, "she"))).to.deep.equal([english]);
    });

    it("wants all words, and phrases as they stand", async () => {
      const first = await say(alice, room, text("red apple, green pear"));
      const second = await say(alice, room, text("green apple"));
      expect(found(await here(alice, "apple green", { order_by: "recent" }))).to.deep.equal([second, first]);
      expect(found(await here(alice, '"green apple"'))).to.deep.equal([second]);
      expect(found(await here(alice, 'red "green pear"'))).to.deep.equal([first]);
      expect(found(await here(alice, "apple banana"))).to.deep.equal([]);
    });

    it("finds parts of texts without spaces", async () => {
      const event = await say(alice, room, text("東京都に住んでいます"));
      expect(found(await here(alice, "東京"))).to.deep.equal([event]);
    });

    it("takes anything as a search term", async () => {
      for (const term of ["", "   ", "!!!", "'", '"', "a & | ! <-> :*", "\\", "\u0000x", "%_", "-"]) {
        expect(found(await here(alice, term))).to.deep.equal([]);
      }
    });

    it("says which words to highlight, as they are written", async () => {
      await say(alice, room, text("Running is what Runners do in España"));
      const answer = await here(alice, "run espana", { filter: { limit: 5 } });
      expect(answer["highlights"]).to.include.members(["running", "españa"]);
      expect(answer["highlights"]).not.to.include("what");
    });

    it("finds an edited message by its latest text, and by the one before again when the edit is redacted", async () => {
      const event = await say(alice, room, text("original wording"));
      const edit = (body: string): Promise<string> =>
        say(alice, room, { ...text(`* ${body}`), "m.new_content": text(body), "m.relates_to": { rel_type: "m.replace", event_id: event } });
      const first = await edit("amended phrasing");
      expect(found(await here(alice, "amended"))).to.deep.equal([event]);
      expect(found(await here(alice, "wording"))).to.deep.equal([]);
      await redact(alice, room, first);
      expect(found(await here(alice, "amended"))).to.deep.equal([]);
      expect(found(await here(alice, "wording"))).to.deep.equal([event]);
    });

    it("is not moved by edits of others", async () => {
      await join(bob, room);
      const event = await say(alice, room, text("mine alone"));
      await say(bob, room, { ...text("* forged"), "m.new_content": text("forged"), "m.relates_to": { rel_type: "m.replace", event_id: event } });
      expect(found(await here(alice, "forged"))).to.deep.equal([]);
      expect(found(await here(alice, "mine"))).to.deep.equal([event]);
    });

    it("does not find what was redacted", async () => {
      const event = await say(alice, room, text("regrettable"));
      expect(found(await here(alice, "regrettable"))).to.deep.equal([event]);
      await redact(alice, room, event);
      const answer = await here(alice, "regrettable");
      expect(found(answer)).to.deep.equal([]);
      expect(answer["count"]).to.equal(0);
    });

    it("does not find what is in encrypted rooms", async () => {
      await say(alice, room, text("plaintext before"));
      expect(found(await here(alice, "plaintext"))).to.have.length(1);
      await setState(alice, room, "m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" });
      await say(alice, room, text("plaintext after"));
      await setState(alice, room, "m.room.name", { name: "plaintext name" });
      expect(found(await here(alice, "plaintext"))).to.deep.equal([]);
      const rows = await server.database.read(
        { name: "", text: "SELECT FROM search_index i JOIN rooms r ON r.nid = i.room_nid WHERE r.room_id = $1" },
        [room],
      );
      expect(rows).to.deep.equal([]);
    });
  });

  describe("who finds it", () => {
    it("finds nothing in rooms of others", async () => {
      await say(alice, room, text("secretive"));
      expect(found(await searchFor(bob, "secretive"))).to.deep.equal([]);
      expect(found(await here(bob, "secretive"))).to.deep.equal([]);
    });

    it("keeps what was said before one came or after one left, and does not count it", async () => {
      await setState(alice, room, "m.room.history_visibility", { history_visibility: "joined" });
      await say(alice, room, text("hidden otter"));
      await join(bob, room);
      const seen = await say(alice, room, text("visible otter"));
      const during = await here(bob, "otter");
      expect(found(during)).to.deep.equal([seen]);
      expect(during["count"]).to.equal(1);
      await bob.post(`${V3}/rooms/${path(room)}/leave`);
      await say(alice, room, text("later otter"));
      const after = await here(bob, "otter");
      expect(found(after)).to.deep.equal([seen]);
      expect(after["count"]).to.equal(1);
      expect(after).not.to.have.property("next_batch");
      await bob.post(`${V3}/rooms/${path(room)}/forget`);
      expect(found(await here(bob, "otter"))).to.deep.equal([]);
    });

    it("does not find a message by an edit that the searcher may not see", async () => {
      await join(bob, room);
      const event = await say(alice, room, text("harmless badger"));
      await setState(alice, room, "m.room.history_visibility", { history_visibility: "joined" });
      await bob.post(`${V3}/rooms/${path(room)}/leave`);
      await say(alice, room, { ...text("* x"), "m.new_content": text("classified badger"), "m.relates_to": { rel_type: "m.replace", event_id: event } });
      expect(found(await here(alice, "classified"))).to.deep.equal([event]);
      expect(found(await here(bob, "classified"))).to.deep.equal([]);
    });

    it("leaves out ignored users", async () => {
      await join(bob, room);
      await say(bob, room, text("noisy parrot"));
      const content = { ignored_users: { [bob.user_id]: {} } };
      const data = `${V3}/user/${path(alice.user_id)}/account_data/m.ignored_user_list`;
      await alice.put(data, content);
      expect(found(await here(alice, "parrot"))).to.deep.equal([]);
      await alice.put(data, { ignored_users: {} });
      expect(found(await here(alice, "parrot"))).to.have.length(1);
    });
  });

  describe("filters, order, pages, groups", () => {
    it("filters by sender, type and room", async () => {
      await join(bob, room);
      const hers = await say(alice, room, text("gherkin"));
      const his = await say(bob, room, text("gherkin"));
      const named = await setState(alice, room, "m.room.name", { name: "gherkin" });
      const by = async (filter: Record<string, unknown>): Promise<unknown[]> => found(await here(alice, "gherkin", { order_by: "recent", filter }));
      expect(await by({ senders: [bob.user_id] })).to.deep.equal([his]);
      expect(await by({ not_senders: [bob.user_id] })).to.deep.equal([named, hers]);
      expect(await by({ senders: ["@nobody:localhost"] })).to.deep.equal([]);
      expect(await by({ types: ["m.room.name"] })).to.deep.equal([named]);
      expect(await by({ rooms: [] })).to.deep.equal([]);
      expect(await by({ rooms: undefined, not_rooms: [room] })).to.deep.equal([]);
    });

    it("ranks exact and short texts first, or gives the newest first", async () => {
      const exact = await say(alice, room, text("walk"));
      const form = await say(alice, room, text("walking around in the park with many others today"));
      expect(found(await here(alice, "walk"))).to.deep.equal([exact, form]);
      const recent = await here(alice, "walk", { order_by: "recent" });
      expect(found(recent)).to.deep.equal([form, exact]);
      for (const result of objectsAt(recent, "results")) expect(result["rank"]).to.be.a("number").above(0);
    });

    for (const order_by of ["recent", "rank"]) {
      it(`gives each match once in pages, ${order_by}, whatever is said meanwhile`, async () => {
        const sent: string[] = [];
        for (let number = 0; number < 23; number++) sent.push(await say(alice, room, text(`page turner ${number}`)));
        const seen: (string | undefined)[] = [];
        let next: string | undefined;
        for (let page = 0; page < 10; page++) {
          const answer = await searchFor(alice, "page turner", { order_by, filter: { rooms: [room], limit: 5 } }, next);
          expect(answer["count"]).to.equal(23);
          seen.push(...found(answer));
          next = stringAt(answer, "next_batch");
          if (next === undefined) break;
          await setState(alice, room, "m.room.topic", { topic: `page turner ${page}` });
        }
        expect(seen).to.have.members(sent);
        expect(seen).to.have.length(23);
        if (order_by === "recent") expect(seen).to.deep.equal(sent.toReversed());
      });
    }

    it("refuses tokens that it did not give", async () => {
      for (const next of ["x", "q1_2", "q1_2_3_4", "q99999999999999999_1_1__", "s1_2_3"]) {
        const body = { search_categories: { room_events: { search_term: "x" } } };
        const answer = await alice.post(`${V3}/search?next_batch=${next}`, body);
        expect([answer.status, answer.body["errcode"]]).to.deep.equal([400, "M_INVALID_PARAM"]);
      }
    });

    it("believes no room that a token names", async () => {
      await say(alice, room, text("private ferret"));
      const answer = await searchFor(alice, "ferret", { filter: { limit: 1 }, groupings: { group_by: [{ key: "room_id" }] } });
      expect(found(answer)).to.have.length(1);
      const nid = (await server.database.read<{ nid: number }>({ name: "", text: "SELECT nid FROM rooms WHERE room_id = $1" }, [room]))[0]?.nid;
      expect(found(await searchFor(bob, "ferret", {}, `q9000000000000000_0_0_${nid}_`))).to.deep.equal([]);
    });

    it("groups by room and by sender, each with pages of its own", async () => {
      const other = await roomOf(alice, { preset: "public_chat" });
      await Promise.all([join(bob, room), join(bob, other)]);
      const word = "grouped";
      const [a1, a2, b1] = [await say(alice, room, text(word)), await say(alice, room, text(word)), await say(bob, other, text(word))];
      const request = { order_by: "recent", groupings: { group_by: [{ key: "room_id" }, { key: "sender" }] }, filter: { rooms: [room, other], limit: 2 } };
      const answer = await searchFor(alice, word, request);
      expect(found(answer)).to.deep.equal([b1, a2]);
      expect(objectAt(answer, "groups", "room_id", other)).to.deep.equal({ order: 1, results: [b1] });
      expect(objectAt(answer, "groups", "sender", bob.user_id)).to.deep.equal({ order: 1, results: [b1] });
      const mine = objectAt(answer, "groups", "room_id", room);
      expect(mine["results"]).to.deep.equal([a2]);
      expect(found(await searchFor(alice, word, request, stringAt(mine, "next_batch")))).to.deep.equal([a1]);
      const hers = stringAt(answer, "groups", "sender", alice.user_id, "next_batch");
      expect(found(await searchFor(alice, word, request, hers))).to.deep.equal([a1]);
    });
  });

  describe("context and state", () => {
    it("gives what stands around a result, with tokens to go on and names as they were", async () => {
      const sent: string[] = [];
      for (let number = 0; number < 7; number++) sent.push(await say(alice, room, text(`message number ${number}`)));
      const answer = await here(alice, "message 4", { event_context: { before_limit: 2, after_limit: 2, include_profile: true }, include_state: true });
      const context = objectAt(objectsAt(answer, "results")[0], "context");
      const list = (name: string): (string | undefined)[] => objectsAt(context, name).map((event) => stringAt(event, "event_id"));
      expect(list("events_before")).to.deep.equal([sent[3], sent[2]]);
      expect(list("events_after")).to.deep.equal([sent[5], sent[6]]);
      expect(stringAt(context, "profile_info", alice.user_id, "displayname")).to.equal("Alice");
      const older = await alice.get(`${V3}/rooms/${path(room)}/messages?dir=b&limit=1&from=${stringAt(context, "start")}`);
      expect(objectsAt(older.body, "chunk").map((event) => stringAt(event, "event_id"))).to.deep.equal([sent[1]]);
      const state = objectsAt(answer, "state", room).map((event) => stringAt(event, "type"));
      expect(state).to.include.members(["m.room.create", "m.room.member", "m.room.power_levels"]);
    });

    it("shows of a room that was left the state that was left behind", async () => {
      await join(bob, room);
      await setState(alice, room, "m.room.topic", { topic: "before" });
      const event = await say(alice, room, text("mongoose"));
      await bob.post(`${V3}/rooms/${path(room)}/leave`);
      await setState(alice, room, "m.room.topic", { topic: "after" });
      await say(alice, room, text("unseen"));
      const answer = await here(bob, "mongoose", { include_state: true, event_context: {} });
      expect(found(answer)).to.deep.equal([event]);
      expect(JSON.stringify(answer)).to.include("before").and.not.to.include('"after"').and.not.to.include("unseen");
    });
  });

  it("is rebuilt to what it was", async () => {
    await join(bob, room);
    const event = await say(alice, room, text("rebuilt stork"));
    await say(alice, room, { ...text("* edited"), "m.new_content": text("edited stork"), "m.relates_to": { rel_type: "m.replace", event_id: event } });
    await redact(alice, room, await say(alice, room, text("gone stork")));
    expect(found(await here(bob, "stork"))).to.deep.equal([event]);
    const all = { name: "", text: "SELECT nid, text_nid, room_nid, sender_nid, position, sent_ts, key, document::text AS document FROM search_index ORDER BY nid" };
    const open = { name: "", text: "SELECT room_nid FROM open_rooms ORDER BY room_nid" };
    const live = [await server.database.read(all, []), await server.database.read(open, [])];
    expect(live[0]).not.to.have.length(0);
    expect(live[1]).not.to.have.length(0);
    await server.database.write({ name: "", text: "UPDATE search_index SET document = ''" }, []);
    await server.database.write({ name: "", text: "DELETE FROM search_index WHERE nid % 2 = 0" }, []);
    await server.database.write({ name: "", text: "DELETE FROM open_rooms" }, []);
    await rebuildSearch({ database: server.database, interning: new Interning(server.database) });
    expect([await server.database.read(all, []), await server.database.read(open, [])]).to.deep.equal(live);
  });

  it("is complete in every process", async () => {
    await using second = await startTestServer({}, server.address);
    const there = second.client(alice);
    for (let number = 0; number < 5; number++) {
      const event = await say(number % 2 === 0 ? alice : there, room, text(`shared${number}`));
      expect(found(await here(number % 2 === 0 ? there : alice, `shared${number}`))).to.deep.equal([event]);
    }
  });

  it("wants a user, and room_events only", async () => {
    expect((await server.anonymous.post(`${V3}/search`, { search_categories: {} })).status).to.equal(401);
    expect((await alice.post(`${V3}/search`, { search_categories: {} })).body).to.deep.equal({ search_categories: {} });
    expect((await alice.post(`${V3}/search`, {})).body["errcode"]).to.equal("M_BAD_JSON");
    const wrong = await alice.post(`${V3}/search`, { search_categories: { room_events: { search_term: "x", order_by: "age" } } });
    expect(wrong.body["errcode"]).to.equal("M_BAD_JSON");
  });
});
