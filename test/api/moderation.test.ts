// Locked and suspended accounts, and what administrators see of a user's sessions.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const V1 = "/_matrix/client/v1";

const LOGIN = { type: "m.login.password", user: "locked_alice", password: passwordOf("locked_alice") };

describe("account moderation", () => {
  let server: TestServer;
  let admin: TestClient;
  before(async () => {
    server = await startTestServer();
    await server.register("admin");
    await server.database.write(
      { name: "test_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE nid = user_nid AND user_id = '@admin:localhost'" },
      [],
    );
    admin = await server.login("admin");
  });
  after(() => server[Symbol.asyncDispose]());

  const path = (what: "lock" | "suspend", user: TestClient): string => `${V1}/admin/${what}/${encodeURIComponent(user.user_id)}`;
  const roomOf = async (client: TestClient): Promise<string> =>
    stringAt((await client.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";

  it("is for administrators, for accounts of others who are none", async () => {
    const alice = await server.register("mod_alice");
    const bob = await server.register("mod_bob");
    for (const what of ["lock", "suspend"] as const) {
      const body = what === "lock" ? { locked: true } : { suspended: true };
      expect(refusal(await alice.put(path(what, bob), body))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await alice.get(path(what, bob)))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await admin.put(path(what, admin), body))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await admin.put(`${V1}/admin/${what}/@nobody:localhost`, body))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await admin.get(`${V1}/admin/${what}/@bob:elsewhere.org`))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await admin.put(path(what, bob), {}))).to.deep.equal([400, "M_BAD_JSON"]);
    }
    expect((await admin.get(`${V3}/capabilities`)).body["capabilities"]).to.deep.include({
      "m.account_moderation": { lock: true, suspend: true },
    });
    expect((await alice.get(`${V3}/capabilities`)).body["capabilities"]).to.not.have.property("m.account_moderation");
  });

  it("locks everything but logging out, in every process, and keeps the session", async () => {
    await using second = await startTestServer({}, server.address);
    const alice = await server.register("locked_alice");
    const elsewhere = second.client(alice);
    const refreshable = await server.anonymous.post(`${V3}/login`, { ...LOGIN, refresh_token: true });
    expect((await elsewhere.get(`${V3}/account/whoami`)).status).to.equal(200);
    expect((await admin.put(path("lock", alice), { locked: true })).body).to.deep.equal({ locked: true });
    const answer = await alice.get(`${V3}/sync`);
    expect([...refusal(answer), answer.body["soft_logout"]]).to.deep.equal([401, "M_USER_LOCKED", true]);
    await eventually("the other process knows", async () => (await elsewhere.get(`${V3}/account/whoami`)).status === 401);
    expect(refusal(await elsewhere.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_USER_LOCKED"]);
    expect(refusal(await server.anonymous.post(`${V3}/login`, LOGIN))).to.deep.equal([401, "M_USER_LOCKED"]);
    expect(refusal(await server.anonymous.post(`${V3}/login`, { ...LOGIN, password: "x" }))).to.deep.equal([403, "M_FORBIDDEN"]);

    expect(refusal(await server.anonymous.post(`${V3}/refresh`, { refresh_token: refreshable.body["refresh_token"] }))).to.deep.equal([401, "M_USER_LOCKED"]);

    expect((await admin.get(path("lock", alice))).body).to.deep.equal({ locked: true });
    await admin.put(path("lock", alice), { locked: false });
    expect((await alice.get(`${V3}/account/whoami`)).status).to.equal(200);
    await admin.put(path("lock", alice), { locked: true });
    expect((await alice.post(`${V3}/logout`)).status).to.equal(200);
  });

  it("lets the suspended read, leave, redact their own and log out, and nothing that others see", async () => {
    const alice = await server.register("suspended_alice");
    const bob = await server.register("suspended_bob");
    const room = await roomOf(bob);
    const other = await roomOf(bob);
    await alice.post(`${V3}/join/${encodeURIComponent(room)}`);
    const at = `${V3}/rooms/${encodeURIComponent(room)}`;
    const mine = stringAt((await alice.put(`${at}/send/m.room.message/1`, { msgtype: "m.text", body: "mine" })).body, "event_id");
    const theirs = stringAt((await bob.put(`${at}/send/m.room.message/1`, { msgtype: "m.text", body: "theirs" })).body, "event_id");
    expect((await admin.put(path("suspend", alice), { suspended: true })).body).to.deep.equal({ suspended: true });

    const member = `${at}/state/m.room.member/${encodeURIComponent(alice.user_id)}`;
    const refused: [string, Promise<Answer>][] = [
      ["send", alice.put(`${at}/send/m.room.message/2`, { msgtype: "m.text", body: "no" })],
      ["state", alice.put(`${at}/state/org.example/x`, {})],
      ["member", alice.put(member, { membership: "join", displayname: "x" })],
      ["join", alice.post(`${V3}/join/${encodeURIComponent(other)}`)],
      ["knock", alice.post(`${V3}/knock/${encodeURIComponent(other)}`)],
      ["invite", alice.post(`${at}/invite`, { user_id: admin.user_id })],
      ["create", alice.post(`${V3}/createRoom`)],
      ["profile", alice.put(`${V3}/profile/${encodeURIComponent(alice.user_id)}/displayname`, { displayname: "x" })],
      ["upload", alice.request("POST", "/_matrix/media/v3/upload", "x")],
      ["redact another's", alice.put(`${at}/redact/${theirs}/3`)],
      ["send a redaction of another's", alice.put(`${at}/send/m.room.redaction/4`, { redacts: theirs })],
    ];
    for (const [what, answer] of refused) expect(refusal(await answer), what).to.deep.equal([403, "M_USER_SUSPENDED"]);
    expect((await alice.get(`${at}/messages?dir=b`)).status).to.equal(200);
    expect((await alice.get(`${V3}/sync`)).status).to.equal(200);
    expect((await alice.put(`${at}/redact/${mine}/5`)).status).to.equal(200);
    expect((await server.login("suspended_alice")).access_token).to.not.equal("");
    expect((await alice.put(member, { membership: "leave" })).status).to.equal(200);

    await admin.put(path("suspend", alice), { suspended: false });
    expect((await alice.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
  });

  it("tells a user and administrators where devices were used", async () => {
    const alice = await server.register("whois_alice");
    const bob = await server.register("whois_bob");
    const whois = `${V3}/admin/whois/${encodeURIComponent(alice.user_id)}`;
    const answer = await alice.get(whois);
    expect(answer.body).to.include({ user_id: alice.user_id });
    const [session] = objectsAt(answer.body, "devices", alice.device_id, "sessions");
    const [connection, ...others] = objectsAt(session, "connections");
    expect(connection).to.include({ ip: "127.0.0.1" });
    expect(connection?.["last_seen"]).to.be.closeTo(Date.now(), 120_000);
    expect(others).to.deep.equal([]);
    expect((await admin.get(whois)).status).to.equal(200);
    expect(refusal(await bob.get(whois))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await admin.get(`${V3}/admin/whois/@nobody:localhost`))).to.deep.equal([404, "M_NOT_FOUND"]);
  });
});
