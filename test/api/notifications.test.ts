// The list of what a user was notified of.
import { expect } from "chai";
import { objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const path = (id: string): string => encodeURIComponent(id);

let serial = 0;

async function say(client: TestClient, room: string, body: string, rest: Record<string, unknown> = {}): Promise<string> {
  const answer = await client.put(`${V3}/rooms/${path(room)}/send/m.room.message/n${++serial}`, { msgtype: "m.text", body, ...rest });
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return stringAt(answer.body, "event_id") ?? "";
}

async function list(client: TestClient, query: Record<string, string> = {}): Promise<JsonObject> {
  const answer = await client.get(`${V3}/notifications?${new URLSearchParams(query).toString()}`);
  expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
  return answer.body;
}

const ids = (answer: JsonObject): (string | undefined)[] => objectsAt(answer, "notifications").map((each) => stringAt(each, "event", "event_id"));

describe("notifications", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let rooms: string[];
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    [alice, bob] = await Promise.all([server.register(`alice${++serial}`), server.register(`bob${serial}`)]);
    rooms = [];
    for (let number = 0; number < 2; number++) {
      const room = stringAt((await bob.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
      await say(bob, room, "before alice came");
      expect((await alice.post(`${V3}/join/${path(room)}`)).status).to.equal(200);
      rooms.push(room);
    }
  });
  const mention = (user: TestClient): Record<string, unknown> => ({ "m.mentions": { user_ids: [user.user_id] } });
  const [first, second] = [() => rooms[0] ?? "", () => rooms[1] ?? ""];

  it("lists what others said in all rooms since one came, the newest first", async () => {
    const one = await say(bob, first(), "one");
    const two = await say(bob, second(), "two");
    const own = await say(alice, first(), "my own");
    const three = await say(bob, first(), "three", mention(alice));
    const answer = await list(alice);
    expect(ids(answer)).to.deep.equal([three, two, one]);
    expect(answer).not.to.have.property("next_token");
    const [newest, , oldest] = objectsAt(answer, "notifications");
    expect(newest).to.deep.include({ room_id: first(), read: false, actions: ["notify", { set_tweak: "highlight", value: true }] });
    expect(oldest).to.deep.include({ read: true, actions: ["notify"] });
    expect(stringAt(oldest, "event", "content", "body")).to.equal("one");
    expect(ids(await list(alice, { only: "highlight" }))).to.deep.equal([three]);
    expect(ids(await list(bob))).to.deep.equal([own]);
  });

  it("tells what was read", async () => {
    const [one, two] = [await say(bob, first(), "one"), await say(bob, first(), "two")];
    await alice.post(`${V3}/rooms/${path(first())}/receipt/m.read/${path(one)}`);
    const read = objectsAt(await list(alice), "notifications").map((each) => [stringAt(each, "event", "event_id"), each["read"]]);
    expect(read).to.deep.equal([[two, false], [one, true]]);
  });

  it("goes by the rules that were in force, and leaves out what was redacted and who is ignored", async () => {
    const loud = await say(bob, first(), "loud");
    const rule = { conditions: [{ kind: "event_match", key: "room_id", pattern: second() }], actions: [] };
    expect((await alice.put(`${V3}/pushrules/global/override/mute`, rule)).status).to.equal(200);
    await say(bob, second(), "muted");
    const gone = await say(bob, first(), "gone");
    expect(ids(await list(alice))).to.deep.equal([gone, loud]);
    await bob.put(`${V3}/rooms/${path(first())}/redact/${path(gone)}/n${++serial}`, {});
    expect(ids(await list(alice))).to.deep.equal([loud]);
    const content = { ignored_users: { [bob.user_id]: {} } };
    await alice.put(`${V3}/user/${path(alice.user_id)}/account_data/m.ignored_user_list`, content);
    expect(ids(await list(alice))).to.deep.equal([]);
  });

  it("gives all of it once in pages, also where little of much notified", async () => {
    const sent: string[] = [];
    for (let number = 0; number < 130; number++) {
      if (number % 40 === 0) sent.push(await say(bob, rooms[number % 2] ?? "", `message ${number}`, mention(alice)));
      else await say(bob, rooms[number % 2] ?? "", `message ${number}`);
    }
    const seen: (string | undefined)[] = [];
    let from: string | undefined;
    do {
      const page = await list(alice, { limit: "1", only: "highlight", ...(from !== undefined && { from }) });
      seen.push(...ids(page));
      from = stringAt(page, "next_token");
      await say(bob, first(), "meanwhile");
    } while (from !== undefined);
    expect(seen).to.deep.equal(sent.toReversed());
  });

  it("refuses tokens that it did not give, and anybody without a token", async () => {
    for (const from of ["x", "n1", "n99999999999999999_1"]) {
      const { status, body } = await alice.get(`${V3}/notifications?from=${from}`);
      expect([status, body["errcode"]]).to.deep.equal([400, "M_INVALID_PARAM"]);
    }
    expect((await server.anonymous.get(`${V3}/notifications`)).status).to.equal(401);
  });
});
