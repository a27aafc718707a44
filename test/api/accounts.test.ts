// Registration, login, sessions, devices and what users do to their account.
import { createHmac } from "node:crypto";
import { hash as bcrypt } from "bcrypt";
import { expect } from "chai";
import { createRegistrationToken } from "../../src/storage/registration.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

/** Status and errcode together, as most expectations need them. */

const passwordAuth = (name: string, session?: string, password = passwordOf(name)): Record<string, unknown> => ({
  type: "m.login.password",
  identifier: { type: "m.id.user", user: name },
  password,
  ...(session !== undefined && { session }),
});

function loginBody(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...passwordAuth(name), ...more };
}

describe("accounts", () => {
  let server: TestServer;
  let anonymous: TestClient;
  before(async () => {
    server = await startTestServer({ registration: { shared_secret: "complement" } });
    anonymous = server.anonymous;
  });
  after(() => server[Symbol.asyncDispose]());

  describe("register", () => {
    it("asks for authentication, then makes the account and logs in", async () => {
      const body = { username: "Reg_One", password: "long enough", initial_device_display_name: "Phone" };
      const first = await anonymous.post(`${V3}/register`, body);
      expect(first.status).to.equal(401);
      expect(first.body).to.have.all.keys("session", "flows", "params", "completed");
      expect(first.body["flows"]).to.deep.equal([{ stages: ["m.login.dummy"] }]);
      const auth = { type: "m.login.dummy", session: first.body["session"] };
      const second = await anonymous.post(`${V3}/register`, { ...body, auth });
      expect(second.status).to.equal(200);
      expect(second.body).to.include({ user_id: "@reg_one:localhost", home_server: "localhost" });
      const client = server.client({ access_token: stringAt(second.body, "access_token") });
      const whoami = await client.get(`${V3}/account/whoami`);
      expect(whoami.body).to.deep.equal({
        user_id: "@reg_one:localhost",
        device_id: second.body["device_id"],
        is_guest: false,
      });
      const again = await anonymous.post(`${V3}/register`, body);
      expect(refusal(again)).to.deep.equal([400, "M_USER_IN_USE"]);
    });

    it("takes null for a session that the client does not have", async () => {
      const auth = { type: "m.login.dummy", session: null };
      const answer = await anonymous.post(`${V3}/register`, { auth, username: "reg_null", password: "long enough" });
      expect(answer.body["user_id"]).to.equal("@reg_null:localhost");
      expect((await anonymous.get(`${V3}/profile/@reg_null:localhost`)).body).to.deep.equal({ displayname: "reg_null" });
    });

    it("answers the old path, without session, with a device of the client's choice", async () => {
      const answer = await anonymous.post("/_matrix/client/r0/register", {
        auth: { type: "m.login.dummy" },
        username: "reg_two",
        password: "long enough",
        device_id: "MY DEVICE",
      });
      expect(answer.body).to.include({ user_id: "@reg_two:localhost", device_id: "MY DEVICE" });
    });

    it("invents a name, and opens no session if none is wanted", async () => {
      const auth = { type: "m.login.dummy" };
      const answer = await anonymous.post(`${V3}/register`, { auth, password: "long enough", inhibit_login: true });
      expect(answer.status).to.equal(200);
      expect(answer.body["user_id"]).to.match(/^@[a-z2-7]{12}:localhost$/);
      expect(answer.body).to.not.have.any.keys("access_token", "device_id");
    });

    const names: [name: string, errcode: string][] = [
      ["with space", "M_INVALID_USERNAME"],
      ["émile", "M_INVALID_USERNAME"],
      ["a:b", "M_INVALID_USERNAME"],
      ["@a:localhost", "M_INVALID_USERNAME"],
      ["", "M_INVALID_USERNAME"],
      ["_bridge", "M_INVALID_USERNAME"],
      ["a\u0000b", "M_INVALID_USERNAME"],
      ["x".repeat(250), "M_INVALID_USERNAME"],
      ["reg_one", "M_USER_IN_USE"],
      ["REG_ONE", "M_USER_IN_USE"],
    ];
    for (const [username, errcode] of names) {
      it(`refuses the name ${JSON.stringify(username.slice(0, 20))} before it asks for authentication: ${errcode}`, async () => {
        const answer = await anonymous.post(`${V3}/register`, { username, password: "long enough" });
        expect(refusal(answer)).to.deep.equal([400, errcode]);
        const available = await anonymous.get(`${V3}/register/available?username=${encodeURIComponent(username)}`);
        expect(refusal(available)).to.deep.equal([400, errcode]);
      });
    }

    it("refuses weak and endless passwords, missing ones, and guests", async () => {
      const auth = { type: "m.login.dummy" };
      expect(refusal(await anonymous.post(`${V3}/register`, { auth, password: "short" }))).to.deep.equal([400, "M_WEAK_PASSWORD"]);
      expect(refusal(await anonymous.post(`${V3}/register`, { auth, password: "x".repeat(600) }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await anonymous.post(`${V3}/register`, { auth }))).to.deep.equal([400, "M_MISSING_PARAM"]);
      expect(refusal(await anonymous.post(`${V3}/register?kind=guest`))).to.deep.equal([403, "M_GUEST_ACCESS_FORBIDDEN"]);
      expect(refusal(await anonymous.post(`${V3}/register?kind=robot`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    });

    it("says which names are free", async () => {
      const answer = await anonymous.get(`${V3}/register/available?username=nobody_has_this`);
      expect([answer.status, answer.body]).to.deep.equal([200, { available: true }]);
      expect(refusal(await anonymous.get(`${V3}/register/available`))).to.deep.equal([400, "M_MISSING_PARAM"]);
    });

    it("makes one account when ten ask for the same name at once", async () => {
      const body = { auth: { type: "m.login.dummy" }, username: "contended", password: "long enough" };
      const answers = await Promise.all(Array.from({ length: 10 }, () => anonymous.post(`${V3}/register`, body)));
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).to.deep.equal([200, ...Array.from({ length: 9 }, () => 400)]);
      for (const answer of answers) if (answer.status === 400) expect(answer.body["errcode"]).to.equal("M_USER_IN_USE");
    });

    it("is closed where it was not opened", async () => {
      await using closed = await startTestServer({ servers: [{ name: "example.org" }] });
      const answer = await closed.anonymous.post(`${V3}/register`, { username: "a", password: "long enough" });
      expect(refusal(answer)).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await closed.anonymous.get(`${V3}/register/available?username=a`))).to.deep.equal([403, "M_FORBIDDEN"]);
    });

    it("takes a registration token as often as allowed, and terms", async () => {
      await using strict = await startTestServer({
        registration: { require_token: true, terms: { version: "1", name: "Terms", url: "https://example.org/terms" } },
      });
      await strict.database.transaction((tx) =>
        createRegistrationToken(tx, { token: "once", uses_allowed: 1, expires_ts: undefined, created_ts: 0 }),
      );
      await strict.database.transaction((tx) =>
        createRegistrationToken(tx, { token: "expired", uses_allowed: undefined, expires_ts: 1, created_ts: 0 }),
      );
      const validity = "/_matrix/client/v1/register/m.login.registration_token/validity?token=";
      expect((await strict.anonymous.get(`${validity}once`)).body).to.deep.equal({ valid: true });
      expect((await strict.anonymous.get(`${validity}expired`)).body).to.deep.equal({ valid: false });
      expect((await strict.anonymous.get(`${validity}unknown`)).body).to.deep.equal({ valid: false });

      const body = { username: "invited", password: "long enough" };
      const register = (auth?: Record<string, unknown>, name = "invited"): Promise<Answer> =>
        strict.anonymous.post(`${V3}/register`, { ...body, username: name, ...(auth !== undefined && { auth }) });
      const first = await register();
      expect(first.body["flows"]).to.deep.equal([{ stages: ["m.login.registration_token", "m.login.terms"] }]);
      expect(objectAt(first.body, "params", "m.login.terms", "policies", "terms")).to.have.property("version", "1");
      const session = first.body["session"];
      const wrong = await register({ type: "m.login.registration_token", token: "unknown", session });
      expect(refusal(wrong)).to.deep.equal([401, "M_FORBIDDEN"]);
      expect(wrong.body["session"]).to.equal(session);
      const dummy = await register({ type: "m.login.dummy", session });
      expect(refusal(dummy)).to.deep.equal([401, "M_UNRECOGNIZED"]);
      const half = await register({ type: "m.login.registration_token", token: "once", session });
      expect([half.status, half.body["completed"]]).to.deep.equal([401, ["m.login.registration_token"]]);
      expect((await register({ type: "m.login.terms", session })).status).to.equal(200);
      expect((await strict.anonymous.get(`${validity}once`)).body).to.deep.equal({ valid: false });
      const second = await register({ type: "m.login.registration_token", token: "once" }, "uninvited");
      expect(refusal(second)).to.deep.equal([401, "M_FORBIDDEN"]);
    });
  });

  describe("user-interactive authentication", () => {
    it("holds a session to one user, operation and body", async () => {
      const [alice, mallory] = [await server.register("uia_alice"), await server.register("uia_mallory")];
      const change = { new_password: "another long one" };
      const first = await alice.post(`${V3}/account/password`, change);
      const session = stringAt(first.body, "session");
      expect(first.status).to.equal(401);

      const otherBody = await alice.post(`${V3}/account/password`, {
        new_password: "mallory's choice",
        auth: { session },
      });
      expect([otherBody.status, otherBody.body["session"] === session]).to.deep.equal([401, false]);
      const otherUser = await mallory.post(`${V3}/account/password`, { ...change, auth: { session } });
      expect(refusal(otherUser)).to.deep.equal([403, "M_FORBIDDEN"]);
      const withoutBody = await mallory.post(`${V3}/account/password`, { auth: { session } });
      expect(refusal(withoutBody)).to.deep.equal([400, "M_BAD_JSON"]);
      const otherOperation = await alice.post(`${V3}/account/deactivate`, { auth: { session } });
      expect(refusal(otherOperation)).to.deep.equal([403, "M_FORBIDDEN"]);
      const otherPassword = await alice.post(`${V3}/account/password`, {
        ...change,
        auth: passwordAuth("uia_mallory", session),
      });
      expect(refusal(otherPassword)).to.deep.equal([403, "M_FORBIDDEN"]);
      const done = await alice.post(`${V3}/account/password`, { ...change, auth: passwordAuth("uia_alice", session) });
      expect(done.status).to.equal(200);
      const again = await alice.post(`${V3}/account/password`, { ...change, auth: { session } });
      expect(again.status).to.equal(401);
    });

    it("remembers the first body for a client that sends nothing but `auth` after it", async () => {
      const body = { username: "uia_short", password: "übers3kr1t", device_id: "SHORT", initial_device_display_name: "phone" };
      const first = await anonymous.post(`${V3}/register`, body);
      const auth = { type: "m.login.dummy", session: first.body["session"] };
      const made = await anonymous.post(`${V3}/register`, { auth });
      expect(made.body).to.include({ user_id: "@uia_short:localhost", device_id: "SHORT" });
      const client = server.client({ access_token: stringAt(made.body, "access_token") ?? "" });
      expect((await client.get(`${V3}/devices/SHORT`)).body).to.include({ display_name: "phone" });

      const challenge = await client.post(`${V3}/account/password`, { new_password: "another long one" });
      const confirmed = { ...passwordAuth("uia_short", stringAt(challenge.body, "session")), password: body.password };
      expect((await client.post(`${V3}/account/password`, { auth: confirmed })).status).to.equal(200);
      expect((await server.anonymous.post(`${V3}/login`, { ...passwordAuth("uia_short"), password: "another long one" })).status).to.equal(200);
      const silent = await anonymous.post(`${V3}/register`, { username: "uia_silent", password: "long enough", inhibit_login: true });
      const quiet = await anonymous.post(`${V3}/register`, { auth: { type: "m.login.dummy", session: silent.body["session"] } });
      expect(quiet.body).to.have.all.keys("user_id", "home_server");
    });

    it("gives the same user again to who registers again in the same session, while the password is the same", async () => {
      for (const username of ["uia_twice", undefined]) {
        const body = { ...(username !== undefined && { username }), password: "long enough" };
        const first = await anonymous.post(`${V3}/register`, body);
        const again = { ...body, auth: { type: "m.login.dummy", session: first.body["session"] } };
        const [one, two] = [await anonymous.post(`${V3}/register`, again), await anonymous.post(`${V3}/register`, again)];
        expect([one.status, two.status]).to.deep.equal([200, 200]);
        expect(two.body["user_id"]).to.equal(one.body["user_id"]);
        expect(two.body["access_token"]).to.not.equal(one.body["access_token"]);
        const client = server.client({ access_token: stringAt(two.body, "access_token") ?? "" });
        const identifier = { type: "m.id.user", user: one.body["user_id"] };
        const auth = { type: "m.login.password", identifier, password: "long enough" };
        expect((await client.post(`${V3}/account/password`, { new_password: "another long one", auth })).status).to.equal(200);
        expect(refusal(await anonymous.post(`${V3}/register`, again))).to.deep.equal([403, "M_FORBIDDEN"]);
        const another = `uia_other_${username ?? "none"}`;
        expect((await anonymous.post(`${V3}/register`, { ...again, username: another })).body["user_id"]).to.equal(`@${another}:localhost`);
      }
    });

    it("goes on in another process", async () => {
      await using second = await startTestServer({}, server.address);
      const body = { username: "uia_elsewhere", password: "long enough" };
      const first = await anonymous.post(`${V3}/register`, body);
      const auth = { type: "m.login.dummy", session: first.body["session"] };
      expect((await second.anonymous.post(`${V3}/register`, { ...body, auth })).status).to.equal(200);
    });

    it("keeps no password in the database", async () => {
      const alice = await server.register("uia_secret");
      await alice.post(`${V3}/account/password`, { new_password: "canary-of-a-password" });
      const session = await server.database.connect();
      const { rows } = await session.query<{ dump: string }>(
        `SELECT string_agg(row, ' ') AS dump FROM (
           SELECT accounts::text AS row FROM accounts UNION ALL SELECT authentication_sessions::text FROM authentication_sessions
           UNION ALL SELECT access_tokens::text FROM access_tokens) AS rows`,
      );
      await session.end();
      expect(rows[0]?.dump).to.contain("argon2id");
      expect(rows[0]?.dump).to.not.contain("canary-of").and.not.contain("secret of").and.not.contain(alice.access_token);
    });
  });

  describe("registration by shared secret", () => {
    const path = "/_synapse/admin/v1/register";
    const nonce = async (): Promise<string> => stringAt((await anonymous.get(path)).body, "nonce") ?? "";
    const request = (fields: { nonce: string; username: string; admin?: boolean }, key = "complement"): Promise<Answer> => {
      const parts = [fields.nonce, fields.username, "s3cret-ü", fields.admin === true ? "admin" : "notadmin"];
      const mac = createHmac("sha1", key).update(parts.join("\0")).digest("hex");
      return anonymous.post(path, { ...fields, password: "s3cret-ü", mac });
    };

    it("makes users and administrators, whose nonce works once", async () => {
      const once = await nonce();
      const answer = await request({ nonce: once, username: "Shared_Admin", admin: true });
      expect(answer.body).to.include({ user_id: "@shared_admin:localhost", home_server: "localhost" });
      expect(answer.body["access_token"]).to.be.a("string");
      expect(refusal(await request({ nonce: once, username: "shared_other" }))).to.deep.equal([400, "M_UNKNOWN"]);
      expect((await request({ nonce: await nonce(), username: "shared_user" })).status).to.equal(200);
    });

    it("refuses wrong proofs and names", async () => {
      expect(refusal(await request({ nonce: await nonce(), username: "shared_x" }, "guess"))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await request({ nonce: "made up", username: "shared_x" }))).to.deep.equal([400, "M_UNKNOWN"]);
      expect(refusal(await request({ nonce: await nonce(), username: "sh@red" }))).to.deep.equal([400, "M_INVALID_USERNAME"]);
      expect(refusal(await request({ nonce: await nonce(), username: "shared_user" }))).to.deep.equal([400, "M_USER_IN_USE"]);
    });

    it("is off unless configured", async () => {
      await using other = await startTestServer();
      expect(refusal(await other.anonymous.get(path))).to.deep.equal([400, "M_UNKNOWN"]);
    });
  });

  describe("login", () => {
    before(() => server.register("login_user"));

    it("offers passwords", async () => {
      expect((await anonymous.get(`${V3}/login`)).body).to.deep.equal({
        flows: [{ type: "m.login.password" }, { type: "m.login.token", get_login_token: true }],
      });
    });

    it("takes a localpart, a whole id, any case, and the old field", async () => {
      for (const user of ["login_user", "@login_user:localhost", "LOGIN_User"]) {
        const answer = await anonymous.post(`${V3}/login`, loginBody("login_user", { identifier: { type: "m.id.user", user } }));
        expect(answer.body).to.include({ user_id: "@login_user:localhost" });
      }
      const old = { type: "m.login.password", user: "login_user", password: passwordOf("login_user") };
      expect((await anonymous.post("/_matrix/client/r0/login", old)).status).to.equal(200);
    });

    it("reuses a device: its older session ends, its name stays", async () => {
      const first = await anonymous.post(
        `${V3}/login`,
        loginBody("login_user", { device_id: "D1", initial_device_display_name: "Mine" }),
      );
      const second = await anonymous.post(
        `${V3}/login`,
        loginBody("login_user", { device_id: "D1", initial_device_display_name: "Other" }),
      );
      const old = server.client({ access_token: stringAt(first.body, "access_token") });
      expect(refusal(await old.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      const current = server.client({ access_token: stringAt(second.body, "access_token") });
      expect((await current.get(`${V3}/devices/D1`)).body).to.include({ device_id: "D1", display_name: "Mine" });
    });

    it("refuses in the same words whatever is wrong", async () => {
      const wrong = await anonymous.post(`${V3}/login`, loginBody("login_user", { password: "wrong" }));
      const missing = await anonymous.post(`${V3}/login`, loginBody("nobody_at_all"));
      const foreign = await anonymous.post(`${V3}/login`, loginBody("@login_user:elsewhere.org"));
      expect(refusal(wrong)).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(missing.body).to.deep.equal(wrong.body);
      expect(foreign.body).to.deep.equal(wrong.body);
    });

    const faults: [name: string, body: Record<string, unknown>, status: number, errcode: string][] = [
      ["an unknown type", { type: "m.login.magic" }, 400, "M_UNKNOWN"],
      ["no type", {}, 400, "M_BAD_JSON"],
      ["no password", { type: "m.login.password", user: "login_user" }, 400, "M_MISSING_PARAM"],
      ["no user", { type: "m.login.password", password: "x" }, 400, "M_MISSING_PARAM"],
      ["half an address", { ...passwordAuth("a"), identifier: { type: "m.id.thirdparty", medium: "email" } }, 400, "M_MISSING_PARAM"],
      ["an unknown identifier", { ...passwordAuth("a"), identifier: { type: "m.id.magic", user: "a" } }, 400, "M_UNKNOWN"],
      ["an endless password", { ...passwordAuth("login_user"), password: "x".repeat(1000) }, 400, "M_INVALID_PARAM"],
      ["a password that is no text", { ...passwordAuth("login_user"), password: 1 }, 400, "M_BAD_JSON"],
      ["a device id with U+0000", { ...passwordAuth("login_user"), device_id: "a\u0000" }, 400, "M_BAD_JSON"],
    ];
    for (const [name, body, status, errcode] of faults) {
      it(`refuses ${name}: ${errcode}`, async () => {
        expect(refusal(await anonymous.post(`${V3}/login`, body))).to.deep.equal([status, errcode]);
      });
    }

    it("takes imported bcrypt hashes and renews them", async () => {
      const client = await server.register("imported");
      const set = async (hash: string): Promise<void> => {
        await server.database.transaction(async (tx) => {
          await tx.query(
            { name: "test_set_hash", text: "UPDATE accounts SET password_hash = $2 WHERE user_nid = (SELECT nid FROM users WHERE user_id = $1)" },
            [client.user_id, hash],
          );
        });
      };
      await set(await bcrypt("imported-password", 4));
      const body = loginBody("imported", { password: "imported-password" });
      expect((await anonymous.post(`${V3}/login`, body)).status).to.equal(200);
      const [row] = await server.database.read(
        { name: "test_get_hash", text: "SELECT password_hash FROM accounts JOIN users ON nid = user_nid WHERE user_id = $1" },
        [client.user_id],
      );
      expect(row?.["password_hash"]).to.match(/^\$argon2id\$/);
      expect((await anonymous.post(`${V3}/login`, body)).status).to.equal(200);
    });

    it("limits wrong passwords per account, and right ones go through again later", async () => {
      await using limited = await startTestServer({
        rate_limits: { login: { burst: 100 }, login_failure: { per_second: 0.2, burst: 3 } },
      });
      await limited.register("guessed");
      const guess = loginBody("guessed", { password: "wrong" });
      for (let i = 0; i < 3; i++) expect((await limited.anonymous.post(`${V3}/login`, guess)).status).to.equal(403);
      const limit = await limited.anonymous.post(`${V3}/login`, loginBody("guessed"));
      expect(refusal(limit)).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
      await new Promise((resolve) => setTimeout(resolve, Number(limit.body["retry_after_ms"]) + 20));
      expect((await limited.anonymous.post(`${V3}/login`, loginBody("guessed"))).status).to.equal(200);
    });

    it("lets no more guesses through at the same time, and counts no right password", async () => {
      await using limited = await startTestServer({
        rate_limits: { login: { burst: 100 }, login_failure: { per_second: 0.001, burst: 3 } },
      });
      await limited.register("guessed");
      for (let i = 0; i < 6; i++) expect((await limited.anonymous.post(`${V3}/login`, loginBody("guessed"))).status).to.equal(200);
      const guess = loginBody("guessed", { password: "wrong" });
      const guesses = await Promise.all(Array.from({ length: 8 }, () => limited.anonymous.post(`${V3}/login`, guess)));
      expect(guesses.filter(({ status }) => status === 403)).to.have.lengthOf(3);
      expect(guesses.filter(({ status }) => status === 429)).to.have.lengthOf(5);
    });

    it("takes null for what a client has no device of", async () => {
      const { user_id } = await server.register("login_null");
      const answer = await anonymous.post(`${V3}/login`, loginBody("login_null", { device_id: null, initial_device_display_name: null }));
      expect(answer.status).to.equal(200);
      expect(answer.body).to.include({ user_id });
      expect(answer.body["device_id"]).to.match(/^[A-Z]{10}$/);
    });

    it("tells clients where the server is, if that is configured", async () => {
      const policy_server_key = "6yhHGKhCiXTSEN2ksjV7kX/N6rBQZ3Xb+M7LlC6NS+s";
      const public_base_url = "https://matrix.example.org";
      await using known = await startTestServer({
        servers: [{ name: "localhost", public_base_url, support_page: "https://example.org/help", policy_server_key }],
      });
      const document = { "m.homeserver": { base_url: "https://matrix.example.org" } };
      expect((await known.anonymous.get("/.well-known/matrix/client")).body).to.deep.equal(document);
      expect((await known.anonymous.get("/.well-known/matrix/support")).body).to.deep.equal({
        support_page: "https://example.org/help",
      });
      expect((await known.anonymous.get("/.well-known/matrix/policy_server")).body).to.deep.equal({ public_keys: { ed25519: policy_server_key } });
      await known.register("found");
      const login = await known.anonymous.post(`${V3}/login`, loginBody("found"));
      expect(login.body["well_known"]).to.deep.equal(document);
      expect(refusal(await anonymous.get("/.well-known/matrix/client"))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await anonymous.get("/.well-known/matrix/support"))).to.deep.equal([404, "M_NOT_FOUND"]);
      // Without another one this server is its own policy server.
      const named = (await anonymous.get("/.well-known/matrix/policy_server")).body;
      expect(stringAt(named, "public_keys", "ed25519")).to.match(/^[A-Za-z0-9+/]{43}$/);
    });
  });

  describe("access tokens", () => {
    it("count in the header, and where there is none in the query", async () => {
      const client = await server.register("token_place");
      const inQuery = await anonymous.get(`${V3}/account/whoami?access_token=${client.access_token}`);
      expect(inQuery.body).to.include({ user_id: client.user_id });
      const both = await server.client({ access_token: "x" }).get(`${V3}/account/whoami?access_token=${client.access_token}`);
      expect(refusal(both)).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await server.client({ access_token: "x" }).get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
    });

    it("expire softly and are refreshed, the old pair lasting until the new one is used", async () => {
      await using brief = await startTestServer({ tokens: { access_lifetime: 600 } });
      await brief.register("refresher");
      const login = await brief.anonymous.post(`${V3}/login`, loginBody("refresher", { refresh_token: true }));
      expect(login.body["expires_in_ms"]).to.equal(600_000);
      const refresh = (token: unknown): Promise<Answer> => brief.anonymous.post(`${V3}/refresh`, { refresh_token: token });
      const whoami = (answer: Answer): Promise<Answer> =>
        brief.client({ access_token: stringAt(answer.body, "access_token") }).get(`${V3}/account/whoami`);

      const lost = await refresh(login.body["refresh_token"]);
      const second = await refresh(login.body["refresh_token"]);
      expect(second.status).to.equal(200);
      expect(refusal(await whoami(lost))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect((await whoami(login)).status).to.equal(200);
      expect((await whoami(second)).body).to.include({ device_id: login.body["device_id"] });
      expect(refusal(await whoami(login))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await refresh(login.body["refresh_token"]))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);

      // The second refresh token is used before the access token it came with.
      const third = await refresh(second.body["refresh_token"]);
      const fourth = await refresh(third.body["refresh_token"]);
      expect(fourth.status).to.equal(200);
      expect(refusal(await whoami(second))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);

      await brief.database.transaction(async (tx) => {
        await tx.query({ name: "test_expire", text: "UPDATE access_tokens SET expires_ts = 1" }, []);
      });
      const expired = await whoami(fourth);
      expect(refusal(expired)).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(expired.body["soft_logout"]).to.equal(true);
      expect((await refresh(fourth.body["refresh_token"])).status).to.equal(200);
      expect(refusal(await refresh("made up"))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await brief.anonymous.post(`${V3}/refresh`))).to.deep.equal([400, "M_BAD_JSON"]);
    });

    it("end by logging out: one, or all", async () => {
      const [one, two] = [await server.register("leaver"), await server.login("leaver")];
      expect((await one.post(`${V3}/logout`)).body).to.deep.equal({});
      expect(refusal(await one.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(objectsAt((await two.get(`${V3}/devices`)).body, "devices").map((device) => device["device_id"])).to.deep.equal([two.device_id]);
      const three = await server.login("leaver");
      await two.post(`${V3}/logout/all`);
      expect(refusal(await two.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await three.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await anonymous.post(`${V3}/logout`))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    });
  });

  describe("devices", () => {
    it("are known from where and when they were made", async () => {
      const before = Date.now();
      const one = await server.register("sighted");
      await server.login("sighted");
      for (const device of objectsAt((await one.get(`${V3}/devices`)).body, "devices")) {
        expect(device["last_seen_ip"]).to.be.a("string");
        expect(device["last_seen_ts"]).to.be.within(before, Date.now());
      }
    });

    it("are listed, named, and deleted by their owner only", async () => {
      const [one, two, other] = [await server.register("dev_a"), await server.login("dev_a"), await server.register("dev_b")];
      const path = `${V3}/devices/${two.device_id}`;
      expect(refusal(await other.get(path))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await other.put(path, { display_name: "mine now" }))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect((await one.put(path, { display_name: "Tablet \u0000 ☃" })).body).to.deep.equal({});
      expect((await one.get(path)).body).to.include({ device_id: two.device_id, display_name: "Tablet \u0000 ☃" });
      expect(refusal(await one.put(path, { display_name: "x".repeat(2000) }))).to.deep.equal([400, "M_BAD_JSON"]);
      expect(refusal(await one.put(`${V3}/devices/NONE`, { display_name: "x" }))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await one.put(`${V3}/devices/NONE`, {}))).to.deep.equal([404, "M_NOT_FOUND"]);

      const challenge = await one.delete(path);
      expect([challenge.status, challenge.body["flows"]]).to.deep.equal([401, [{ stages: ["m.login.password"] }]]);
      const session = stringAt(challenge.body, "session");
      const wrong = await one.delete(path, { auth: passwordAuth("dev_a", session, "wrong") });
      expect(refusal(wrong)).to.deep.equal([401, "M_FORBIDDEN"]);
      const asOther = await one.delete(`${V3}/devices/${one.device_id}`, { auth: { session } });
      expect(refusal(asOther)).to.deep.equal([403, "M_FORBIDDEN"]);
      expect((await one.delete(path, { auth: passwordAuth("dev_a", session) })).body).to.deep.equal({});
      expect(refusal(await two.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await one.get(path))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    it("are deleted together", async () => {
      const [one, two, three] = [await server.register("dev_c"), await server.login("dev_c"), await server.login("dev_c")];
      const auth = passwordAuth("dev_c");
      const answer = await one.post(`${V3}/delete_devices`, { devices: [two.device_id, three.device_id, "NONE"], auth });
      expect(answer.status).to.equal(200);
      const left = objectsAt((await one.get(`${V3}/devices`)).body, "devices");
      expect(left.map((device) => device["device_id"])).to.deep.equal([one.device_id]);
      expect(refusal(await one.post(`${V3}/delete_devices`, { auth }))).to.deep.equal([400, "M_BAD_JSON"]);
    });
  });

  describe("changePassword", () => {
    it("ends the other sessions unless told not to", async () => {
      const [one, two] = [await server.register("pw_a"), await server.login("pw_a")];
      const path = `${V3}/account/password`;
      expect(refusal(await one.post(path, { new_password: "short" }))).to.deep.equal([400, "M_WEAK_PASSWORD"]);
      expect(refusal(await one.post(path, {}))).to.deep.equal([400, "M_BAD_JSON"]);
      expect(refusal(await anonymous.post(path, { new_password: "whatever it is" }))).to.deep.equal([401, "M_MISSING_TOKEN"]);
      const keep = { new_password: "the second password", logout_devices: false, auth: passwordAuth("pw_a") };
      expect((await one.post(path, keep)).body).to.deep.equal({});
      expect((await two.get(`${V3}/account/whoami`)).status).to.equal(200);
      const end = { new_password: "the third password", auth: passwordAuth("pw_a", undefined, "the second password") };
      expect((await one.post(path, end)).body).to.deep.equal({});
      expect((await one.get(`${V3}/account/whoami`)).status).to.equal(200);
      expect(refusal(await two.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await anonymous.post(`${V3}/login`, loginBody("pw_a")))).to.deep.equal([403, "M_FORBIDDEN"]);
      const login = loginBody("pw_a", { password: "the third password" });
      expect((await anonymous.post(`${V3}/login`, login)).status).to.equal(200);
    });
  });

  describe("deactivateAccount", () => {
    it("ends the account, and says so only to whoever knows the password", async () => {
      const client = await server.register("gone");
      expect((await client.post(`${V3}/account/deactivate`)).status).to.equal(401);
      const answer = await client.post(`${V3}/account/deactivate`, { auth: passwordAuth("gone") });
      expect(answer.body).to.deep.equal({ id_server_unbind_result: "success" });
      expect(refusal(await client.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(refusal(await anonymous.post(`${V3}/login`, loginBody("gone")))).to.deep.equal([403, "M_USER_DEACTIVATED"]);
      expect(refusal(await anonymous.post(`${V3}/login`, loginBody("gone", { password: "x" })))).to.deep.equal([403, "M_FORBIDDEN"]);
      const again = { auth: { type: "m.login.dummy" }, username: "gone", password: "long enough" };
      expect(refusal(await anonymous.post(`${V3}/register`, again))).to.deep.equal([400, "M_USER_IN_USE"]);
    });

    it("erases the profile if asked", async () => {
      const client = await server.register("erased");
      await client.put(`${V3}/profile/${client.user_id}/displayname`, { displayname: "Me" });
      await client.post(`${V3}/account/deactivate`, { erase: true, auth: passwordAuth("erased") });
      expect(refusal(await anonymous.get(`${V3}/profile/${client.user_id}`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await anonymous.post(`${V3}/login`, loginBody("erased")))).to.deep.equal([403, "M_FORBIDDEN"]);
    });
  });

  describe("profiles", () => {
    let client: TestClient;
    let path: string;
    before(async () => {
      client = await server.register("profiled");
      path = `${V3}/profile/${client.user_id}`;
    });

    it("hold names, avatars and fields of any name of the grammar", async () => {
      expect((await anonymous.get(path)).body).to.deep.equal({ displayname: "profiled" });
      const fields: [name: string, value: unknown][] = [
        ["displayname", "Alice \u0000 ☃"],
        ["avatar_url", "mxc://localhost/abc"],
        ["m.tz", "Europe/Berlin"],
        ["org.example.job", { title: ["engineer", 1.5, null] }],
      ];
      for (const [name, value] of fields) {
        expect((await client.put(`${path}/${name}`, { [name]: value })).body).to.deep.equal({});
        expect((await anonymous.get(`${path}/${name}`)).body).to.deep.equal({ [name]: value });
      }
      expect((await anonymous.get(path)).body).to.deep.equal(Object.fromEntries(fields));
      expect((await client.delete(`${path}/org.example.job`)).body).to.deep.equal({});
      expect((await client.delete(`${path}/org.example.job`)).body).to.deep.equal({});
      expect(refusal(await anonymous.get(`${path}/org.example.job`))).to.deep.equal([404, "M_NOT_FOUND"]);
      await client.put(`${path}/displayname`, { displayname: "" });
      expect(refusal(await anonymous.get(`${path}/displayname`))).to.deep.equal([404, "M_NOT_FOUND"]);
    });

    const long = `org.${"x".repeat(300)}`;
    const faults: [name: string, field: string, body: unknown, errcode: string][] = [
      ["a name outside the grammar", "Shouting", { Shouting: 1 }, "M_INVALID_PARAM"],
      ["a name without namespace", "nick", { nick: 1 }, "M_INVALID_PARAM"],
      ["a name that is too long", long, { [long]: 1 }, "M_KEY_TOO_LARGE"],
      ["a body without the field", "displayname", { avatar_url: "x" }, "M_MISSING_PARAM"],
      ["a display name that is no text", "displayname", { displayname: 1 }, "M_BAD_JSON"],
      ["an avatar that is no text", "avatar_url", { avatar_url: 1 }, "M_BAD_JSON"],
      ["a profile that grows too large", "org.example.big", { "org.example.big": "x".repeat(66_000) }, "M_PROFILE_TOO_LARGE"],
      ["a hostile name", "__proto__", '{"__proto__":1}', "M_INVALID_PARAM"],
    ];
    for (const [name, field, body, errcode] of faults) {
      it(`refuse ${name}: ${errcode}`, async () => {
        expect(refusal(await client.put(`${path}/${field}`, body))).to.deep.equal([400, errcode]);
      });
    }

    it("are shown to anybody, whatever token is sent", async () => {
      const nobody = server.client({ access_token: "of a session that has ended" });
      expect((await nobody.get(`${path}/displayname`)).status).to.equal((await anonymous.get(`${path}/displayname`)).status);
      expect((await nobody.get(path)).status).to.equal(200);
      expect((await nobody.get(`${V3}/publicRooms`)).status).to.equal(200);
    });

    it("are changed by their owner only, and exist only for users", async () => {
      const other = await server.register("profile_other");
      expect(refusal(await other.put(`${path}/displayname`, { displayname: "x" }))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await other.delete(`${path}/displayname`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await anonymous.put(`${path}/displayname`, { displayname: "x" }))).to.deep.equal([401, "M_MISSING_TOKEN"]);
      expect(refusal(await anonymous.get(`${V3}/profile/@nobody:localhost`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await anonymous.get(`${V3}/profile/nonsense`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    });
  });

  describe("filters", () => {
    it("are stored once, read by their owner, and checked", async () => {
      const [client, other] = [await server.register("filterer"), await server.register("filter_other")];
      const path = `${V3}/user/${client.user_id}/filter`;
      const filter = { room: { timeline: { limit: 10, types: ["m.room.message"], "org.example.x": true } }, event_fields: ["type"] };
      const stored = await client.post(path, filter);
      const id = stringAt(stored.body, "filter_id") ?? "";
      expect(id).to.match(/^[\w-]{22}$/);
      expect((await client.post(path, filter)).body["filter_id"]).to.equal(id);
      expect((await client.get(`${path}/${id}`)).body).to.deep.equal(filter);
      expect(refusal(await client.get(`${path}/none`))).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await other.get(`${path}/${id}`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await other.post(path, filter))).to.deep.equal([403, "M_FORBIDDEN"]);
      const bad = [
        { room: { timeline: { limit: "ten" } } },
        { room: { rooms: ["not a room"] } },
        { presence: { senders: "@a:b" } },
        { event_format: "other" },
        { room: { state: { types: Array.from({ length: 2000 }, () => "x") } } },
      ];
      for (const body of bad) expect(refusal(await client.post(path, body))).to.deep.equal([400, "M_BAD_JSON"]);
    });
  });

  it("getCapabilities names the room versions", async () => {
    const client = await server.register("capable");
    const { body } = await client.get(`${V3}/capabilities`);
    expect(objectAt(body, "capabilities", "m.room_versions")).to.have.property("default", "12");
    expect(objectAt(body, "capabilities", "m.room_versions", "available")).to.include({ 1: "stable", 12: "stable" });
    expect(refusal(await anonymous.get(`${V3}/capabilities`))).to.deep.equal([401, "M_MISSING_TOKEN"]);
  });
});
