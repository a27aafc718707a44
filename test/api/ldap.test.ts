// Login with the passwords of a directory.
import { createHmac } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { expect } from "chai";
import { checkConfig, ConfigError } from "../../src/config.js";
import { Browser } from "../support/browser.js";
import { LOCAL_CERTIFICATE } from "../support/certificate.js";
import { freePort } from "../support/free-port.js";
import { eventually } from "../support/eventually.js";
import { stringAt } from "../support/json-path.js";
import { BASE, hasLdapServer, LdapServer, READER } from "../support/ldap-server.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const SECRET = "of the operator";
const registration = { open: true, shared_secret: SECRET };
const PUBLIC = "http://matrix.example.org";

const logIn = (server: TestServer, user: string, password: string): Promise<Answer> =>
  server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user }, password });
/** An account with a password here, made by whoever knows the secret: to others the names of the directory are taken. */
async function openAccount(server: TestServer, username: string): Promise<TestClient> {
  const path = "/_synapse/admin/v1/register";
  const nonce = stringAt((await server.anonymous.get(path)).body, "nonce") ?? "";
  const password = passwordOf(username);
  const mac = createHmac("sha1", SECRET).update([nonce, username, password, "notadmin"].join("\0")).digest("hex");
  const answer = await server.anonymous.post(path, { nonce, username, password, admin: false, mac });
  expect(answer.status).to.equal(200);
  return clientOf(server, answer);
}

const clientOf = (server: TestServer, { body }: Answer): TestClient =>
  server.client({ user_id: stringAt(body, "user_id"), device_id: stringAt(body, "device_id"), access_token: stringAt(body, "access_token") });

(hasLdapServer() ? describe : describe.skip)("a directory of users (slapd is needed)", () => {
  let directory: LdapServer;
  let server: TestServer;
  before(async () => {
    directory = await LdapServer.start([
      { uid: "alice", cn: "Alice of the directory", mail: "Alice@example.org", password: "alice there" },
      { uid: "bob", cn: "Bob", mail: "bob@example.org", password: "bob there" },
      { uid: "Erin Müller", cn: "Erin", password: "erin there" },
      { uid: "frank", cn: "Frank", password: "frank there" },
      { uid: "a*b(c)", cn: "Odd", password: "odd there" },
      { uid: "grace", cn: "Grace", password: "grace there" },
      { uid: "heidi", cn: "Heidi", mail: "heidi@example.org", password: "heidi there" },
      { uid: "_kept", cn: "Kept", password: "kept there" },
    ]);
    server = await startTestServer({
      servers: [{ name: "localhost", public_base_url: PUBLIC }],
      registration,
      ldap: { url: directory.url, ca: LOCAL_CERTIFICATE, ...READER, base_dn: BASE, subject_attribute: "entryUUID", timeout_seconds: 10 },
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  it("opens an account at the first login, and knows it again", async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => logIn(server, "Alice", "alice there")));
    for (const { status, body } of answers) expect([status, body["user_id"]]).to.deep.equal([200, "@alice:localhost"]);
    const [first] = answers;
    if (first === undefined) throw new Error("nobody logged in");
    const alice = clientOf(server, first);
    expect((await alice.get(`${V3}/profile/${alice.user_id}/displayname`)).body).to.deep.equal({ displayname: "Alice of the directory" });
    expect(JSON.stringify((await alice.get(`${V3}/account/3pid`)).body)).to.include('"address":"alice@example.org"');
    const byMail = await server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.thirdparty", medium: "email", address: "ALICE@example.org" }, password: "alice there" });
    expect(byMail.body["user_id"]).to.equal("@alice:localhost");
    expect((await logIn(server, "erin müller", "erin there")).body["user_id"]).to.equal("@erin=20m=c3=bcller:localhost");
    expect((await logIn(server, "@erin=20m=c3=bcller:localhost", "erin there")).status).to.equal(200);
  });

  it("refuses everybody else", async () => {
    const wrong: [string, string][] = [
      ["alice", "wrong"],
      ["alice", ""],
      ["nobody", "alice there"],
      ["*", "alice there"],
      ["ali*", "alice there"],
      ["alice)(uid=*", "alice there"],
      ["\\2a", "alice there"],
      ["\u0000", "alice there"],
      [" alice", "alice there"],
      ["ali\u00ADce", "alice there"],
      ["=61lice", "alice there"],
      ["alice:elsewhere.example.org", "alice there"],
    ];
    for (const [user, password] of wrong) expect(refusal(await logIn(server, user, password)), `${user} ${password}`).to.deep.equal([403, "M_FORBIDDEN"]);
    expect((await logIn(server, "a*b(c)", "odd there")).body["user_id"]).to.equal("@a=2ab=28c=29:localhost");
    expect((await logIn(server, "_kept", "kept there")).body["user_id"]).to.equal("@=5fkept:localhost");
    await server.database.write({ name: "test_lock", text: "UPDATE accounts SET locked = true WHERE user_nid = (SELECT nid FROM users WHERE user_id = '@=5fkept:localhost')" }, []);
    expect(refusal(await logIn(server, "_kept", "kept there"))).to.deep.equal([401, "M_USER_LOCKED"]);
  });

  it("leaves accounts alone that have a password here", async () => {
    await openAccount(server, "frank");
    expect((await logIn(server, "frank", passwordOf("frank"))).status).to.equal(200);
    expect(refusal(await logIn(server, "frank", "frank there"))).to.deep.equal([403, "M_FORBIDDEN"]);
    await using trusting = await startTestServer(
      { ldap: { url: directory.tlsUrl, ca: LOCAL_CERTIFICATE, ...READER, base_dn: BASE, allow_existing_users: true, create_accounts: false } },
      server.address,
    );
    expect((await logIn(trusting, "frank", "frank there")).body["user_id"]).to.equal("@frank:localhost");
    expect((await logIn(trusting, "frank", passwordOf("frank"))).status).to.equal(200);
    expect(refusal(await logIn(trusting, "bob", "bob there"))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("keeps its names for its users", async () => {
    const register = (at: TestServer, username: string): Promise<Answer> => at.anonymous.post(`${V3}/register`, { username, password: "a password", auth: { type: "m.login.dummy" } });
    for (const name of ["Erin=20m=c3=bcller", "alice", "BOB"]) {
      const taken = ["M_USER_IN_USE", "M_EXCLUSIVE"];
      expect(refusal(await register(server, name))[1], name).to.be.oneOf(taken);
      expect(refusal(await server.anonymous.get(`${V3}/register/available?username=${encodeURIComponent(name)}`))[1], name).to.be.oneOf(taken);
    }
    expect((await register(server, "stranger")).status).to.equal(200);
    await using direct = await startTestServer({ ldap: { url: directory.url, ca: LOCAL_CERTIFICATE, user_dn: `uid={login},${BASE}` } });
    expect(refusal(await register(direct, "alice"))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await register(server, "grace"))).to.deep.equal([400, "M_EXCLUSIVE"]);
    directory.hang();
    expect(refusal(await register(server, "another"))).to.deep.equal([503, "M_UNKNOWN"]);
    directory.resume();
  });

  it("ends the sessions of who is not in it any more, and says what has changed of the others", async () => {
    const ldap = { url: directory.url, ca: LOCAL_CERTIFICATE, ...READER, base_dn: BASE, subject_attribute: "entryUUID", timeout_seconds: 5, check_minutes: 0.02, update_users: true };
    await using checking = await startTestServer({ registration, ldap });
    const [grace, heidi] = [clientOf(checking, await logIn(checking, "grace", "grace there")), clientOf(checking, await logIn(checking, "heidi", "heidi there"))];
    const other = await openAccount(checking, "other");
    const isIn = async (client: TestClient): Promise<boolean> => (await client.get(`${V3}/account/whoami`)).status === 200;
    await directory.set("heidi", "cn", "Heidi the second");
    await directory.set("heidi", "mail", "second@example.org");
    await eventually("the name and the address are the new ones", async () => {
      const name = stringAt((await heidi.get(`${V3}/profile/${heidi.user_id}/displayname`)).body, "displayname");
      return name === "Heidi the second" && JSON.stringify((await heidi.get(`${V3}/account/3pid`)).body).includes("second@example.org");
    });
    expect(await isIn(grace)).to.equal(true);
    await directory.remove("grace");
    await eventually("the session has ended", async () => !(await isIn(grace)));
    expect(refusal(await grace.get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
    // Nobody is thrown out by a directory that cannot be asked.
    directory.hang();
    expect(await isIn(heidi)).to.equal(true);
    const before = (await checking.database.read<{ checked_ts: number }>({ name: "test_checked", text: "SELECT checked_ts FROM directory_checks" }, []))[0]?.checked_ts ?? 0;
    await eventually("it was asked again", async () => ((await checking.database.read<{ checked_ts: number }>({ name: "test_checked", text: "SELECT checked_ts FROM directory_checks" }, []))[0]?.checked_ts ?? 0) > before);
    directory.resume();
    expect([await isIn(heidi), await isIn(other)]).to.deep.equal([true, true]);
  });

  it("confirms what its users do, and keeps their passwords", async () => {
    const bob = clientOf(server, await logIn(server, "bob", "bob there"));
    const device = stringAt((await logIn(server, "bob", "bob there")).body, "device_id") ?? "";
    const end = async (user: string, password: string): Promise<Answer> => {
      const asked = await bob.delete(`${V3}/devices/${device}`, {});
      expect(asked.status).to.equal(401);
      return await bob.delete(`${V3}/devices/${device}`, { auth: { type: "m.login.password", session: asked.body["session"], identifier: { type: "m.id.user", user }, password } });
    };
    expect((await end("bob", "alice there")).status).to.equal(401);
    expect((await end("bob", "bob there")).status).to.equal(200);
    expect(refusal(await bob.post(`${V3}/account/password`, { new_password: "another password" }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect((await bob.get(`${V3}/capabilities`)).body).to.have.nested.property("capabilities.m\\.change_password.enabled", false);
  });

  it("opens the page of the account, also by the name of each user alone", async () => {
    await using direct = await startTestServer({
      servers: [{ name: "localhost", public_base_url: PUBLIC }],
      passwords: { enabled: false },
      ldap: { url: directory.url, ca: LOCAL_CERTIFICATE, user_dn: `uid={login},${BASE}` },
    });
    const browser = new Browser([direct.url]);
    const page = await browser.go(`${direct.url}/_hansa/account/login`);
    const shown = await browser.submit({ ...page, text: page.text.replaceAll(PUBLIC, direct.url) }, { user: "alice", password: "alice there" });
    expect(shown.url).to.equal(`${PUBLIC}/_hansa/account`);
    expect((await logIn(direct, "alice", "alice there")).body["user_id"]).to.equal("@alice:localhost");
    for (const user of ["alice,ou=people", "alice+cn=Alice", " alice", "nobody"]) expect(refusal(await logIn(direct, user, "alice there"))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await logIn(direct, "alice", ""))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("says when it cannot be asked", async () => {
    await using wrong = await startTestServer({ ldap: { url: directory.url, ca: LOCAL_CERTIFICATE, ...READER, bind_password: "old", base_dn: BASE } });
    expect(refusal(await logIn(wrong, "alice", "alice there"))).to.deep.equal([503, "M_UNKNOWN"]);
    // A certificate that nobody vouches for.
    await using untrusting = await startTestServer({ ldap: { url: directory.url, ...READER, base_dn: BASE } });
    expect(refusal(await logIn(untrusting, "alice", "alice there"))).to.deep.equal([503, "M_UNKNOWN"]);
    directory.hang();
    const began = Date.now();
    const late = await Promise.all([1, 2, 3].map(() => logIn(server, "alice", "alice there")));
    for (const answer of late) expect(refusal(answer)).to.deep.equal([503, "M_UNKNOWN"]);
    expect(Date.now() - began).to.be.lessThan(180_000);
    directory.resume();
    expect((await logIn(server, "alice", "alice there")).status).to.equal(200);
  });
});

describe("a directory of users that is away", () => {
  it("is waited for as long as configured, and those with a password here need it not", async () => {
    const sockets = new Set<Socket>();
    const mute = createServer((socket) => sockets.add(socket)).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const address = mute.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const ports = [port, await freePort()];
    try {
      for (const url of ports.flatMap((each) => [`ldap://127.0.0.1:${each}`, `ldaps://127.0.0.1:${each}`])) {
        await using server = await startTestServer({ registration, ldap: { url, base_dn: BASE, timeout_seconds: 1 } });
        const alice = await openAccount(server, "alice");
        expect((await logIn(server, "alice", passwordOf("alice"))).status).to.equal(200);
        expect(refusal(await logIn(server, "bob", "any")), url).to.deep.equal([503, "M_UNKNOWN"]);
        expect((await alice.get(`${V3}/account/whoami`)).status).to.equal(200);
      }
    } finally {
      for (const socket of sockets) socket.destroy();
      mute.close();
    }
  });

  it("is refused in the configuration if it does not go together", () => {
    const url = "ldap://localhost";
    const wrong: [Record<string, unknown>, RegExp][] = [
      [{ url }, /either base_dn/],
      [{ url, base_dn: BASE, user_dn: "uid={login}" }, /either base_dn/],
      [{ url, user_dn: "uid=all" }, /ldap\.user_dn/],
      [{ url, base_dn: BASE, bind_dn: "cn=x" }, /both bind_dn/],
      [{ url, user_dn: "uid={login}", ...READER }, /no use/],
      [{ url: "http://localhost", base_dn: BASE }, /ldap:\/\/ or ldaps/],
    ];
    for (const [ldap, says] of wrong) expect(() => checkConfig({ ldap }), JSON.stringify(ldap)).to.throw(ConfigError, says);
  });
});
