// Addresses of accounts: proving them by mail and text message, and what they are good for.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startMailbox, type Mailbox } from "../support/mailbox.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";
import { startWebServer } from "../support/web-server.js";

const V3 = "/_matrix/client/v3";
const BASE = "https://matrix.example.org";
const passwordAuth = (name: string): Record<string, unknown> => ({
  type: "m.login.password",
  identifier: { type: "m.id.user", user: name },
  password: passwordOf(name),
});

interface Gateway extends AsyncDisposable {
  readonly url: string;
  readonly received: { readonly authorization: string | undefined; readonly body: JsonObject }[];
}

/** A gateway for text messages. */
async function startGateway(): Promise<Gateway> {
  const received: Gateway["received"] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ authorization: request.headers.authorization, body: objectAt(JSON.parse(Buffer.concat(chunks).toString())) });
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/send`,
    received,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

describe("third-party identifiers", () => {
  let mailbox: Mailbox;
  let gateway: Gateway;
  let server: TestServer;
  let secret = 0;
  before(async () => {
    mailbox = await startMailbox();
    gateway = await startGateway();
    server = await startTestServer(settings());
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await mailbox[Symbol.asyncDispose]();
    await gateway[Symbol.asyncDispose]();
  });

  function settings(more: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      servers: [{ name: "localhost", public_base_url: BASE }],
      mail: { host: "127.0.0.1", port: mailbox.port, security: "none", from: "Hansa <noreply@example.org>" },
      sms: { url: gateway.url, authorization: "Bearer canary", body: { number: "{to}", message: "{text}" } },
      third_party_ids: { next_link_hosts: ["app.example.org"] },
      ...more,
    };
  }

  const newSecret = (): string => `client.secret=${secret++}`;
  const ask = (path: string, body: Record<string, unknown>, at = server): Promise<Answer> => at.anonymous.post(`${V3}${path}`, body);
  const linkIn = (text: string): string => (/https:\S+/.exec(text)?.[0] ?? "").slice(BASE.length);

  /** Asks for a mail and gives the session and the path of the link. */
  async function mailed(path: string, email: string, more: Record<string, unknown> = {}, at = server): Promise<{ credentials: JsonObject; link: string }> {
    const client_secret = newSecret();
    const before = mailbox.mails.length;
    const answer = await ask(path, { client_secret, email, send_attempt: 1, ...more }, at);
    expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
    await mailbox.until(before + 1);
    return { credentials: { sid: stringAt(answer.body, "sid"), client_secret }, link: linkIn(mailbox.mails.at(-1)?.text ?? "") };
  }

  const press = async (link: string, at = server): Promise<number> => (await fetch(at.url + link, { method: "POST" })).status;

  async function add(client: TestClient, name: string, email: string): Promise<void> {
    const { credentials, link } = await mailed("/account/3pid/email/requestToken", email);
    expect(await press(link)).to.equal(200);
    const answer = await client.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth(name) });
    expect(answer.status).to.equal(200);
  }

  it("are added to an account after a link was followed and the password given, and deleted", async () => {
    const alice = await server.register("alice");
    const { credentials, link } = await mailed("/account/3pid/email/requestToken", "Alice@Example.ORG");
    const mail = mailbox.mails.at(-1);
    expect(mail).to.include({ to: "alice@example.org", subject: "Confirm your e-mail address for localhost" });
    const early = await alice.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth("alice") });
    expect(refusal(early)).to.deep.equal([400, "M_THREEPID_AUTH_FAILED"]);

    const page = await fetch(server.url + link);
    expect(page.status).to.equal(200);
    expect(page.headers.get("content-security-policy")).to.contain("frame-ancestors 'none'");
    expect(await page.text()).to.contain('<form method="post">');
    const unpressed = await alice.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth("alice") });
    expect(refusal(unpressed), "looking at the page confirms nothing").to.deep.equal([400, "M_THREEPID_AUTH_FAILED"]);
    expect(await press(link)).to.equal(200);

    const wrong = await alice.post(`${V3}/account/3pid/add`, { ...credentials, client_secret: "another", auth: passwordAuth("alice") });
    expect(refusal(wrong)).to.deep.equal([400, "M_THREEPID_AUTH_FAILED"]);
    expect((await alice.post(`${V3}/account/3pid/add`, credentials)).status).to.equal(401);
    expect((await alice.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth("alice") })).status).to.equal(200);
    const again = await alice.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth("alice") });
    expect(refusal(again), "a proof is used once").to.deep.equal([400, "M_THREEPID_AUTH_FAILED"]);
    const [added] = objectsAt((await alice.get(`${V3}/account/3pid`)).body, "threepids");
    expect(added).to.include({ medium: "email", address: "alice@example.org" });

    const deleted = await alice.post(`${V3}/account/3pid/delete`, { medium: "email", address: "ALICE@example.org" });
    expect([deleted.status, deleted.body]).to.deep.equal([200, { id_server_unbind_result: "no-support" }]);
    expect((await alice.get(`${V3}/account/3pid`)).body).to.deep.equal({ threepids: [] });
    expect((await alice.get(`${V3}/capabilities`)).body["capabilities"]).to.deep.include({ "m.3pid_changes": { enabled: true } });
  });

  it("belong to one account, and log it in", async () => {
    const bob = await server.register("bob");
    await add(bob, "bob", "bob@example.org");
    const taken = await ask("/register/email/requestToken", { client_secret: newSecret(), email: "BOB@example.org", send_attempt: 1 });
    expect(refusal(taken)).to.deep.equal([400, "M_THREEPID_IN_USE"]);
    for (const who of [
      { identifier: { type: "m.id.thirdparty", medium: "email", address: "Bob@example.org" } },
      { medium: "email", address: "bob@example.org" },
    ]) {
      const answer = await server.anonymous.post(`${V3}/login`, { type: "m.login.password", password: passwordOf("bob"), ...who });
      expect(answer.body["user_id"]).to.equal(bob.user_id);
    }
    const identifier = { type: "m.id.thirdparty", medium: "email", address: "nobody@example.org" };
    const nobody = await server.anonymous.post(`${V3}/login`, { type: "m.login.password", password: passwordOf("bob"), identifier });
    expect(refusal(nobody)).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("sends again only for a greater attempt, in the client's language", async () => {
    const body = { client_secret: newSecret(), email: "lang@example.org", send_attempt: 1 };
    const sent = async (send_attempt: number, language: string): Promise<string | undefined> => {
      const answer = await server.anonymous.request("POST", `${V3}/register/email/requestToken`, { ...body, send_attempt }, { "accept-language": language });
      expect(answer.status).to.equal(200);
      return stringAt(answer.body, "sid");
    };
    const before = mailbox.mails.length;
    const sid = await sent(1, "pt-BR,pt;q=0.9,en;q=0.5");
    await mailbox.until(before + 1);
    expect(await sent(1, "en")).to.equal(sid);
    expect(await sent(2, "fr, es;q=0.4")).to.equal(sid);
    await mailbox.until(before + 2);
    const subjects = mailbox.mails.slice(before).map(({ subject }) => subject);
    expect(subjects).to.deep.equal(["Confirme o seu e-mail para localhost", "Confirma tu correo electrónico para localhost"]);
  });

  it("leads back only to configured hosts, and puts nothing foreign into its pages", async () => {
    const path = "/register/email/requestToken";
    const { link } = await mailed(path, "next@example.org", { next_link: "https://app.example.org/#/done?a=\"><b>" });
    const text = await (await fetch(server.url + link, { method: "POST" })).text();
    expect(text).to.contain('href="https://app.example.org/#/done').and.not.contain("<b>");
    for (const next_link of ["https://evil.example", "javascript:alert(1)", "https://app.example.org@evil.example/", "//evil"]) {
      const answer = await ask(path, { client_secret: newSecret(), email: "next2@example.org", send_attempt: 1, next_link });
      expect(refusal(answer), next_link).to.deep.equal([400, "M_INVALID_PARAM"]);
    }
    const hostile = await fetch(`${server.url}/_hansa/client/v1/validate/email?sid=%3Cscript%3E&client_secret=x&token=%3Cscript%3E`);
    expect(await hostile.text()).to.not.contain("<script>");
  });

  it("refuses what is no address, and too many wrong codes", async () => {
    const path = "/register/email/requestToken";
    for (const email of ["nobody", "a b@example.org", "a@b\r\nBcc: c@example.org", "<a@example.org>", "a@", `${"x".repeat(300)}@example.org`]) {
      expect(refusal(await ask(path, { client_secret: newSecret(), email, send_attempt: 1 })), email).to.deep.equal([400, "M_INVALID_PARAM"]);
    }
    expect(refusal(await ask(path, { client_secret: "not allowed!", email: "a@example.org", send_attempt: 1 }))).to.deep.equal([400, "M_BAD_JSON"]);
    const { link } = await mailed(path, "guess@example.org");
    for (let guess = 0; guess < 5; guess++) expect(await press(link.replace(/token=[^&]*/, `token=${guess}`))).to.equal(400);
    expect(await press(link), "even the right one, after five wrong ones").to.equal(400);
    expect(await press(link.replace(/sid=[^&]*/, "sid=unknown"))).to.equal(404);
  });

  it("registers with an address where that is asked for", async () => {
    await using strict = await startTestServer(settings({ registration: { open: true, require_email: true }, third_party_ids: { allowed: ["*@example.org"] } }));
    const denied = await ask("/register/email/requestToken", { client_secret: newSecret(), email: "a@elsewhere.org", send_attempt: 1 }, strict);
    expect(refusal(denied)).to.deep.equal([403, "M_THREEPID_DENIED"]);
    const body = { username: "carol", password: "long enough" };
    const first = await strict.anonymous.post(`${V3}/register`, body);
    expect(first.body["flows"]).to.deep.equal([{ stages: ["m.login.email.identity"] }]);
    const session = first.body["session"];
    const { credentials, link } = await mailed("/register/email/requestToken", "carol@example.org", {}, strict);
    const auth = { type: "m.login.email.identity", session, threepid_creds: credentials };
    expect(refusal(await strict.anonymous.post(`${V3}/register`, { ...body, auth }))).to.deep.equal([401, "M_THREEPID_AUTH_FAILED"]);
    await press(link, strict);
    const done = await strict.anonymous.post(`${V3}/register`, { ...body, auth });
    expect(done.status).to.equal(200);
    const carol = strict.client({ access_token: stringAt(done.body, "access_token") });
    expect(objectsAt((await carol.get(`${V3}/account/3pid`)).body, "threepids").map(({ address }) => address)).to.deep.equal(["carol@example.org"]);
  });

  it("resets a forgotten password, once, and ends the sessions", async () => {
    const dave = await server.register("dave");
    await add(dave, "dave", "dave@example.org");
    const unknown = await ask("/account/password/email/requestToken", { client_secret: newSecret(), email: "no@example.org", send_attempt: 1 });
    expect(refusal(unknown)).to.deep.equal([400, "M_THREEPID_NOT_FOUND"]);
    const { credentials, link } = await mailed("/account/password/email/requestToken", "dave@example.org");
    const change = { new_password: "a new long one" };
    const first = await server.anonymous.post(`${V3}/account/password`, change);
    expect(first.body["flows"]).to.deep.equal([{ stages: ["m.login.email.identity"] }, { stages: ["m.login.msisdn"] }]);
    const auth = { type: "m.login.email.identity", session: first.body["session"], threepid_creds: credentials };
    expect((await server.anonymous.post(`${V3}/account/password`, { ...change, auth })).status).to.equal(401);
    await press(link);
    expect((await server.anonymous.post(`${V3}/account/password`, { ...change, auth })).status).to.equal(200);
    expect((await dave.get(`${V3}/account/whoami`)).status).to.equal(401);
    const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "dave" } };
    expect((await server.anonymous.post(`${V3}/login`, { ...login, password: passwordOf("dave") })).status).to.equal(403);
    expect((await server.anonymous.post(`${V3}/login`, { ...login, password: change.new_password })).status).to.equal(200);
    const again = await server.anonymous.post(`${V3}/account/password`, { new_password: "mallory's one", auth: { ...auth, session: undefined } });
    expect(again.status).to.equal(401);
  });

  it("does not take a proof for another purpose", async () => {
    const erin = await server.register("erin");
    await add(erin, "erin", "erin@example.org");
    const { credentials, link } = await mailed("/account/password/email/requestToken", "erin@example.org");
    await press(link);
    expect(refusal(await erin.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth("erin") }))).to.deep.equal([400, "M_THREEPID_AUTH_FAILED"]);
    const other = await mailed("/account/3pid/email/requestToken", "erin2@example.org");
    await press(other.link);
    const auth = { type: "m.login.email.identity", threepid_creds: other.credentials };
    expect((await server.anonymous.post(`${V3}/account/password`, { new_password: "long enough", auth })).status).to.equal(401);
  });

  it("answers alike for known and unknown addresses where that is wanted, and tells the owner", async () => {
    await using discreet = await startTestServer(settings({ third_party_ids: { hide_registered: true } }), server.address);
    const before = mailbox.mails.length;
    const unknown = await ask("/account/password/email/requestToken", { client_secret: newSecret(), email: "no@example.org", send_attempt: 1 }, discreet);
    expect([unknown.status, Object.keys(unknown.body)]).to.deep.equal([200, ["sid"]]);
    const known = await ask("/register/email/requestToken", { client_secret: newSecret(), email: "bob@example.org", send_attempt: 1 }, discreet);
    expect([known.status, Object.keys(known.body)]).to.deep.equal([200, ["sid"]]);
    await mailbox.until(before + 1);
    expect(mailbox.mails.slice(before).map(({ to, subject }) => [to, subject])).to.deep.equal([["bob@example.org", "You already have an account on localhost"]]);
    expect(mailbox.mails.at(-1)?.text).to.not.contain("https:");
  });

  it("proves phone numbers by a code, and logs in with them as they are dialled", async () => {
    const frank = await server.register("frank");
    const client_secret = newSecret();
    const answer = await ask("/account/3pid/msisdn/requestToken", { client_secret, country: "GB", phone_number: "07700 900-123", send_attempt: 1 });
    expect(answer.body["submit_url"]).to.equal(`${BASE}/_hansa/client/v1/validate/msisdn/submit_token`);
    await eventually("the message is sent", () => gateway.received.length > 0);
    const [message] = gateway.received;
    expect(message?.authorization).to.equal("Bearer canary");
    expect(message?.body["number"]).to.equal("+447700900123");
    const code = /\d{6}/.exec(stringAt(message?.body, "message") ?? "")?.[0];
    const submit = "/_hansa/client/v1/validate/msisdn/submit_token";
    const credentials = { sid: stringAt(answer.body, "sid"), client_secret };
    expect(refusal(await server.anonymous.post(submit, { ...credentials, token: "x" }))).to.deep.equal([400, "M_TOKEN_INCORRECT"]);
    expect((await server.anonymous.post(submit, { ...credentials, token: code })).body).to.deep.equal({ success: true });
    expect((await frank.post(`${V3}/account/3pid/add`, { ...credentials, auth: passwordAuth("frank") })).status).to.equal(200);
    const identifier = { type: "m.id.phone", country: "GB", phone: "07700 900123" };
    const login = await server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier, password: passwordOf("frank") });
    expect(login.body["user_id"]).to.equal(frank.user_id);
    const before = gateway.received.length;
    await using denying = await startTestServer(settings({ outgoing: { denied_addresses: ["127.0.0.0/8"] } }));
    await ask("/register/msisdn/requestToken", { client_secret, country: "GB", phone_number: "07700 900-125", send_attempt: 1 }, denying);
    const tried = { name: "test_tried", text: "SELECT FROM outbox WHERE attempts > 0" };
    await eventually("the message was tried in vain", async () => (await denying.database.read(tried, [])).length > 0);
    expect(gateway.received).to.have.length(before);
    const bad = await ask("/register/msisdn/requestToken", { client_secret: newSecret(), country: "GB", phone_number: "not a number", send_attempt: 1 });
    expect(refusal(bad)).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("resets a forgotten password by a text message", async () => {
    const hugo = await server.register("hugo");
    const phone = { country: "GB", phone_number: "07700 900456", send_attempt: 1 };
    const submit = "/_hansa/client/v1/validate/msisdn/submit_token";
    const prove = async (path: string): Promise<JsonObject> => {
      const client_secret = newSecret();
      const before = gateway.received.length;
      const answer = await ask(path, { ...phone, client_secret });
      expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
      await eventually("the message has come", async () => gateway.received.length > before);
      const token = /\d{6}/.exec(stringAt(gateway.received.at(-1)?.body, "message") ?? "")?.[0];
      const credentials = { sid: stringAt(answer.body, "sid"), client_secret };
      expect((await server.anonymous.post(submit, { ...credentials, token })).body).to.deep.equal({ success: true });
      return credentials;
    };
    const unknown = await ask("/account/password/msisdn/requestToken", { ...phone, client_secret: newSecret() });
    expect(refusal(unknown)).to.deep.equal([400, "M_THREEPID_NOT_FOUND"]);
    const added = await prove("/account/3pid/msisdn/requestToken");
    expect((await hugo.post(`${V3}/account/3pid/add`, { ...added, auth: passwordAuth("hugo") })).status).to.equal(200);
    const credentials = await prove("/account/password/msisdn/requestToken");
    const change = { new_password: "a new long one", logout_devices: false };
    const session = (await server.anonymous.post(`${V3}/account/password`, change)).body["session"];
    const wrong = { type: "m.login.email.identity", session, threepid_creds: credentials };
    expect((await server.anonymous.post(`${V3}/account/password`, { ...change, auth: wrong })).status, "not by mail").to.equal(401);
    const auth = { ...wrong, type: "m.login.msisdn" };
    expect((await server.anonymous.post(`${V3}/account/password`, { ...change, auth })).status).to.equal(200);
    expect((await hugo.get(`${V3}/account/whoami`)).status, "its sessions stay").to.equal(200);
    const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "hugo" }, password: change.new_password };
    expect((await server.anonymous.post(`${V3}/login`, login)).status).to.equal(200);
  });

  it("are no business of identity servers, and need a configured way to be reached", async () => {
    const gina = await server.register("gina");
    const bind = { client_secret: "x", id_server: "id.example.org", id_access_token: "x", sid: "x" };
    expect(refusal(await gina.post(`${V3}/account/3pid/bind`, bind))).to.deep.equal([400, "M_SERVER_NOT_TRUSTED"]);
    const unbind = await gina.post(`${V3}/account/3pid/unbind`, { medium: "email", address: "gina@example.org" });
    expect(unbind.body).to.deep.equal({ id_server_unbind_result: "no-support" });
    await using plain = await startTestServer();
    const answer = await ask("/register/email/requestToken", { client_secret: "x", email: "a@example.org", send_attempt: 1 }, plain);
    expect(refusal(answer)).to.deep.equal([400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"]);
    expect(refusal(await plain.anonymous.post(`${V3}/account/password`, { new_password: "long enough" }))).to.deep.equal([401, "M_MISSING_TOKEN"]);
  });

  it("are written to only so often, whoever asks", async () => {
    const limits = { rate_limits: { validation: { per_second: 0.001, burst: 3 } }, listen: { port: 0, trusted_proxies: ["127.0.0.1"] } };
    await using limited = await startTestServer(settings(limits));
    const request = async (email: string, from: number): Promise<number> => {
      const body = { client_secret: newSecret(), email, send_attempt: 1 };
      const headers = { "x-forwarded-for": `192.0.2.${from}` };
      return (await limited.anonymous.request("POST", `${V3}/register/email/requestToken`, body, headers)).status;
    };
    const toOne: number[] = [];
    for (let from = 0; from < 4; from++) toOne.push(await request("often@example.org", from));
    expect(toOne, "to one address").to.deep.equal([200, 200, 200, 429]);
    const fromOne: number[] = [];
    for (let to = 0; to < 4; to++) fromOne.push(await request(`often${to}@example.org`, 9));
    expect(fromOne, "from one address").to.deep.equal([200, 200, 200, 429]);
  });

  it("is sent later, by whichever process lives, when the mail server refuses it at first", async () => {
    mailbox.refuse = true;
    const before = mailbox.mails.length;
    const answer = await ask("/register/email/requestToken", { client_secret: newSecret(), email: "later@example.org", send_attempt: 1 });
    expect(answer.status).to.equal(200);
    await eventually("it is refused", () => mailbox.refused > 0);
    expect(mailbox.mails.length).to.equal(before);
    const stored = await server.database.read<{ dump: string }>({ name: "test_outbox", text: "SELECT string_agg(outbox::text, '') AS dump FROM outbox" }, []);
    expect(stored[0]?.dump).to.not.contain(Buffer.from("later@").toString("hex"));
    mailbox.refuse = false;
    await server.database.write({ name: "test_due", text: "UPDATE outbox SET due_ts = 0" }, []);
    await using second = await startTestServer(settings(), server.address);
    expect(second.url).to.not.equal("");
    await mailbox.until(before + 1);
    expect(mailbox.mails.at(-1)?.to).to.equal("later@example.org");
  });
});

describe("pages of user-interactive authentication", () => {
  it("pass terms and registration tokens for clients that do not know them", async () => {
    const terms = { version: "1", name: "Terms", url: "https://example.org/en", translations: [{ language: "es", name: "Condiciones", url: "https://example.org/es" }] };
    await using server = await startTestServer({ registration: { require_token: true, terms } });
    await server.database.write(
      { name: "test_token", text: "INSERT INTO registration_tokens (token, created_ts) VALUES ('let me in', 0)" },
      [],
    );
    const body = { username: "hal", password: "long enough" };
    const first = await server.anonymous.post(`${V3}/register`, body);
    expect(objectAt(first.body, "params", "m.login.terms", "policies", "terms")).to.deep.equal({
      version: "1",
      en: { name: "Terms", url: "https://example.org/en" },
      es: { name: "Condiciones", url: "https://example.org/es" },
    });
    const session = stringAt(first.body, "session") ?? "";
    const page = (stage: string, at = session): string => `${server.url}${V3}/auth/${stage}/fallback/web?session=${encodeURIComponent(at)}`;
    const spanish = await fetch(page("m.login.terms"), { headers: { "accept-language": "es-MX" } });
    expect(await spanish.text()).to.contain("https://example.org/es").and.contain('lang="es"');
    const form = (token: string): RequestInit => ({ method: "POST", body: new URLSearchParams({ token }) });
    const wrong = await fetch(page("m.login.registration_token"), form("guess"));
    expect([wrong.status, (await wrong.text()).includes("onAuthDone")]).to.deep.equal([403, false]);
    const right = await fetch(page("m.login.registration_token"), form("let me in"));
    expect([right.status, (await right.text()).includes("onAuthDone")]).to.deep.equal([200, true]);
    expect((await server.anonymous.post(`${V3}/register`, { ...body, auth: { session } })).status).to.equal(401);
    expect((await fetch(page("m.login.terms"), { method: "POST" })).status).to.equal(200);
    expect((await server.anonymous.post(`${V3}/register`, { ...body, auth: { session } })).status).to.equal(200);
    expect((await fetch(page("m.login.terms", "unknown"), { method: "POST" })).status).to.equal(403);
    expect((await fetch(page("m.login.password"), { method: "POST" })).status).to.equal(404);
    const hostile = await fetch(page("m.login.terms", '"><script>alert(1)</script>'));
    expect(await hostile.text()).to.not.contain("<script>alert");
    const login = await fetch(`${server.url}/_matrix/static/client/login/`);
    expect(await login.text()).to.contain("window.matrixLogin.onLogin(response)");
  });

  it("send a link to an address, and go on once it was opened", async () => {
    await using mailbox = await startMailbox();
    await using server = await startTestServer({
      servers: [{ name: "localhost", public_base_url: BASE }],
      registration: { open: true, require_email: true },
      mail: { host: "127.0.0.1", port: mailbox.port, security: "none", from: "Hansa <noreply@example.org>" },
    });
    const post = async (session: string, fields: Record<string, string>): Promise<{ status: number; text: string }> => {
      const url = `${server.url}${V3}/auth/m.login.email.identity/fallback/web?session=${encodeURIComponent(session)}`;
      const answer = await fetch(url, { method: "POST", body: new URLSearchParams(fields) });
      return { status: answer.status, text: await answer.text() };
    };
    const body = { username: "mia", password: "long enough" };
    const session = stringAt((await server.anonymous.post(`${V3}/register`, body)).body, "session") ?? "";
    expect((await post(session, { email: "nonsense" })).status).to.equal(400);
    expect((await post("unknown", { email: "mia@example.org" })).status).to.equal(403);
    const sent = await post(session, { email: "mia@example.org" });
    expect(sent.status).to.equal(200);
    const hidden = (name: string): string => new RegExp(`name="${name}" value="([^"]+)"`).exec(sent.text)?.[1] ?? "";
    const credentials = { sid: hidden("sid"), client_secret: hidden("client_secret") };
    const early = await post(session, credentials);
    expect([early.status, early.text.includes("onAuthDone")], "before the link was opened").to.deep.equal([200, false]);
    await mailbox.until(1);
    const link = (/https:\S+/.exec(mailbox.mails[0]?.text ?? "")?.[0] ?? "").slice(BASE.length);
    expect((await fetch(server.url + link, { method: "POST" })).status).to.equal(200);
    const done = await post(session, credentials);
    expect([done.status, done.text.includes("onAuthDone")]).to.deep.equal([200, true]);
    const registered = await server.anonymous.post(`${V3}/register`, { ...body, auth: { session } });
    expect(registered.status, JSON.stringify(registered.body)).to.equal(200);
    const mia = server.client({ access_token: stringAt(registered.body, "access_token") });
    expect(objectsAt((await mia.get(`${V3}/account/3pid`)).body, "threepids").map(({ address }) => address)).to.deep.equal(["mia@example.org"]);
    // A session of an operation that asks for no address.
    const other = stringAt((await mia.post(`${V3}/account/deactivate`, {})).body, "session") ?? "";
    expect((await post(other, { email: "mia2@example.org" })).status).to.equal(403);
  });

  it("show a captcha, whose provider says whether it was solved", async () => {
    const asked: string[] = [];
    await using provider = await startWebServer({
      "/verify": (response, request) => {
        request.setEncoding("utf8").once("data", (body: string) => {
          asked.push(body);
          if (body.includes("broken")) response.writeHead(500).end();
          else response.end(JSON.stringify({ success: new URLSearchParams(body).get("response") === "a person" }));
        });
      },
    });
    const captcha = { site_key: "site", secret: "canary", verify_url: `${provider.url}/verify` };
    await using server = await startTestServer({ registration: { open: true, captcha }, outgoing: { allowed_addresses: ["127.0.0.0/8"] } });
    const body = { username: "cap", password: "long enough" };
    const first = await server.anonymous.post(`${V3}/register`, body);
    expect(first.body["flows"]).to.deep.equal([{ stages: ["m.login.recaptcha"] }]);
    expect(objectAt(first.body, "params", "m.login.recaptcha")).to.deep.equal({ public_key: "site" });
    const session = stringAt(first.body, "session") ?? "";
    const submit = (more: object): Promise<Answer> => server.anonymous.post(`${V3}/register`, { ...body, auth: { type: "m.login.recaptcha", session, ...more } });
    expect(refusal(await submit({}))).to.deep.equal([401, "M_CAPTCHA_NEEDED"]);
    expect(refusal(await submit({ response: "a machine" }))).to.deep.equal([401, "M_CAPTCHA_INVALID"]);
    expect(refusal(await submit({ response: "broken" }))).to.deep.equal([502, "M_UNKNOWN"]);
    const page = `${server.url}${V3}/auth/m.login.recaptcha/fallback/web?session=${encodeURIComponent(session)}`;
    const shown = await fetch(page);
    expect(await shown.text()).to.contain('data-sitekey="site"').and.contain('src="https://www.google.com/recaptcha/api.js"').and.not.contain("canary");
    expect(shown.headers.get("content-security-policy")).to.contain("frame-src https://www.google.com");
    const solve = async (response: string): Promise<number> =>
      (await fetch(page, { method: "POST", body: new URLSearchParams({ "g-recaptcha-response": response }) })).status;
    expect([await solve("a machine"), await solve("a person")]).to.deep.equal([400, 200]);
    expect((await server.anonymous.post(`${V3}/register`, { ...body, auth: { session } })).status).to.equal(200);
    expect(asked).to.include("secret=canary&response=a+person");
  });
});
