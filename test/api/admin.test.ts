// What consoles and moderation bots ask of Synapse's admin API.
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { newKey, ownKey } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const ADMIN = "/_synapse/admin";
const MAKE_ADMIN = {
  name: "make_admin",
  text: "UPDATE accounts SET is_admin = true FROM users WHERE users.nid = user_nid AND user_id = $1 RETURNING 1 AS one",
};

const enc = encodeURIComponent;

async function startWithAdmin(settings: Record<string, unknown> = {}): Promise<[TestServer, TestClient]> {
  const server = await startTestServer(settings);
  const first = await server.register("root");
  await server.database.write(MAKE_ADMIN, [first.user_id]);
  return [server, await server.login("root")];
}

async function createRoom(client: TestClient, body: Record<string, unknown> = {}): Promise<string> {
  return stringAt((await client.post(`${V3}/createRoom`, body)).body, "room_id") ?? "";
}

async function say(client: TestClient, room: string, text: string): Promise<string> {
  const path = `${V3}/rooms/${enc(room)}/send/m.room.message/${enc(text)}`;
  return stringAt((await client.put(path, { msgtype: "m.text", body: text })).body, "event_id") ?? "";
}

describe("the admin API", function () {
  let server: TestServer;
  let root: TestClient;
  let alice: TestClient;
  before(async () => {
    [server, root] = await startWithAdmin();
    alice = await server.register("alice");
  });
  after(() => server[Symbol.asyncDispose]());

  const user = (name: string, rest = ""): string => `${ADMIN}/v2/users/@${name}:localhost${rest}`;
  const user1 = (name: string, rest: string): string => `${ADMIN}/v1/users/@${name}:localhost/${rest}`;

  it("is for administrators only", async () => {
    for (const path of ["/v3/users", "/v1/rooms", "/v1/event_reports", "/v1/server_version", "/v1/registration_tokens"]) {
      expect(refusal(await alice.get(ADMIN + path)), path).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await server.anonymous.get(ADMIN + path)), path).to.deep.equal([401, "M_MISSING_TOKEN"]);
    }
    expect((await root.get(`${ADMIN}/v1/server_version`)).body["server_version"]).to.match(/^1\.\d+\.\d+$/);
  });

  describe("for users", () => {
    it("makes, shows and changes accounts", async () => {
      const made = await root.put(user("bob"), {
        password: passwordOf("bob"),
        displayname: "Bob",
        threepids: [{ medium: "email", address: "Bob@example.org" }],
        external_ids: [{ auth_provider: "oidc", external_id: "b1" }],
        user_type: "support",
      });
      expect(made.status).to.equal(201);
      expect(made.body).to.deep.include({ name: "@bob:localhost", displayname: "Bob", admin: false, user_type: "support", deactivated: false });
      expect(objectsAt(made.body, "threepids")[0]).to.include({ medium: "email", address: "bob@example.org" });
      const bob = await server.login("bob");
      const changed = await root.put(user("bob"), { admin: true, avatar_url: "mxc://localhost/b", locked: true, external_ids: [] });
      expect(changed.status).to.equal(200);
      expect(changed.body).to.deep.include({ admin: true, avatar_url: "mxc://localhost/b", locked: true, external_ids: [] });
      expect(refusal(await bob.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_USER_LOCKED"]);
      expect((await root.put(user("bob"), { locked: false, admin: false })).status).to.equal(200);
      expect((await root.get(`${ADMIN}/v1/threepid/email/users/bob@example.org`)).body["user_id"]).to.equal("@bob:localhost");
      expect(refusal(await root.get(`${ADMIN}/v1/auth_providers/oidc/users/b1`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await root.get(user("nobody")))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await root.get(`${ADMIN}/v2/users/@a:elsewhere.example`))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await root.put(user("root"), { admin: false }))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await root.put(user("bob"), { threepids: [{ medium: "email", address: "no address" }] }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await root.put(user("mallory"), { password: "x", threepids: [{ medium: "email", address: "?" }] }))[0]).to.equal(400);
      expect(refusal(await root.get(user("mallory"))), "bad input leaves nothing behind").to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("lists accounts by filter, order and page", async () => {
      const names = (answer: Answer): unknown[] => objectsAt(answer.body, "users").map(({ name }) => name);
      const all = await root.get(`${ADMIN}/v3/users?order_by=creation_ts&dir=b`);
      expect(names(all)).to.include.members(["@root:localhost", "@alice:localhost", "@bob:localhost"]);
      expect(all.body["total"]).to.equal(names(all).length);
      const page = await root.get(`${ADMIN}/v3/users?from=1&limit=1&order_by=name`);
      expect(names(page)).to.deep.equal(["@bob:localhost"]);
      expect(page.body).to.include({ next_token: "2", total: 3 });
      expect(names(await root.get(`${ADMIN}/v3/users?name=BOB`))).to.deep.equal(["@bob:localhost"]);
      expect(names(await root.get(`${ADMIN}/v3/users?user_id=ali`))).to.deep.equal(["@alice:localhost"]);
      expect(names(await root.get(`${ADMIN}/v3/users?admins=true`))).to.deep.equal(["@root:localhost"]);
      for (const order of ["is_guest", "user_type", "deactivated", "shadow_banned", "displayname", "avatar_url", "last_seen_ts", "locked"]) {
        expect(names(await root.get(`${ADMIN}/v2/users?order_by=${order}&dir=f`)), order).to.have.length(3);
      }
      expect(refusal(await root.get(`${ADMIN}/v3/users?order_by=shoe_size`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    });

    it("ends accounts and gives them back", async () => {
      const carol = await server.register("carol");
      expect((await root.post(`${ADMIN}/v1/deactivate/${carol.user_id}`, { erase: false })).body).to.deep.equal({ id_server_unbind_result: "success" });
      expect(refusal(await carol.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(objectsAt((await root.get(`${ADMIN}/v3/users?deactivated=true`)).body, "users").map(({ name }) => name)).to.deep.equal([carol.user_id]);
      expect(refusal(await root.put(user("carol"), { deactivated: false }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect((await root.put(user("carol"), { deactivated: false, password: passwordOf("carol") })).body["deactivated"]).to.equal(false);
      await server.login("carol");
      expect(refusal(await root.post(`${ADMIN}/v1/deactivate/${root.user_id}`))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("resets passwords, suspends, logs in as a user", async () => {
      const dave = await server.register("dave");
      expect((await root.post(`${ADMIN}/v1/reset_password/${dave.user_id}`, { new_password: "another one", logout_devices: true })).body).to.deep.equal({});
      expect(refusal(await dave.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      const deputy = await server.register("deputy");
      // Suspended first: administrators cannot be.
      await root.put(`${ADMIN}/v1/suspend/${deputy.user_id}`, { suspend: true });
      await root.put(user1("deputy", "admin"), { admin: true });
      expect(refusal(await deputy.get(`${ADMIN}/v1/server_version`))).to.deep.equal([403, "M_FORBIDDEN"]);
      await root.put(user("deputy"), { suspended: false });
      expect((await deputy.get(`${ADMIN}/v1/server_version`)).status).to.equal(200);
      const { body } = await root.put(`${ADMIN}/v1/suspend/${dave.user_id}`, { suspend: true });
      expect(body).to.deep.equal({ [`user_${dave.user_id}_suspended`]: true });
      const token = stringAt((await root.post(user1("dave", "login"))).body, "access_token") ?? "";
      const puppet = server.client({ access_token: token });
      expect((await puppet.get(`${V3}/account/whoami`)).body["user_id"]).to.equal(dave.user_id);
      expect(refusal(await root.post(user1("root", "login")))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await root.get(`${ADMIN}/v1/username_available?username=erin`)).body).to.deep.equal({ available: true });
      expect(refusal(await root.get(`${ADMIN}/v1/username_available?username=dave`))).to.deep.equal([400, "M_USER_IN_USE"]);
    });

    it("lets accounts be used until a time", async () => {
      const gone = await server.register("gone");
      const validity = (more: object): Promise<Answer> => root.post(`${ADMIN}/v1/account_validity/validity`, { user_id: gone.user_id, ...more });
      expect((await validity({ expiration_ts: Date.now() - 1 })).status).to.equal(200);
      const whoami = async (): Promise<[number, unknown]> => refusal(await gone.get(`${V3}/account/whoami`));
      await eventually("it has expired", async () => (await whoami())[0] === 403);
      expect(await whoami()).to.deep.equal([403, "ORG_MATRIX_EXPIRED_ACCOUNT"]);
      const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "gone" }, password: passwordOf("gone") };
      expect(refusal(await server.anonymous.post(`${V3}/login`, login))).to.deep.equal([403, "ORG_MATRIX_EXPIRED_ACCOUNT"]);
      expect(refusal(await server.anonymous.post(`${V3}/login`, { ...login, password: "guess" }))).to.deep.equal([403, "M_FORBIDDEN"]);
      const { body } = await validity({});
      expect(Number(body["expiration_ts"]) - Date.now()).to.be.within(364 * 86_400_000, 365 * 86_400_000);
      await eventually("it is back", async () => (await whoami())[0] === 200);
      expect(refusal(await validity({ expiration_ts: "soon" }))).to.deep.equal([400, "M_BAD_JSON"]);
      expect(refusal(await validity({ user_id: "@nobody:localhost" }))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await validity({ user_id: root.user_id, expiration_ts: 1 }))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("tells what a user has", async () => {
      const erin = await server.register("erin");
      const room = await createRoom(erin, { invite: ["@bob:localhost"] });
      await erin.put(`${V3}/user/${erin.user_id}/account_data/org.example`, { a: 1 });
      expect((await root.get(user1("erin", "joined_rooms"))).body).to.deep.equal({ joined_rooms: [room], total: 1 });
      expect((await root.get(user1("bob", "memberships"))).body).to.deep.equal({ memberships: { [room]: "invite" } });
      expect(objectAt((await root.get(user1("erin", "accountdata"))).body, "account_data", "global", "org.example")).to.deep.equal({ a: 1 });
      expect((await root.get(user1("erin", "pushers"))).body).to.deep.equal({ pushers: [], total: 0 });
      expect((await root.get(user1("erin", "sent_invite_count?from_ts=0"))).body).to.deep.equal({ invite_count: 1 });
      expect((await root.get(user1("erin", "cumulative_joined_room_count?from_ts=0"))).body).to.deep.equal({ cumulative_joined_room_count: 1 });
      expect((await root.get(user1("erin", "admin"))).body).to.deep.equal({ admin: false });
      expect((await root.get(`${ADMIN}/v1/whois/${erin.user_id}`)).body["user_id"]).to.equal(erin.user_id);
      expect((await root.get(`${ADMIN}/v1/experimental_features/${erin.user_id}`)).body).to.deep.equal({ features: {} });
    });

    it("manages devices", async () => {
      expect((await root.post(user("alice", "/devices"), { device_id: "EXTRA", display_name: "Extra" })).status).to.equal(201);
      expect((await root.get(user("alice", "/devices/EXTRA"))).body).to.include({ display_name: "Extra", user_id: alice.user_id });
      await root.put(user("alice", "/devices/EXTRA"), { display_name: "Renamed" });
      const { body } = await root.get(user("alice", "/devices"));
      expect(objectsAt(body, "devices").map(({ display_name }) => display_name)).to.include("Renamed");
      expect((await root.delete(user("alice", "/devices/EXTRA"))).status).to.equal(200);
      expect(refusal(await root.get(user("alice", "/devices/EXTRA")))).to.deep.equal([404, "M_NOT_FOUND"]);
      const key = newKey();
      expect((await alice.post(`${V3}/keys/device_signing/upload`, { master_key: ownKey(alice, "master", key) })).status).to.equal(200);
      expect(refusal(await root.post(user("alice", "/devices"), { device_id: key.publicKey }))).to.deep.equal([403, "M_FORBIDDEN"]);
      const other = await server.login("alice");
      await root.post(user("alice", "/delete_devices"), { devices: [other.device_id] });
      expect(refusal(await other.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
    });
  });

  it("manages registration tokens", async () => {
    const tokens = `${ADMIN}/v1/registration_tokens`;
    const made = await root.post(`${tokens}/new`, { token: "abc", uses_allowed: 2 });
    expect(made.body).to.deep.equal({ token: "abc", uses_allowed: 2, pending: 0, completed: 0, expiry_time: null });
    expect(refusal(await root.post(`${tokens}/new`, { token: "abc" }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(stringAt((await root.post(`${tokens}/new`, { length: 7 })).body, "token")).to.have.length(7);
    expect((await root.put(`${tokens}/abc`, { uses_allowed: 0 })).body).to.include({ uses_allowed: 0 });
    expect(objectsAt((await root.get(`${tokens}?valid=false`)).body, "registration_tokens").map(({ token }) => token)).to.deep.equal(["abc"]);
    expect((await root.delete(`${tokens}/abc`)).body).to.deep.equal({});
    expect(refusal(await root.get(`${tokens}/abc`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("lists and deletes reports", async () => {
    const room = await createRoom(alice, { name: "Reported", preset: "public_chat" });
    const event_id = await say(alice, room, "bad");
    await alice.post(`${V3}/rooms/${enc(room)}/report/${enc(event_id)}`, { reason: "bad", score: -5 });
    await alice.post(`${V3}/users/${root.user_id}/report`, { reason: "worse" });
    const events = await root.get(`${ADMIN}/v1/event_reports?limit=10&room_id=${enc(room)}`);
    expect(events.body["total"]).to.equal(1);
    const [report] = objectsAt(events.body, "event_reports");
    expect(report).to.include({ room_id: room, event_id, name: "Reported", reason: "bad", score: -5, sender: alice.user_id });
    const one = await root.get(`${ADMIN}/v1/event_reports/${String(report?.["id"])}`);
    expect(objectAt(one.body, "event_json", "content")).to.include({ body: "bad" });
    expect((await root.delete(`${ADMIN}/v1/event_reports/${String(report?.["id"])}`)).status).to.equal(200);
    expect((await root.get(`${ADMIN}/v1/event_reports`)).body["total"]).to.equal(0);
    const [found] = objectsAt((await root.get(`${ADMIN}/v1/user_reports`)).body, "user_reports");
    expect(found).to.include({ target_user_id: root.user_id, user_id: alice.user_id, reason: "worse" });
    expect((await root.delete(`${ADMIN}/v1/user_reports/${String(found?.["id"])}`)).status).to.equal(200);
    expect(refusal(await root.get(`${ADMIN}/v1/user_reports/${String(found?.["id"])}`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("looks after media", async () => {
    const upload = async (text: string): Promise<string> =>
      (stringAt((await alice.request("POST", "/_matrix/media/v3/upload?filename=a.txt", text, { "content-type": "text/plain" })).body, "content_uri") ?? "").slice(
        "mxc://localhost/".length,
      );
    const [first, second] = [await upload("one"), await upload("two!")];
    const list = await root.get(user1("alice", "media?order_by=media_length&dir=f"));
    expect(objectsAt(list.body, "media").map(({ media_id }) => media_id)).to.deep.equal([first, second]);
    const path = (rest: string): string => `${ADMIN}/v1/media/${rest}`;
    await root.post(path(`protect/${first}`));
    expect((await root.post(`${ADMIN}/v1/user/${alice.user_id}/media/quarantine`)).body).to.deep.equal({ num_quarantined: 1 });
    expect(objectAt((await root.get(path(`localhost/${second}`))).body, "media_info")).to.include({ quarantined_by: root.user_id, user_id: alice.user_id });
    await root.post(path(`unquarantine/localhost/${second}`));
    expect(objectAt((await root.get(path(`localhost/${second}`))).body, "media_info")).to.include({ quarantined_by: null });
    await root.post(path(`unprotect/${first}`));
    // What a room shows is its own: a member's picture is theirs everywhere.
    await alice.put(`${V3}/profile/${alice.user_id}/avatar_url`, { avatar_url: `mxc://localhost/${first}` });
    const room = encodeURIComponent(await createRoom(alice));
    await alice.put(`${V3}/rooms/${room}/send/m.room.message/file`, { msgtype: "m.file", body: "a.txt", url: `mxc://localhost/${second}` });
    expect((await root.get(`${ADMIN}/v1/room/${room}/media`)).body).to.deep.equal({ local: [`mxc://localhost/${second}`], remote: [] });
    const uses = await root.get(`${ADMIN}/v1/statistics/users/media?order_by=media_length&dir=b`);
    expect(objectsAt(uses.body, "users")[0]).to.include({ user_id: alice.user_id, media_count: 2, media_length: 7 });
    expect((await root.delete(path(`localhost/${first}`))).body).to.deep.equal({ deleted_media: [first], total: 1 });
    expect((await root.delete(user1("alice", "media"))).body).to.deep.equal({ deleted_media: [second], total: 1 });
    expect((await root.post(`${path("delete")}?before_ts=1&size_gt=0`)).body).to.deep.equal({ deleted_media: [], total: 0 });
    expect((await root.post(`${ADMIN}/v1/purge_media_cache?before_ts=1`)).body).to.deep.equal({ deleted: 0 });
  });

  it("tells of the server, and of servers", async () => {
    expect((await root.get(`${ADMIN}/v1/federation/destinations?order_by=destination`)).body).to.include({ total: 0 });
    expect(refusal(await root.get(`${ADMIN}/v1/federation/destinations/other.example`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(objectsAt((await root.get(`${ADMIN}/v1/statistics/database/rooms`)).body, "rooms")).to.not.have.length(0);
  });

  describe("for rooms", () => {
    it("lists, describes and shows them, also those of others", async () => {
      const room = await createRoom(alice, { name: "Böögg", topic: "t", visibility: "public", preset: "public_chat" });
      const event_id = await say(alice, room, "hello");
      const list = await root.get(`${ADMIN}/v1/rooms?search_term=b%C3%B6%C3%B6&order_by=joined_members`);
      expect(list.body).to.include({ total_rooms: 1, offset: 0 });
      expect(objectsAt(list.body, "rooms")[0]).to.include({ room_id: room, name: "Böögg", joined_members: 1, public: true, creator: alice.user_id, join_rules: "public" });
      for (const order of ["name", "canonical_alias", "version", "creator", "encryption", "federatable", "public", "state_events", "size"]) {
        expect((await root.get(`${ADMIN}/v1/rooms?order_by=${order}&dir=b&limit=1`)).status, order).to.equal(200);
      }
      const path = (rest = ""): string => `${ADMIN}/v1/rooms/${enc(room)}${rest}`;
      expect((await root.get(path())).body).to.include({ topic: "t", joined_local_members: 1, forgotten: false });
      expect((await root.get(path("/members"))).body).to.deep.equal({ members: [alice.user_id], total: 1 });
      expect(objectsAt((await root.get(path("/state?type=m.room.name"))).body, "state")).to.have.length(1);
      expect(objectsAt((await root.get(path("/messages?dir=b&limit=1"))).body, "chunk")[0]).to.include({ event_id });
      expect(objectAt((await root.get(path(`/context/${enc(event_id)}`))).body, "event")).to.include({ event_id });
      expect(objectAt((await root.get(`${ADMIN}/v1/fetch_event/${enc(event_id)}`)).body, "event")).to.include({ event_id });
      expect((await root.get(path("/timestamp_to_event?ts=0&dir=f"))).status).to.equal(200);
      expect((await root.get(path("/hierarchy"))).status).to.equal(200);
      expect((await root.get(path("/forward_extremities"))).body["count"]).to.equal(1);
      expect(refusal(await root.get(`${ADMIN}/v1/rooms/!none:localhost`))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("brings users in, and gives them power", async () => {
      const room = await createRoom(alice, { room_version: "11" });
      expect((await root.post(`${ADMIN}/v1/rooms/${enc(room)}/make_room_admin`, {})).body).to.deep.equal({});
      expect((await root.post(`${ADMIN}/v1/join/${enc(room)}`, { user_id: root.user_id })).body).to.deep.equal({ room_id: room });
      const levels = await alice.get(`${V3}/rooms/${enc(room)}/state/m.room.power_levels`);
      expect(objectAt(levels.body, "users")).to.include({ [root.user_id]: 100 });
      expect((await root.post(`${ADMIN}/v1/join/${enc(room)}`, { user_id: "@bob:localhost" })).status).to.equal(200);
    });

    it("redacts what a user has sent", async () => {
      const room = await createRoom(alice, { preset: "public_chat" });
      const event_id = await say(alice, room, "one");
      const { body } = await root.post(`${ADMIN}/v1/user/${alice.user_id}/redact`, { rooms: [room], reason: "spam" });
      const status = `${ADMIN}/v1/user/redact_status/${String(body["redact_id"])}`;
      await eventually("the redaction is done", async () => (await root.get(status)).body["status"] === "completed");
      expect((await root.get(status)).body).to.deep.equal({ status: "completed", failed_redactions: {} });
      expect(objectAt((await alice.get(`${V3}/rooms/${enc(room)}/event/${enc(event_id)}`)).body, "content")).to.deep.equal({});
    });

    it("blocks rooms", async () => {
      const room = await createRoom(alice, { preset: "public_chat" });
      const block = `${ADMIN}/v1/rooms/${enc(room)}/block`;
      expect((await root.put(block, { block: true })).body).to.deep.equal({ block: true });
      expect((await root.get(block)).body).to.deep.equal({ block: true, user_id: root.user_id });
      expect(refusal(await root.post(`${V3}/join/${enc(room)}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await alice.put(`${V3}/directory/room/${enc("#blocked:localhost")}`, { room_id: room }))).to.deep.equal([403, "M_FORBIDDEN"]);
      await root.put(block, { block: false });
      expect((await root.post(`${V3}/join/${enc(room)}`)).status).to.equal(200);
    });

    it("deletes rooms: members hear that they left, and nothing is left behind", async () => {
      const room = await createRoom(alice, { name: "Doomed", preset: "public_chat", room_alias_name: "doomed", visibility: "public" });
      const kept = await createRoom(alice, { name: "Kept", preset: "public_chat" });
      await root.post(`${V3}/join/${enc(room)}`);
      const event_id = await say(alice, room, "last words");
      await alice.put(`${V3}/rooms/${enc(room)}/send/m.room.message/thread`, {
        msgtype: "m.text", body: "t", "m.relates_to": { rel_type: "m.thread", event_id },
      });
      await alice.post(`${V3}/rooms/${enc(room)}/receipt/m.read/${enc(event_id)}`, {});
      await alice.put(`${V3}/user/${alice.user_id}/rooms/${enc(room)}/tags/m.favourite`, {});
      const [row] = await server.database.read<{ nid: number }>({ name: "nid", text: "SELECT nid FROM rooms WHERE room_id = $1" }, [room]);
      const since = stringAt((await alice.get(`${V3}/sync?timeout=0`)).body, "next_batch") ?? "";
      const { body } = await root.delete(`${ADMIN}/v2/rooms/${enc(room)}`, { block: true, purge: true, new_room_user_id: root.user_id, room_name: "Here" });
      let token = since;
      await eventually("her sync tells of rooms", async () => {
        const told = (await alice.get(`${V3}/sync?timeout=1000&since=${token}`)).body;
        token = stringAt(told, "next_batch") ?? "";
        return ["leave", "join", "invite"].some((section) => Object.keys(objectAt(told, "rooms", section)).length > 0);
      });
      const status = `${ADMIN}/v2/rooms/delete_status/${String(body["delete_id"])}`;
      await eventually("the deletion is done", async () => ["complete", "failed"].includes(stringAt((await root.get(status)).body, "status") ?? ""));
      expect((await root.get(status)).body).to.include({ status: "complete" });
      const shutdown = objectAt((await root.get(status)).body, "shutdown_room");
      expect(shutdown["kicked_users"]).to.have.members([alice.user_id, root.user_id]);
      expect(shutdown["local_aliases"]).to.deep.equal(["#doomed:localhost"]);
      expect((await root.get(user1("alice", "joined_rooms"))).body["joined_rooms"]).to.include(shutdown["new_room_id"]);
      expect(objectsAt((await root.get(`${ADMIN}/v2/rooms/${enc(room)}/delete_status`)).body, "results")).to.have.length(1);
      expect(objectsAt((await root.get(`${ADMIN}/v1/scheduled_tasks?action_name=delete_room&status=complete`)).body, "scheduled_tasks")[0]).to.include({ resource_id: room, status: "complete" });
      expect(refusal(await root.get(`${ADMIN}/v1/rooms/${enc(room)}`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.post(`${V3}/join/${enc(room)}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(await rowsOf(server, row?.nid ?? 0)).to.deep.equal({});
      expect((await fsck(server.database)).problems).to.deep.equal([]);
      expect((await alice.get(`${V3}/sync?timeout=0&since=${since}`)).status).to.equal(200);
      expect(await say(alice, kept, "still here")).to.not.equal("");
      expect(refusal(await root.delete(`${ADMIN}/v2/rooms/!none:localhost`, {}))).to.deep.equal([404, "M_NOT_FOUND"]);
    }).timeout(600_000);

    it("goes on with a deletion that a process left behind", async () => {
      const room = await createRoom(alice);
      const [row] = await server.database.read<{ nid: number }>({ name: "nid", text: "SELECT nid FROM rooms WHERE room_id = $1" }, [room]);
      // As if a process had died right after it forgot the room, and its claim had run out.
      await server.database.write({ name: "half", text: "DELETE FROM rooms WHERE nid = $1" }, [row?.nid]);
      const params = JSON.stringify({ room_id: room, room_nid: row?.nid, purge: true, force_purge: false, room_name: "", message: "" });
      const left = "INSERT INTO admin_tasks (id, action, resource_id, params, status, result, created_ts) VALUES ('left', 'delete_room', $1, $2, 'active', '{}', 1)";
      await server.database.write({ name: "left_task", text: left }, [room, params]);
      await root.delete(`${ADMIN}/v2/rooms/!wakes:localhost`, { block: true });
      await eventually("nothing is left", async () => Object.keys(await rowsOf(server, row?.nid ?? 0)).length === 0);
      expect((await fsck(server.database)).problems).to.deep.equal([]);
    }).timeout(600_000);
  });
});

/** In which tables, by their columns, something speaks of a room, and how often. */
async function rowsOf({ database }: TestServer, roomNid: number): Promise<Record<string, number>> {
  const columns = await database.read<{ name: string; query: string }>(
    {
      name: "room_columns",
      text: `SELECT c.table_name AS name, format('SELECT count(*) AS rows FROM %I WHERE %I = $1', c.table_name, c.column_name) AS query
        FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE t.table_type = 'BASE TABLE' AND c.table_schema = current_schema() AND c.column_name IN ('room_nid', 'replacement_nid')`,
    },
    [],
  );
  const found: Record<string, number> = {};
  for (const { name, query } of columns) {
    const [counted] = await database.read<{ rows: number }>({ name: `rows_${name}_${query.length}`, text: query }, [roomNid]);
    if ((counted?.rows ?? 0) > 0) found[name] = counted?.rows ?? 0;
  }
  return found;
}

describe("a user's own rate limit", () => {
  it("counts instead of that of everybody, in every process at once", async () => {
    const [server, root] = await startWithAdmin({ rate_limits: { message: { per_second: 0.001, burst: 2 } } });
    await using _ = server;
    const alice = await server.register("alice");
    const room = await createRoom(alice);
    const limit = `${ADMIN}/v1/users/${alice.user_id}/override_ratelimit`;
    const statuses = async (count: number, prefix: string): Promise<number[]> => {
      const found: number[] = [];
      for (let number = 0; number < count; number++) {
        found.push((await alice.put(`${V3}/rooms/${enc(room)}/send/m.room.message/${prefix}${number}`, { msgtype: "m.text", body: "x" })).status);
      }
      return found;
    };
    expect(await statuses(3, "a")).to.deep.equal([200, 200, 429]);
    expect((await root.post(limit, { messages_per_second: 0, burst_count: 0 })).body).to.deep.equal({ messages_per_second: 0, burst_count: 0 });
    expect(await statuses(3, "b")).to.deep.equal([200, 200, 200]);
    expect((await root.get(limit)).body).to.deep.equal({ messages_per_second: 0, burst_count: 0 });
    await root.delete(limit);
    expect((await root.get(limit)).body).to.deep.equal({});
    expect(await statuses(1, "c")).to.deep.equal([429]);
  });
});
