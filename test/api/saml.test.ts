// Login through another provider of identities by SAML 2.0.
import { expect } from "chai";
import { checkConfig, ConfigError } from "../../src/config.js";
import { Browser, type Shown } from "../support/browser.js";
import { freePort } from "../support/free-port.js";
import { stringAt } from "../support/json-path.js";
import { OWN_CERTIFICATE, OWN_KEY, PROVIDER_CERTIFICATE } from "../support/saml-certificates.js";
import { type Said, type SamlAnswer, SamlIdentityProvider } from "../support/saml-provider.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const CLIENT = "https://client.example.org/";
const ID = "university";
const SEALED = "sealed";

describe("identity providers that speak SAML", () => {
  const provider = new SamlIdentityProvider();
  let server: TestServer;
  let base: string;
  let metadata: string;

  const settings = {
    id: ID,
    name: "University",
    entity_id: provider.entityId,
    sso_url: provider.ssoUrl,
    logout_url: provider.logoutUrl,
    certificate: PROVIDER_CERTIFICATE,
    private_key: OWN_KEY,
    public_certificate: OWN_CERTIFICATE,
    propagate_logout: true,
  };
  before(async () => {
    const port = await freePort();
    base = `http://127.0.0.1:${port}`;
    server = await startTestServer({
      listen: { port },
      servers: [{ name: "localhost", public_base_url: base }],
      saml_providers: [settings, { ...settings, id: "by-attribute", subject_attribute: "urn:oid:1.3.6.1.4.1.5923.1.1.1.13", propagate_logout: false }, { ...settings, id: SEALED, decryption_key: OWN_KEY, encryption_certificate: OWN_CERTIFICATE }],
    });
    metadata = await (await fetch(`${base}/_hansa/account/sso/${ID}/metadata`)).text();
  });
  after(() => server[Symbol.asyncDispose]());

  const newBrowser = (): Browser => new Browser([base]);
  const own = (path: string, id = ID): string => `${base}/_hansa/account/sso/${id}/${path}`;
  const begin = (browser: Browser, id = ID): Promise<Shown> => browser.go(`${base}${V3}/login/sso/redirect/${id}?redirectUrl=${encodeURIComponent(CLIENT)}`);
  /** The page to which an answer leads. A browser that comes from another site has no cookie with it at first. */
  async function deliver(browser: Browser, { SAMLResponse, RelayState }: SamlAnswer, id = ID): Promise<Shown> {
    const taken = await new Browser([]).go(own("acs", id), { SAMLResponse, RelayState });
    return taken.url.startsWith(own("callback", id)) ? await browser.go(taken.url) : taken;
  }
  async function logIn(browser: Browser, said: Said): Promise<Shown> {
    return await deliver(browser, await provider.answer(metadata, (await begin(browser)).url, said));
  }
  async function clientOf(browser: Browser, asked: Shown): Promise<TestClient> {
    const back = new URL((await browser.submit(asked, { decision: "allow" }, "redirectUrl")).url);
    const { status, body } = await server.anonymous.post(`${V3}/login`, { type: "m.login.token", token: back.searchParams.get("loginToken") });
    expect(status).to.equal(200);
    return server.client({ user_id: stringAt(body, "user_id"), device_id: stringAt(body, "device_id"), access_token: stringAt(body, "access_token") });
  }
  const whoami = async (client: TestClient): Promise<number> => (await client.get(`${V3}/account/whoami`)).status;
  const erin: Said = { nameId: "e-1", attributes: { uid: "Erin", displayName: "Erin & Co", mail: "erin@example.org" } };

  it("are offered to clients and on the login page, and told of us", async () => {
    expect(JSON.stringify((await server.anonymous.get(`${V3}/login`)).body["flows"])).to.include('"id":"university","name":"University"');
    expect((await newBrowser().go(`${base}/_hansa/account`)).text).to.include(`${base}/_hansa/account/sso/${ID}?next=`);
    expect(metadata).to.include(own("acs")).and.include(own("slo")).and.include(`entityID="${own("metadata")}"`);
    expect((await fetch(own("metadata", "none"))).status).to.equal(404);
  });

  it("open an account for who is new, and know them again", async () => {
    const browser = newBrowser();
    const client = await clientOf(browser, await logIn(browser, erin));
    expect(client.user_id).to.equal("@erin:localhost");
    expect((await client.get(`${V3}/profile/@erin:localhost/displayname`)).body).to.deep.equal({ displayname: "Erin & Co" });
    expect(JSON.stringify((await client.get(`${V3}/account/3pid`)).body)).to.include("erin@example.org");
    const again = newBrowser();
    expect((await clientOf(again, await logIn(again, { ...erin, attributes: { uid: "changed" } }))).user_id).to.equal("@erin:localhost");
    await server.register("frank");
    expect((await logIn(newBrowser(), { nameId: "f-1", attributes: { uid: "frank" } })).status).to.equal(403);
    expect((await logIn(newBrowser(), { nameId: "n-1" })).status).to.equal(403);
  });

  it("may encrypt what they say, and have to where that was agreed", async () => {
    const theirs = await (await fetch(own("metadata", SEALED))).text();
    expect(theirs).to.match(/use="encryption"/);
    expect(metadata).not.to.match(/use="encryption"/);
    const browser = newBrowser();
    const { url } = await begin(browser, SEALED);
    const said: Said = { nameId: "s-1", attributes: { uid: "sealed" } };
    const answer = await provider.answer(theirs, url, said, "encrypted");
    expect(Buffer.from(answer.SAMLResponse, "base64").toString()).to.include("EncryptedAssertion").and.not.include("s-1");
    const broken = Buffer.from(answer.SAMLResponse, "base64").toString().replace(/(CipherValue>[^<]{40})[^<]{4}/, "$1AAAA");
    expect((await deliver(newBrowser(), { ...answer, SAMLResponse: Buffer.from(broken).toString("base64") }, SEALED)).status).to.equal(403);
    expect((await deliver(newBrowser(), await provider.answer(theirs, url, said, "plain"), SEALED)).status).to.equal(403);
    expect((await deliver(newBrowser(), await provider.answer(theirs, url, said, "encrypted old"), SEALED)).status).to.equal(403);
    expect((await clientOf(browser, await deliver(browser, answer, SEALED))).user_id).to.equal("@sealed:localhost");
  });

  it("are believed only what they signed for this login", async () => {
    const wrong: Said[] = [
      { ...erin, audience: "https://others.example.org" },
      { ...erin, recipient: `${base}/elsewhere` },
      { ...erin, inResponseTo: "_another" },
      { ...erin, issuer: "https://impostor.example.org" },
      { ...erin, seconds: -300 },
      { ...erin, format: "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" },
    ];
    for (const said of wrong) expect((await logIn(newBrowser(), said)).status, JSON.stringify(said)).to.equal(403);
    const browser = newBrowser();
    const { url } = await begin(browser);
    const change = (answer: SamlAnswer, work: (xml: string) => string): SamlAnswer => ({ ...answer, SAMLResponse: Buffer.from(work(Buffer.from(answer.SAMLResponse, "base64").toString())).toString("base64") });
    const right = await provider.answer(metadata, url, erin);
    const forged = [
      await provider.answer(metadata, url, erin, "impostor"),
      await provider.answer(metadata, url, erin, "old"),
      // Other ways to write an address in XML make no other algorithm of it.
      change(await provider.answer(metadata, url, erin, "old"), (xml) => xml.replaceAll("sha1", "sh&#97;1")),
      change(right, (xml) => xml.replace(">e-1<", ">root<")),
      change(right, (xml) => xml.replace(/<ds:Signature[\s\S]*<\/ds:Signature>/, "")),
      { ...right, SAMLResponse: "nonsense" },
      { ...right, SAMLResponse: "" },
      // An answer to another request than the state belongs to.
      { ...right, RelayState: new URL((await begin(newBrowser())).url).searchParams.get("RelayState") ?? "" },
      { ...right, RelayState: "made up" },
      { ...right, RelayState: "" },
    ];
    for (const answer of forged) expect((await deliver(browser, answer)).status).to.equal(403);
    const taken = await new Browser([]).go(own("acs"), { ...right });
    // In another browser than the one that began it; and again.
    expect((await newBrowser().go(taken.url)).status).to.equal(403);
    expect((await new Browser([]).go(own("acs"), { ...right })).status).to.equal(403);
    expect((await browser.go(taken.url)).status).to.equal(200);
    expect((await browser.go(taken.url)).status).to.equal(403);
  });

  it("name users by an attribute where the name changes each time", async () => {
    const other = await (await fetch(own("metadata", "by-attribute"))).text();
    const attributes = { "urn:oid:1.3.6.1.4.1.5923.1.1.1.13": "lasting", uid: "grace" };
    for (const nameId of ["t-1", "t-2"]) {
      const browser = newBrowser();
      const { url } = await begin(browser, "by-attribute");
      const answer = await provider.answer(other, url, { nameId, format: "urn:oasis:names:tc:SAML:2.0:nameid-format:transient", attributes });
      expect((await clientOf(browser, await deliver(browser, answer, "by-attribute"))).user_id).to.equal("@grace:localhost");
    }
  });

  it("end sessions here when theirs end", async () => {
    const [first, second] = [newBrowser(), newBrowser()];
    const heidi = (session: string): Said => ({ nameId: "h&1", session, attributes: { uid: "heidi" } });
    const ended = await clientOf(first, await logIn(first, heidi("s1")));
    const kept = await clientOf(second, await logIn(second, heidi("s2")));
    const ask = (more: Parameters<SamlIdentityProvider["logoutRequest"]>[3] = {}) => provider.logoutRequest(metadata, own("slo"), { nameId: "h&1", session: "s1" }, more);
    const anywhere = new Browser([]);
    const refused = [
      await anywhere.go(ask().url.replace(/&Signature=.*$/, "")),
      await anywhere.go(ask({ byImpostor: true }).url),
      await anywhere.go(ask({ issued: new Date(Date.now() - 3_600_000) }).url),
      await anywhere.go(ask({ destination: "https://others.example.org/slo" }).url),
      await anywhere.go(own("slo"), { SAMLRequest: ask({ byImpostor: true }).SAMLRequest }),
      await anywhere.go(own("slo"), { SAMLRequest: Buffer.from("<x/>").toString("base64") }),
      await anywhere.go(own("slo"), { SAMLRequest: Buffer.alloc(100_000, "<x/>").toString("base64") }),
      await anywhere.go(`${own("slo")}?SAMLRequest=nonsense`),
    ];
    expect(refused.map(({ status }) => [400, 403].includes(status))).to.deep.equal(refused.map(() => true));
    expect([await whoami(ended), await whoami(kept)]).to.deep.equal([200, 200]);
    const answered = await anywhere.go(ask().url);
    expect(answered.text + answered.url).to.include(provider.logoutUrl);
    expect((await provider.loggedOut(metadata, answered.url)).relayState).to.equal("state of theirs");
    expect([await whoami(ended), await whoami(kept)]).to.deep.equal([401, 200]);
    expect((await first.go(`${base}/_hansa/account`)).url).to.include("/_hansa/account/login");
    const posted = (more: { old?: boolean }): string => provider.logoutRequest(metadata, own("slo"), { nameId: "h&1", session: "s2" }, more).SAMLRequest;
    expect((await anywhere.go(own("slo"), { SAMLRequest: posted({ old: true }) })).status).to.equal(403);
    expect(await whoami(kept)).to.equal(200);
    const SAMLRequest = posted({});
    expect((await anywhere.go(own("slo"), { SAMLRequest })).url.startsWith(provider.logoutUrl)).to.equal(true);
    expect(await whoami(kept)).to.equal(401);
  });

  it("end sessions there when ours end", async () => {
    const browser = newBrowser();
    const client = await clientOf(browser, await logIn(browser, { nameId: "i-1", attributes: { uid: "ivan" } }));
    const out = await browser.submit(await browser.go(`${base}/_hansa/account`), {}, "log_out");
    const location = /url=(.*)$/.exec(out.headers.get("refresh") ?? "")?.[1] ?? "";
    expect((await provider.loggedOut(metadata, location)).nameId).to.equal("i-1");
    expect(await whoami(client)).to.equal(401);
    expect((await browser.go(`${base}/_hansa/account`)).url).to.include("/_hansa/account/login");
    expect((await browser.go(`${own("slo")}?SAMLResponse=any`)).url).to.include("/_hansa/account/login");
  });

  it("are refused in the configuration if it does not go together", async () => {
    const servers = [{ name: "localhost", public_base_url: base }];
    const check = (more: Record<string, unknown>): (() => unknown) => () => checkConfig({ servers, saml_providers: [{ ...settings, ...more }] });
    expect(check({ decryption_key: OWN_KEY })).to.throw(ConfigError, /both decryption_key/);
    expect(check({ private_key: undefined })).to.throw(ConfigError, /both private_key/);
    expect(check({ logout_url: undefined })).to.throw(ConfigError, /logout_url/);
    expect(() => checkConfig({ servers, saml_providers: [settings, settings] })).to.throw(ConfigError, /twice/);
    expect(() => checkConfig({ saml_providers: [settings] })).to.throw(ConfigError, /public_base_url/);
    let failed: unknown;
    await startTestServer({ servers, saml_providers: [{ ...settings, certificate: "none" }] }).catch((error: unknown) => (failed = error));
    expect(failed).to.be.instanceOf(ConfigError);
  });
});
