// Users are spared what they do not want: what ignored users say, and invitations.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

const path = (room: string, rest: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${rest}`;

const setData = (client: TestClient, type: string, content: Record<string, unknown>): Promise<Answer> =>
  client.put(`${V3}/user/${client.user_id}/account_data/${type}`, content);

const ignore = (client: TestClient, ...users: string[]): Promise<Answer> =>
  setData(client, "m.ignored_user_list", { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) });

async function say(client: TestClient, room: string, body: string): Promise<string> {
  const answer = await client.put(path(room, `send/m.room.message/${body}`), { msgtype: "m.text", body });
  return stringAt(answer.body, "event_id") ?? "";
}

const sync = (client: TestClient, since = ""): Promise<Answer> => client.get(`${V3}/sync?timeout=0${since}`);

function bodies(answer: Answer, ...where: readonly string[]): (string | undefined)[] {
  return objectsAt(answer.body, ...where)
    .filter(({ type }) => type === "m.room.message")
    .map((event) => stringAt(event, "content", "body"));
}

describe("ignored users", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob, carol] = await Promise.all([server.register("alice"), server.register("bob"), server.register("carol")]);
  });
  after(() => server[Symbol.asyncDispose]());

  it("are heard nowhere while they are ignored, but for state, and again after that", async () => {
    const room = await roomOf(alice, { preset: "public_chat", power_level_content_override: { users: { [alice.user_id]: 100, [bob.user_id]: 50 } }, room_version: "11" });
    for (const client of [bob, carol]) await client.post(path(room, "join"));
    const before = await say(bob, room, "before");
    const first = await sync(alice);
    await ignore(alice, bob.user_id, alice.user_id);
    let since = `&since=${String(first.body["next_batch"])}`;
    since = `&since=${String((await sync(alice, since)).body["next_batch"])}`;
    const hidden = await say(bob, room, "hidden");
    const shown = await say(carol, room, "shown");
    await say(alice, room, "own");
    await bob.put(path(room, "state/m.room.topic"), { topic: "of an ignored user" });

    const timeline = ["rooms", "join", room, "timeline", "events"];
    const next = await sync(alice, since);
    expect(bodies(next, ...timeline)).to.deep.equal(["shown", "own"]);
    expect(objectsAt(next.body, ...timeline).map(({ type }) => type)).to.include("m.room.topic");
    expect(bodies(await sync(await server.login("alice")), ...timeline)).to.deep.equal(["shown", "own"]);
    expect(bodies(await alice.get(path(room, "messages?dir=b&limit=50")), "chunk")).to.deep.equal(["own", "shown"]);
    expect(bodies(await alice.get(path(room, `context/${shown}?limit=10`)), "events_before")).to.deep.equal([]);
    expect(refusal(await alice.get(path(room, `event/${hidden}`)))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await carol.get(path(room, `event/${hidden}`))).status).to.equal(200);

    await ignore(alice);
    const after = `&since=${String((await sync(alice, `&since=${String(next.body["next_batch"])}`)).body["next_batch"])}`;
    await say(bob, room, "heard");
    expect(bodies(await sync(alice, after), ...timeline)).to.deep.equal(["heard"]);
    expect((await alice.get(path(room, `event/${before}`))).status).to.equal(200);
    expect(bodies(await alice.get(path(room, "messages?dir=b&limit=50")), "chunk")).to.deep.equal(["heard", "own", "shown", "hidden", "before"]);
  });

  it("wake nobody who ignores them", async () => {
    const room = await roomOf(alice, { preset: "public_chat" });
    for (const client of [bob, carol]) await client.post(path(room, "join"));
    await ignore(alice, bob.user_id);
    const since = `&since=${String((await sync(alice)).body["next_batch"])}`;
    const waiting = alice.get(`${V3}/sync?timeout=30000${since}`);
    await say(bob, room, "unheard");
    await say(carol, room, "wakes");
    expect(bodies(await waiting, "rooms", "join", room, "timeline", "events")).to.deep.equal(["wakes"]);
    await ignore(alice);
  });

  it("can invite without being noticed", async () => {
    const since = `&since=${String((await sync(alice)).body["next_batch"])}`;
    await ignore(alice, bob.user_id);
    const unwanted = await roomOf(bob, { invite: [alice.user_id] });
    const wanted = await roomOf(carol, { invite: [alice.user_id] });
    for (const token of [since, ""]) {
      expect(Object.keys(objectAt((await sync(alice, token)).body, "rooms", "invite"))).to.deep.equal([wanted]);
    }
    await ignore(alice);
    expect(Object.keys(objectAt((await sync(alice)).body, "rooms", "invite"))).to.have.members([wanted, unwanted]);
  });

  describe("permission to invite", () => {
    const FILTER = "org.matrix.msc4155.invite_permission_config";
    let count = 0;

    /** What becomes of an invitation by bob. */
    async function outcome(type: string, content: Record<string, unknown>): Promise<"shown" | "hidden" | "blocked"> {
      const invitee = await server.register(`invitee${++count}`);
      await setData(invitee, type, content);
      const room = await roomOf(bob);
      const answer = await bob.post(path(room, "invite"), { user_id: invitee.user_id });
      if (answer.status !== 200) {
        expect(refusal(answer)).to.deep.equal([403, "M_INVITE_BLOCKED"]);
        const member = path(room, `state/m.room.member/${invitee.user_id}`);
        expect(refusal(await bob.put(member, { membership: "invite" }))).to.deep.equal([403, "M_INVITE_BLOCKED"]);
        expect(refusal(await bob.post(`${V3}/createRoom`, { invite: [invitee.user_id] }))).to.deep.equal([403, "M_INVITE_BLOCKED"]);
        expect(refusal(await bob.get(member))).to.deep.equal([404, "M_NOT_FOUND"]);
        return "blocked";
      }
      const invited = Object.keys(objectAt((await sync(invitee)).body, "rooms", "invite"));
      return invited.includes(room) ? "shown" : "hidden";
    }

    it("can be refused altogether", async () => {
      expect(await outcome("m.invite_permission_config", { default_action: "block" })).to.equal("blocked");
      expect(await outcome("m.invite_permission_config", {})).to.equal("shown");
      expect(await outcome("m.invite_permission_config", { default_action: 7 })).to.equal("shown");
    });

    it("follows the lists of a filter in their order", async () => {
      const user = "@b?b:*";
      for (const [content, expected] of [
        [{}, "shown"],
        [{ blocked_users: [user] }, "blocked"],
        [{ ignored_users: [user] }, "hidden"],
        [{ blocked_servers: ["local*"] }, "blocked"],
        [{ ignored_servers: ["localhost"], blocked_servers: ["localhost"] }, "hidden"],
        [{ allowed_users: [bob.user_id], blocked_users: [user], blocked_servers: ["*"] }, "shown"],
        [{ blocked_users: [user], allowed_servers: ["*"] }, "blocked"],
        [{ blocked_users: null, allowed_servers: 7, ignored_users: [8, "@carol:localhost"] }, "shown"],
        [{ enabled: false, blocked_users: [user] }, "shown"],
      ] as const) {
        expect(await outcome(FILTER, content), JSON.stringify(content)).to.equal(expected);
      }
    });

    it("hides invitations that were there before", async () => {
      const invitee = await server.register("earlier");
      const room = await roomOf(bob, { invite: [invitee.user_id] });
      const invited = async (): Promise<string[]> => Object.keys(objectAt((await sync(invitee)).body, "rooms", "invite"));
      expect(await invited()).to.deep.equal([room]);
      await setData(invitee, "m.invite_permission_config", { default_action: "block" });
      expect(await invited()).to.deep.equal([]);
    });
  });
});
