// The OAuth 2.0 API: registration of clients, the grants, revocation, the pages in which users let clients in.
import { createHash, createHmac, createPublicKey, randomBytes, verify } from "node:crypto";
import { expect } from "chai";
import { expireOauth } from "../../src/storage/oauth.js";
import { Browser, type Shown } from "../support/browser.js";
import { newKey, ownKey } from "../support/device-keys.js";
import { freePort } from "../support/free-port.js";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { passwordOf, startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const CALLBACK = "https://app.example.org/callback";
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const METADATA = {
  client_name: "My App",
  "client_name#es": "Mi aplicación",
  client_uri: "https://example.org/",
  redirect_uris: [CALLBACK],
  grant_types: ["authorization_code", "refresh_token", DEVICE_GRANT, "urn:ietf:params:oauth:grant-type:token-exchange"],
  response_types: ["code"],
  token_endpoint_auth_method: "none",
};

const scopeOf = (device: string): string => `urn:matrix:client:api:* urn:matrix:client:device:${device}`;
const newVerifier = (): string => randomBytes(32).toString("base64url");
const challengeOf = (verifier: string): string => createHash("sha256").update(verifier).digest("base64url");

describe("OAuth 2.0", () => {
  let server: TestServer;
  let base: string;
  let metadata: JsonObject;
  let clientId: string;
  let serial = 0;

  const start = async (settings: Record<string, unknown> = {}): Promise<TestServer> => {
    const port = await freePort();
    base = `http://127.0.0.1:${port}`;
    return await startTestServer({ listen: { port }, servers: [{ name: "localhost", public_base_url: base }], ...settings });
  };
  before(async () => {
    server = await start();
    metadata = (await server.anonymous.get("/_matrix/client/v1/auth_metadata")).body;
    clientId = stringAt((await register(METADATA)).body, "client_id") ?? "";
    for (const name of ["alice", "bob"]) await server.register(name);
  });
  after(() => server[Symbol.asyncDispose]());

  const post = async (url: string, body: Record<string, string>): Promise<Answer> => {
    const response = await fetch(url, { method: "POST", body: new URLSearchParams(body) });
    return { status: response.status, headers: response.headers, body: objectAt(await response.json()) };
  };
  const endpoint = (name: string): string => stringAt(metadata, `${name}_endpoint`) ?? "";
  const pathOf = (name: string): string => new URL(endpoint(name)).pathname;
  const register = (body: unknown): Promise<Answer> => server.anonymous.post(pathOf("registration"), body);
  const token = (body: Record<string, string>): Promise<Answer> => post(endpoint("token"), { client_id: clientId, ...body });
  const error = ({ status, body }: Answer): [number, unknown] => [status, body["error"]];
  const newDevice = (): string => `DEVICE${++serial}XYZ`;

  const question = (verifier: string, parameters: Record<string, string> = {}): string =>
    `${endpoint("authorization")}?${new URLSearchParams({
      response_type: "code",
      response_mode: "fragment",
      client_id: clientId,
      redirect_uri: CALLBACK,
      scope: scopeOf(newDevice()),
      state: "some state",
      code_challenge: challengeOf(verifier),
      code_challenge_method: "S256",
      ...parameters,
    }).toString()}`;
  const newBrowser = (headers?: Record<string, string>): Browser => new Browser([base], headers);
  const logIn = async (browser: Browser, page: Shown, name = "alice"): Promise<Shown> => await browser.submit(page, { user: name, password: passwordOf(name) });
  const answerAt = ({ url }: Shown): URLSearchParams => new URLSearchParams(new URL(url).hash.slice(1) || new URL(url).search);
  /** Goes all the way to a code. */
  async function codeFor(verifier: string, parameters: Record<string, string> = {}, name = "alice"): Promise<string> {
    const browser = newBrowser();
    const asked = await logIn(browser, await browser.go(question(verifier, parameters)), name);
    return answerAt(await browser.submit(asked, { decision: "allow" }, "csrf")).get("code") ?? "";
  }
  const exchange = (code: string, verifier: string, more: Record<string, string> = {}): Promise<Answer> =>
    token({ grant_type: "authorization_code", code, redirect_uri: CALLBACK, code_verifier: verifier, ...more });
  async function session(device = newDevice(), name = "alice"): Promise<{ client: TestClient; refresh: string }> {
    const verifier = newVerifier();
    const { status, body } = await exchange(await codeFor(verifier, { scope: scopeOf(device) }, name), verifier);
    expect(status).to.equal(200);
    const client = server.client({ user_id: `@${name}:localhost`, device_id: device, access_token: stringAt(body, "access_token") });
    return { client, refresh: stringAt(body, "refresh_token") ?? "" };
  }
  const whoami = (client: TestClient): Promise<Answer> => client.get(`${V3}/account/whoami`);

  it("describes itself, under all names that clients look for", async () => {
    expect(metadata).to.deep.include({ issuer: `${base}/`, response_types_supported: ["code"], code_challenge_methods_supported: ["S256"], account_management_uri: `${base}/_hansa/account` });
    expect(metadata["response_modes_supported"]).to.deep.equal(["query", "fragment"]);
    for (const path of ["/_matrix/client/unstable/org.matrix.msc2965/auth_metadata", "/.well-known/openid-configuration"]) {
      expect((await server.anonymous.get(path)).body).to.deep.equal(metadata);
    }
    const flows = (await server.anonymous.get(`${V3}/login`)).body["flows"];
    expect(flows).to.deep.include({ type: "m.login.sso", oauth_aware_preferred: true });
  });

  it("is not there without a public address, or where it is switched off", async () => {
    await using without = await startTestServer();
    const answer = await without.anonymous.get("/_matrix/client/v1/auth_metadata");
    expect([answer.status, answer.body["errcode"]]).to.deep.equal([404, "M_UNRECOGNIZED"]);
    expect((await without.anonymous.get("/_hansa/account")).status).to.equal(404);
    expect((await without.anonymous.get(`${V3}/login`)).body["flows"]).to.not.deep.include({ type: "m.login.sso", oauth_aware_preferred: true });
  });

  it("registers clients, the same one once, with what it knows of what they say", async () => {
    const { status, body } = await register(METADATA);
    expect(status).to.equal(201);
    expect(body).to.include({ client_id: clientId, client_name: "My App", "client_name#es": "Mi aplicación", application_type: "web" });
    expect(body["grant_types"]).to.deep.equal(["authorization_code", "refresh_token", DEVICE_GRANT]);
    expect((await register({ ...METADATA, client_name: "Another" })).body["client_id"]).to.not.equal(clientId);
  });

  it("refuses redirect addresses that could be somebody else's", async () => {
    const withUri = async (uri: string, application_type: string): Promise<unknown> => error(await register({ ...METADATA, redirect_uris: [uri], application_type }));
    const good: [string, string][] = [
      ["https://example.org:5173/?query=value", "web"],
      ["org.example.app:/callback", "native"],
      ["org.example:callback", "native"],
      ["http://localhost/callback", "native"],
      ["http://127.0.0.1/callback", "native"],
      ["http://[::1]/callback", "native"],
      ["https://app.example.org/claimed", "native"],
    ];
    for (const [uri, type] of good) expect(await withUri(uri, type), uri).to.deep.equal([201, undefined]);
    const bad: [string, string][] = [
      ["https://example.org/callback#fragment", "web"],
      ["https://example.org/callback#", "web"],
      ["http://example.org/callback", "web"],
      ["http://localhost/", "web"],
      ["https://evil.example/callback", "web"],
      ["https://notexample.org/", "web"],
      ["https://user@example.org/", "web"],
      ["org.example.app:/callback", "web"],
      ["example:/callback", "native"],
      ["org.examples:/callback", "native"],
      ["org.example.app://callback", "native"],
      ["https://localhost/callback", "native"],
      ["http://localhost:1234/callback", "native"],
      ["http://localhost:80/callback", "native"],
      ["javascript:alert(1)", "native"],
      ["nonsense", "web"],
      ["https:example.org/callback", "web"],
      ["https:\\\\example.org\\callback", "web"],
      ["https:///example.org/callback", "web"],
      ["http:localhost/callback", "native"],
    ];
    for (const [uri, type] of bad) expect(await withUri(uri, type), uri).to.deep.equal([400, "invalid_redirect_uri"]);
    const wrong = [{ client_uri: "http://example.org" }, { client_uri: undefined }, { tos_uri: "https://evil.example" }, { token_endpoint_auth_method: "client_secret_post" }, { application_type: "other" }];
    for (const change of wrong) expect(error(await register({ ...METADATA, ...change })), JSON.stringify(change)).to.deep.equal([400, "invalid_client_metadata"]);
    expect(error(await register({ ...METADATA, redirect_uris: [] }))).to.deep.equal([400, "invalid_redirect_uri"]);
  });

  it("lets a client in: login, consent, code, tokens of an ordinary session", async () => {
    const verifier = newVerifier();
    const browser = newBrowser();
    const login = await browser.go(question(verifier, { scope: scopeOf("PHONE12345") }));
    expect(new URL(login.url).pathname).to.equal("/_hansa/account/login");
    const wrong = await browser.submit(login, { user: "alice", password: "not this" });
    expect([wrong.status, wrong.text.includes('role="alert"')]).to.deep.equal([403, true]);
    const asked = await logIn(browser, wrong);
    expect(asked.status).to.equal(200);
    expect(asked.text).to.include("My App").and.include("@alice:localhost");
    expect(asked.headers.get("content-security-policy")).to.include("form-action 'self' https://app.example.org;").and.include("frame-ancestors 'none'");
    const back = await browser.submit(asked, { decision: "allow" }, "csrf");
    expect(back.url.startsWith(`${CALLBACK}#`)).to.equal(true);
    expect(answerAt(back).get("state")).to.equal("some state");
    const { status, body, headers } = await exchange(answerAt(back).get("code") ?? "", verifier);
    expect(status).to.equal(200);
    expect(headers.get("cache-control")).to.equal("no-store");
    expect(body).to.include({ token_type: "Bearer", expires_in: 3600, scope: scopeOf("PHONE12345") });
    const client = server.client({ access_token: stringAt(body, "access_token") });
    expect((await whoami(client)).body).to.deep.equal({ user_id: "@alice:localhost", device_id: "PHONE12345", is_guest: false });
    expect((await client.get(`${V3}/devices/PHONE12345`)).body["display_name"]).to.equal("My App");
    // The browser stays logged in: it is asked at once, in its language.
    const again = await browser.go(question(newVerifier()));
    expect(again.text).to.include('name="decision"');
    const spanish = newBrowser({ "accept-language": "es" });
    expect((await logIn(spanish, await spanish.go(question(newVerifier())))).text).to.include("Mi aplicación");
    await client.post(`${V3}/logout`);
    expect((await whoami(client)).status).to.equal(401);
    expect(error(await token({ grant_type: "refresh_token", refresh_token: stringAt(body, "refresh_token") ?? "" }))).to.deep.equal([400, "invalid_grant"]);
  });

  it("tells the client what is wrong, but only at an address that it registered", async () => {
    const verifier = newVerifier();
    const browser = newBrowser();
    for (const change of [{ client_id: "unknown" }, { redirect_uri: "https://app.example.org/other" }, { redirect_uri: `${CALLBACK}/` }]) {
      const shown = await browser.go(question(verifier, change));
      expect([400, 401]).to.include(shown.status);
      expect(shown.url.startsWith(base)).to.equal(true);
    }
    const wrong: [Record<string, string>, string][] = [
      [{ response_type: "token" }, "unsupported_response_type"],
      [{ code_challenge: "" }, "invalid_request"],
      [{ code_challenge_method: "plain" }, "invalid_request"],
      [{ scope: "urn:matrix:client:api:*" }, "invalid_scope"],
      [{ scope: "urn:matrix:client:device:ABCDEFGHIJ" }, "invalid_scope"],
      [{ scope: `${scopeOf("AAAAAAAAAA")} urn:matrix:client:device:BBBBBBBBBB` }, "invalid_scope"],
      [{ response_mode: "form_post" }, "invalid_request"],
      [{ prompt: "none" }, "interaction_required"],
    ];
    for (const [change, name] of wrong) {
      const back = await browser.go(question(verifier, change));
      expect(back.url.startsWith(CALLBACK), name).to.equal(true);
      expect([answerAt(back).get("error"), answerAt(back).get("state")], JSON.stringify(change)).to.deep.equal([name, "some state"]);
    }
    const asked = await logIn(browser, await browser.go(question(verifier, { response_mode: "query" })));
    const denied = await browser.submit(asked, { decision: "deny" }, "csrf");
    expect(new URL(denied.url).searchParams.get("error")).to.equal("access_denied");
  });

  it("refuses malformed calls in the words of the RFCs; what is empty counts as left out", async () => {
    const raw = async (name: string, body: string | URLSearchParams): Promise<[number, unknown, string]> => {
      const response = await fetch(endpoint(name), { method: "POST", body, ...(typeof body === "string" && { headers: { "content-type": "application/json" } }) });
      const answer = objectAt(await response.json());
      return [response.status, answer["error"], typeof answer["error_description"]];
    };
    const form = (more: string): URLSearchParams => new URLSearchParams(`client_id=${clientId}&grant_type=authorization_code&${more}`);
    for (const more of ["code=a&code=b", `code=${"a".repeat(5000)}`, "code=", ""]) {
      expect(await raw("token", form(more)), more.slice(0, 20)).to.deep.equal([400, "invalid_request", "string"]);
    }
    for (const more of ["token=a&token=b", "token=", ""]) expect(await raw("revocation", form(more)), more).to.deep.equal([400, "invalid_request", "string"]);
    expect(await raw("device_authorization", form("scope=a&scope=b"))).to.deep.equal([400, "invalid_request", "string"]);
    for (const body of ["{", "[]"]) expect(await raw("registration", body), body).to.deep.equal([400, "invalid_client_metadata", "string"]);
    const browser = newBrowser();
    const shown = await browser.go(question(newVerifier(), { response_mode: "", prompt: "", nonce: "" }));
    expect([shown.status, new URL(shown.url).pathname]).to.deep.equal([200, "/_hansa/account/login"]);
    const back = await browser.go(question(newVerifier(), { response_type: "token", state: "" }));
    expect([...answerAt(back).keys()]).to.deep.equal(["error", "error_description"]);
  });

  it("takes any port on the loopback interface, and nothing else that differs", async () => {
    const registered = await register({ ...METADATA, application_type: "native", redirect_uris: ["http://127.0.0.1/callback", "org.example.app:/cb"] });
    const client_id = stringAt(registered.body, "client_id") ?? "";
    const browser = newBrowser();
    const ask = async (redirect_uri: string): Promise<number> => (await browser.go(question(newVerifier(), { client_id, redirect_uri }))).status;
    expect(await ask("http://127.0.0.1:4321/callback")).to.equal(200);
    expect(await ask("org.example.app:/cb")).to.equal(200);
    for (const uri of ["http://127.0.0.1:4321/other", "http://localhost:4321/callback", "http://127.0.0.1:4321@evil.example/callback", "https://127.0.0.1:4321/callback", "http://127.0.0.1:4321/callback#x"]) {
      expect(await ask(uri), uri).to.equal(400);
    }
  });

  it("keeps forms of other sites out", async () => {
    const browser = newBrowser();
    const asked = await logIn(browser, await browser.go(question(newVerifier())));
    const foreign = await browser.submit(asked, { csrf: "made up", decision: "allow" });
    expect([foreign.status, foreign.url.startsWith(base)]).to.deep.equal([403, true]);
    // What the form of one browser carries is worth nothing in another.
    const other = newBrowser();
    const theirs = await logIn(other, await other.go(question(newVerifier())), "bob");
    const csrf = /name="csrf" value="([^"]+)"/.exec(theirs.text)?.[1] ?? "";
    expect((await browser.submit(asked, { csrf, decision: "allow" })).status).to.equal(403);
    expect((await newBrowser().submit(asked, { decision: "allow" }, "csrf")).status).to.equal(403);
    const elsewhere = await newBrowser().go(`${base}/_hansa/account/login?next=${encodeURIComponent("//evil.example/")}`);
    expect(elsewhere.text).to.include('name="next" value="/_hansa/account"');
  });

  it("gives tokens for a code once, to who can prove to have asked; a second use ends the session", async () => {
    const verifier = newVerifier();
    const device = newDevice();
    const code = await codeFor(verifier, { scope: scopeOf(device) });
    const another = stringAt((await register({ ...METADATA, client_name: "Thief" })).body, "client_id") ?? "";
    expect(error(await exchange(code, newVerifier()))).to.deep.equal([400, "invalid_grant"]);
    expect(error(await exchange(code, verifier, { client_id: another }))).to.deep.equal([400, "invalid_grant"]);
    expect(error(await exchange(code, verifier, { redirect_uri: `${CALLBACK}2` }))).to.deep.equal([400, "invalid_grant"]);
    expect(error(await exchange(code, verifier, { client_id: "unknown" }))).to.deep.equal([401, "invalid_client"]);
    expect(error(await token({ grant_type: "password" }))).to.deep.equal([400, "unsupported_grant_type"]);
    expect(error(await token({}))).to.deep.equal([400, "invalid_request"]);
    const { status, body } = await exchange(code, verifier);
    expect(status).to.equal(200);
    const client = server.client({ access_token: stringAt(body, "access_token") });
    expect((await whoami(client)).status).to.equal(200);
    expect(error(await exchange(code, verifier))).to.deep.equal([400, "invalid_grant"]);
    expect((await whoami(client)).status).to.equal(401);
    const late = await codeFor(verifier);
    await server.database.write({ name: "test_codes", text: "UPDATE oauth_codes SET expires_ts = 1" }, []);
    expect(error(await exchange(late, verifier))).to.deep.equal([400, "invalid_grant"]);
  });

  it("refreshes, also when an answer was lost; a token from before that ends the session", async () => {
    const { client, refresh } = await session();
    const again = (refresh_token: string, more = {}): Promise<Answer> => token({ grant_type: "refresh_token", refresh_token, ...more });
    const another = stringAt((await register({ ...METADATA, client_name: "Thief" })).body, "client_id") ?? "";
    expect(error(await again(refresh, { client_id: another }))).to.deep.equal([400, "invalid_grant"]);
    expect((await client.post(`${V3}/refresh`, { refresh_token: refresh })).status).to.equal(401);
    expect((await again(refresh)).status).to.equal(200);
    const second = await again(refresh);
    expect(second.body).to.include({ token_type: "Bearer", expires_in: 3600, scope: scopeOf(client.device_id) });
    const renewed = server.client({ access_token: stringAt(second.body, "access_token") });
    expect((await whoami(renewed)).body["device_id"]).to.equal(client.device_id);
    expect((await whoami(client)).status).to.equal(401);
    expect(error(await again(refresh))).to.deep.equal([400, "invalid_grant"]);
    expect((await whoami(renewed)).status).to.equal(401);
  });

  it("revokes by either token, whoever shows it, and is content with what is unknown", async () => {
    const [first, second] = [await session(), await session()];
    expect((await post(endpoint("revocation"), { token: first.client.access_token, token_type_hint: "access_token", client_id: "other" })).status).to.equal(200);
    expect((await post(endpoint("revocation"), { token: second.refresh })).status).to.equal(200);
    for (const { client } of [first, second]) expect((await whoami(client)).status).to.equal(401);
    expect((await post(endpoint("revocation"), { token: "unknown" })).status).to.equal(200);
    expect(error(await post(endpoint("revocation"), {}))).to.deep.equal([400, "invalid_request"]);
  });

  it("lets devices without browser in by a code that the user types", async () => {
    const begin = (scope = scopeOf(newDevice())): Promise<Answer> => post(endpoint("device_authorization"), { client_id: clientId, scope });
    const poll = (code: string): Promise<Answer> => token({ grant_type: DEVICE_GRANT, device_code: code });
    expect(error(await begin("openid"))).to.deep.equal([400, "invalid_scope"]);
    const { status, body } = await begin();
    expect(status).to.equal(200);
    expect(body["user_code"]).to.match(/^[A-Z]{4}-[A-Z]{4}$/);
    const code = stringAt(body, "device_code") ?? "";
    expect(error(await poll(code))).to.deep.equal([400, "authorization_pending"]);
    expect(error(await poll(code))).to.deep.equal([400, "slow_down"]);
    const browser = newBrowser();
    const typing = await logIn(browser, await browser.go(stringAt(body, "verification_uri") ?? ""));
    const form = `${stringAt(body, "verification_uri")}?user_code=`;
    expect((await browser.go(`${form}WRNG-CDXX`)).status).to.equal(404);
    expect(typing.text).to.include('name="user_code"');
    const asked = await browser.go(form + (stringAt(body, "user_code") ?? "").toLowerCase().replace("-", " "));
    expect(asked.text).to.include("My App");
    expect((await browser.submit(asked, { decision: "allow" }, "csrf")).status).to.equal(200);
    const given = await poll(code);
    expect(given.status).to.equal(200);
    expect((await whoami(server.client({ access_token: stringAt(given.body, "access_token") }))).body["user_id"]).to.equal("@alice:localhost");
    expect(error(await poll(code))).to.deep.equal([400, "invalid_grant"]);
    const refused = (await begin()).body;
    const page = await browser.go(stringAt(refused, "verification_uri_complete") ?? "");
    await browser.submit(page, { decision: "deny" }, "csrf");
    expect(error(await poll(stringAt(refused, "device_code") ?? ""))).to.deep.equal([400, "access_denied"]);
    expect((await browser.submit(page, { decision: "allow" }, "csrf")).status).to.equal(404);
    const late = (await begin()).body;
    for (const [ago, told] of [[1, "expired_token"], [4_000_000, "invalid_grant"]] as const) {
      await server.database.write({ name: "test_device_codes", text: "UPDATE oauth_device_codes SET expires_ts = $1" }, [Date.now() - ago]);
      await expireOauth(server.database, Date.now(), 0);
      expect(error(await poll(stringAt(late, "device_code") ?? ""))).to.deep.equal([400, told]);
    }
  });

  it("gives older clients a signed identity token with the scopes of before the specification", async () => {
    const verifier = newVerifier();
    const scope = "openid urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:OLDDEVICE1";
    const { body } = await exchange(await codeFor(verifier, { scope: `${scope} email`, nonce: "n-1" }), verifier);
    expect(body["scope"]).to.equal(scope);
    const [head = "", claims = "", signature = ""] = (stringAt(body, "id_token") ?? "").split(".");
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).to.include({ iss: `${base}/`, sub: "@alice:localhost", aud: clientId, nonce: "n-1" });
    const answer = await server.anonymous.get(new URL(stringAt(metadata, "jwks_uri") ?? "").pathname);
    const [jwk] = answer.body["keys"] as JsonObject[];
    const key = createPublicKey({ key: { kty: "RSA", n: stringAt(jwk, "n") ?? "", e: stringAt(jwk, "e") ?? "" }, format: "jwk" });
    expect(verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"))).to.equal(true);
  });

  it("lets its clients confirm nothing with a password: that is for the account page", async () => {
    const { client } = await session();
    const older = await server.login("alice");
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: passwordOf("alice") };
    for (const [method, path, body] of [
      ["DELETE", `/devices/${older.device_id}`, {}],
      ["POST", "/delete_devices", { devices: [older.device_id] }],
      ["POST", "/account/password", { new_password: "another secret" }],
      ["POST", "/account/deactivate", {}],
    ] as const) {
      const { status, body: answer } = await client.request(method, V3 + path, { ...body, auth });
      expect([path, status, answer["errcode"]]).to.deep.equal([path, 403, "M_FORBIDDEN"]);
    }
    expect((await client.post("/_matrix/client/v1/login/get_token", { auth })).status).to.equal(400);
    const enabled = async (of: TestClient): Promise<unknown[]> => {
      const capabilities = objectAt((await of.get(`${V3}/capabilities`)).body, "capabilities");
      return ["m.change_password", "m.3pid_changes", "m.get_login_token"].map((name) => objectAt(capabilities[name])["enabled"]);
    };
    expect(await enabled(client)).to.deep.equal([false, false, false]);
    expect((await enabled(older))[0]).to.equal(true);
    expect((await older.delete(`${V3}/devices/${client.device_id}`, { auth })).status, "in a session of the older API it is asked for").to.equal(200);
    expect((await whoami(older)).status).to.equal(200);
  });

  it("confirms other keys of the user on the account page", async () => {
    const { client } = await session();
    const upload = (master: JsonObject, auth?: JsonObject): Promise<Answer> => client.post(`${V3}/keys/device_signing/upload`, { master_key: master, ...(auth !== undefined && { auth }) });
    const [first, second] = [newKey(), newKey()].map((key) => ownKey(client, "master", key));
    expect((await upload(first ?? {})).status).to.equal(200);
    const asked = await upload(second ?? {});
    expect(asked.status).to.equal(401);
    expect(asked.body["flows"]).to.deep.include({ stages: ["m.oauth"] });
    const uia = stringAt(asked.body, "session") ?? "";
    expect((await upload(second ?? {}, { session: uia })).status).to.equal(401);
    const url = stringAt(asked.body, "params", "m.oauth", "url") ?? "";
    // Somebody else cannot confirm it.
    const thief = newBrowser();
    expect((await thief.submit(await logIn(thief, await thief.go(url), "bob"), {}, "session")).status).to.equal(403);
    const browser = newBrowser();
    expect((await browser.submit(await logIn(browser, await browser.go(url)), {}, "session")).status).to.equal(200);
    expect((await upload(first ?? {}, { session: uia })).status).to.equal(200);
    expect((await upload(second ?? {}, { session: uia })).status).to.equal(200);
    expect((await upload(first ?? {}, { session: uia })).status).to.equal(401);
  });

  it("has pages for the account: name, devices, password, its end", async () => {
    await server.register("carol");
    const { client } = await session(newDevice(), "carol");
    const browser = newBrowser();
    const account = stringAt(metadata, "account_management_uri") ?? "";
    const overview = await logIn(browser, await browser.go(`${account}?action=org.matrix.profile`), "carol");
    expect((await browser.submit(overview, { displayname: "Carol <b>" })).text).to.include("Carol &lt;b&gt;");
    expect((await client.get(`${V3}/profile/@carol:localhost/displayname`)).body).to.deep.equal({ displayname: "Carol <b>" });
    expect((await browser.go(`${account}?action=org.matrix.devices_list`)).text).to.include(client.device_id);
    expect((await browser.go(`${account}?action=org.matrix.device_view&device_id=NOTMINE`)).status).to.equal(404);
    const device = await browser.go(`${account}?action=org.matrix.device_delete&device_id=${client.device_id}`);
    expect((await whoami(client)).status).to.equal(200);
    await browser.submit(device, {}, "device_id");
    expect((await whoami(client)).status).to.equal(401);
    const elsewhere = newBrowser();
    const second = await logIn(elsewhere, await elsewhere.go(account), "carol");
    expect(second.text).to.include("@carol:localhost");
    const changed = await browser.submit(await browser.go(account), { new_password: "another secret", password: "wrong" });
    expect(changed.status).to.equal(403);
    expect((await browser.submit(await browser.go(account), { new_password: "another secret", password: passwordOf("carol") })).text).to.include("@carol:localhost");
    // Other browsers are logged out by that.
    expect(new URL((await elsewhere.go(account)).url).pathname).to.equal("/_hansa/account/login");
    const end = await browser.go(`${account}?action=org.matrix.account_deactivate`);
    expect((await browser.submit(end, { password: "wrong", erase: "yes" }, "erase")).status).to.equal(403);
    expect((await browser.submit(end, { password: "another secret", erase: "yes" }, "erase")).status).to.equal(200);
    expect(new URL((await browser.go(account)).url).pathname).to.equal("/_hansa/account/login");
    const left = newBrowser();
    expect((await left.submit(await left.go(account), { user: "carol", password: "another secret" })).status).to.equal(403);
  });

  it("opens accounts where registration is open, on the way to the client", async () => {
    expect(metadata["prompt_values_supported"]).to.deep.equal(["create"]);
    const browser = newBrowser();
    const page = await browser.go(question(newVerifier(), { prompt: "create" }));
    expect(new URL(page.url).pathname).to.equal("/_hansa/account/register");
    expect((await browser.submit(page, { user: "alice", password: "a fine password" })).status).to.equal(400);
    expect((await browser.submit(page, { user: "dora", password: "short" })).status).to.equal(400);
    const asked = await browser.submit(page, { user: "dora", password: "a fine password" });
    expect(asked.text).to.include("@dora:localhost").and.include('name="decision"');
    await using closed = await startTestServer({ servers: [{ name: "localhost", public_base_url: "http://closed.example" }], registration: { open: false } });
    expect((await closed.anonymous.get("/_matrix/client/v1/auth_metadata")).body).to.not.have.property("prompt_values_supported");
    expect((await fetch(`${closed.url}/_hansa/account/register`)).status).to.equal(403);
  });

  it("logs clients of the older API in by a login token", async () => {
    const browser = newBrowser();
    const path = `${base}${V3}/login/sso/redirect?redirectUrl=${encodeURIComponent("https://old.example.org/?a=b#/login")}`;
    const asked = await logIn(browser, await browser.go(path));
    expect(asked.text).to.include("https://old.example.org");
    const back = new URL((await browser.submit(asked, { decision: "allow" }, "redirectUrl")).url);
    expect([back.origin, back.searchParams.get("a"), back.hash]).to.deep.equal(["https://old.example.org", "b", "#/login"]);
    const login = (): Promise<Answer> => server.anonymous.post(`${V3}/login`, { type: "m.login.token", token: back.searchParams.get("loginToken") });
    expect((await login()).body["user_id"]).to.equal("@alice:localhost");
    expect((await login()).status).to.equal(403);
    expect((await browser.go(`${base}${V3}/login/sso/redirect?redirectUrl=javascript:alert(1)`)).status).to.equal(400);
    expect((await browser.go(`${base}${V3}/login/sso/redirect`)).status).to.equal(400);
  });

  it("takes no passwords where they are switched off", async () => {
    await using before = await startTestServer({ servers: [{ name: "localhost", public_base_url: "http://off.example" }] });
    const { access_token } = await before.register("alice");
    await using without = await startTestServer(
      {
        passwords: { enabled: false, memory_kib: 8, iterations: 1 },
        registration: { shared_secret: "canary secret" },
        servers: [{ name: "localhost", public_base_url: "http://off.example" }],
        mail: { host: "127.0.0.1", port: 1, security: "none", from: "Hansa <noreply@example.org>" },
      },
      before.address,
    );
    const { flows } = (await without.anonymous.get(`${V3}/login`)).body;
    expect(flows).to.deep.include({ type: "m.login.sso", oauth_aware_preferred: true });
    expect(flows).to.not.deep.include({ type: "m.login.password" });
    expect((await without.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: passwordOf("alice") })).status).to.equal(403);
    const alice = without.client({ access_token });
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: passwordOf("alice") };
    const mail = { client_secret: "secret", email: "alice@example.org", send_attempt: 1 };
    const refused: [TestClient, string, string, unknown][] = [
      [without.anonymous, "POST", "/register", {}],
      [without.anonymous, "POST", "/register", { username: "bob", password: "long enough", auth: { type: "m.login.dummy" } }],
      [without.anonymous, "GET", "/register/available?username=bob", undefined],
      [without.anonymous, "POST", "/register/email/requestToken", mail],
      [without.anonymous, "POST", "/account/password/email/requestToken", mail],
      [without.anonymous, "POST", "/account/password", { new_password: "another one", auth }],
      [alice, "POST", "/account/password", { new_password: "another one", auth }],
      [alice, "POST", "/account/deactivate", { auth }],
      [alice, "POST", "/delete_devices", { devices: ["A"], auth }],
      [alice, "DELETE", "/devices/A", { auth }],
    ];
    for (const [client, method, path, body] of refused) {
      const answer = await client.request(method, V3 + path, body);
      expect([path, answer.status, answer.body["errcode"]]).to.deep.equal([path, 403, "M_FORBIDDEN"]);
    }
    expect(objectAt((await alice.get(`${V3}/capabilities`)).body, "capabilities")["m.change_password"]).to.deep.equal({ enabled: false });
    const nonce = stringAt((await without.anonymous.get("/_synapse/admin/v1/register")).body, "nonce") ?? "";
    const mac = createHmac("sha1", "canary secret").update([nonce, "carol", "long enough", "notadmin"].join("\0")).digest("hex");
    const made = await without.anonymous.post("/_synapse/admin/v1/register", { nonce, username: "carol", password: "long enough", mac });
    expect([made.status, made.body["user_id"]]).to.deep.equal([200, "@carol:localhost"]);
    const page = await new Browser([without.url]).go(`${without.url}/_hansa/account/login`);
    expect([page.status, page.text.includes('type="password"')]).to.deep.equal([200, false]);
  });

  it("goes on after a restart, in another process and in the middle", async () => {
    const verifier = newVerifier();
    const code = await codeFor(verifier);
    const kept = await session();
    const port = await freePort();
    await using other = await startTestServer({ listen: { port }, servers: [{ name: "localhost", public_base_url: base }] }, server.address);
    const answer = await post(`${other.url}/_hansa/oauth/token`, { client_id: clientId, grant_type: "authorization_code", code, redirect_uri: CALLBACK, code_verifier: verifier });
    expect(answer.status).to.equal(200);
    const refreshed = await post(`${other.url}/_hansa/oauth/token`, { client_id: clientId, grant_type: "refresh_token", refresh_token: kept.refresh });
    expect((await whoami(server.client({ access_token: stringAt(refreshed.body, "access_token") }))).body["device_id"]).to.equal(kept.client.device_id);
  });
});
