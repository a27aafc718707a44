// Login through another provider of identities by OpenID Connect, against a real one.
import { createServer } from "node:http";
import { expect } from "chai";
import { Provider } from "oidc-provider";
import { checkConfig, ConfigError } from "../../src/config.js";
import { Browser, type Shown } from "../support/browser.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { stringAt } from "../support/json-path.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const CLIENT = "https://client.example.org/";
const SECRET = "a secret of the homeserver and its provider";

describe("identity providers", () => {
  let server: TestServer;
  let base: string;
  let issuer: string;
  let stopProvider: () => Promise<void>;

  before(async () => {
    const [port, providerPort] = [await freePort(), await freePort()];
    base = `http://127.0.0.1:${port}`;
    issuer = `http://127.0.0.1:${providerPort}`;
    const client = (id: string) => ({
      client_id: `hansa-${id}`,
      client_secret: SECRET,
      redirect_uris: [`${base}/_hansa/account/sso/${id}/callback`],
      backchannel_logout_uri: `${base}/_hansa/account/sso/${id}/logout`,
      backchannel_logout_session_required: true,
      post_logout_redirect_uris: [`${base}/_hansa/account/login`],
    });
    const provider = new Provider(issuer, {
      clients: ["main", "trusting", "closed"].map(client),
      features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
      claims: { profile: ["name", "preferred_username"] },
      // Its own refuses addresses of this machine.
      fetch: (url: URL, { method, headers, body }: RequestInit) => fetch(url, { method: method ?? "GET", headers: headers ?? {}, body: body ?? null }),
      cookies: { keys: ["only for tests"] },
      findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id, name: `Name of ${id}`, preferred_username: id }) }),
    });
    const listening = createServer(provider.callback()).listen(providerPort, "127.0.0.1");
    stopProvider = async () => {
      listening.closeAllConnections();
      await new Promise((resolve) => listening.close(resolve));
    };
    const settings = (id: string, more = {}) => ({ id, name: `Provider ${id}`, issuer, client_id: `hansa-${id}`, client_secret: SECRET, scopes: ["openid", "profile"], ...more });
    server = await startTestServer({
      listen: { port },
      servers: [{ name: "localhost", public_base_url: base }],
      outgoing: { allowed_addresses: ["127.0.0.0/8"] },
      identity_providers: [
        settings("main", { brand: "github", propagate_logout: true }),
        settings("trusting", { allow_existing_users: true }),
        settings("closed", { create_accounts: false }),
        { id: "gone", name: "Provider gone", issuer: `http://127.0.0.1:${await freePort()}`, client_id: "x" },
      ],
    });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await stopProvider();
  });

  const newBrowser = (): Browser => new Browser([base, issuer]);
  const redirect = (id: string): string => `${base}${V3}/login/sso/redirect/${id}?redirectUrl=${encodeURIComponent(CLIENT)}`;
  /** Goes through the pages of the provider, if it asks anything. */
  async function atProvider(browser: Browser, page: Shown, name: string): Promise<Shown> {
    let shown = page;
    for (let pages = 0; pages < 4 && shown.url.startsWith(issuer); pages += 1) {
      const isLogin = shown.text.includes('name="login"');
      shown = await browser.submit(shown, isLogin ? { login: name, password: "any" } : {}, isLogin ? "login" : "prompt");
    }
    return shown;
  }
  /** From the page that asks whether the client may be let in to a session of it. */
  async function clientOf(browser: Browser, asked: Shown): Promise<TestClient> {
    const back = new URL((await browser.submit(asked, { decision: "allow" }, "redirectUrl")).url);
    const { status, body } = await server.anonymous.post(`${V3}/login`, { type: "m.login.token", token: back.searchParams.get("loginToken") });
    expect(status).to.equal(200);
    return server.client({ user_id: stringAt(body, "user_id"), device_id: stringAt(body, "device_id"), access_token: stringAt(body, "access_token") });
  }
  const whoami = (client: TestClient): Promise<Answer> => client.get(`${V3}/account/whoami`);

  it("are offered to clients and on the login page", async () => {
    const flows = (await server.anonymous.get(`${V3}/login`)).body["flows"];
    expect(JSON.stringify(flows)).to.include('"id":"main","name":"Provider main","brand":"github"');
    const page = await newBrowser().go(`${base}/_hansa/account`);
    expect(page.text).to.include(`${base}/_hansa/account/sso/main?next=`).and.include("Provider trusting");
    expect((await newBrowser().go(redirect("unknown"))).status).to.equal(404);
    expect((await newBrowser().go(redirect("gone"))).status).to.equal(502);
  });

  it("open an account for who is new, and know them again", async () => {
    const browser = newBrowser();
    const asked = await atProvider(browser, await browser.go(redirect("main")), "Erin.Müller");
    expect(asked.text).to.include("@erin.m=c3=bcller:localhost");
    const client = await clientOf(browser, asked);
    expect((await client.get(`${V3}/profile/${encodeURIComponent(client.user_id)}/displayname`)).body).to.deep.equal({ displayname: "Name of Erin.Müller" });
    const again = newBrowser();
    const second = await clientOf(again, await atProvider(again, await again.go(redirect("main")), "Erin.Müller"));
    expect(second.user_id).to.equal(client.user_id);
    expect((await server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: client.user_id }, password: "" })).status).to.equal(403);
  });

  it("are believed who somebody is that has an account only where that is configured", async () => {
    const frank = await server.register("frank");
    const browser = newBrowser();
    const refused = await atProvider(browser, await browser.go(redirect("main")), "frank");
    expect([refused.status, refused.url.startsWith(base)]).to.deep.equal([403, true]);
    const trusted = newBrowser();
    expect((await clientOf(trusted, await atProvider(trusted, await trusted.go(redirect("trusting")), "frank"))).user_id).to.equal(frank.user_id);
    const closed = newBrowser();
    expect((await atProvider(closed, await closed.go(redirect("closed")), "nobody")).status).to.equal(403);
  });

  it("end a login in the browser that began it, once, and say what they were asked", async () => {
    const [browser, other] = [newBrowser(), newBrowser()];
    const stop = new Browser([issuer]);
    // A browser that does not follow back to us keeps the address with code and state.
    for (const [name, value] of browser.cookies) stop.cookies.set(name, value);
    const first = await new Browser([base]).go(redirect("main"));
    const callback = (await atProvider(stop, await stop.go(first.url), "grace")).url;
    expect(callback.startsWith(`${base}/_hansa/account/sso/main/callback?`)).to.equal(true);
    expect((await other.go(callback)).status).to.equal(403);
    expect((await browser.go(`${base}/_hansa/account/sso/main/callback?error=access_denied&state=made-up`)).status).to.equal(403);
    const begun = new Browser([base]);
    const state = new URL((await begun.go(redirect("main"))).url).searchParams.get("state") ?? "";
    expect((await begun.go(`${base}/_hansa/account/sso/main/callback?code=made-up&state=${state}&iss=${encodeURIComponent(issuer)}`)).status).to.equal(403);
    expect((await begun.go(`${base}/_hansa/account/sso/main/callback?code=made-up&state=${state}`)).text).to.include("another browser");
  });

  it("end sessions here when theirs end", async () => {
    const browser = newBrowser();
    const client = await clientOf(browser, await atProvider(browser, await browser.go(redirect("main")), "heidi"));
    const other = newBrowser();
    const kept = await clientOf(other, await atProvider(other, await other.go(redirect("main")), "heidi"));
    expect((await whoami(client)).status).to.equal(200);
    const response = await fetch(`${base}/_hansa/account/sso/main/logout`, { method: "POST", body: new URLSearchParams({ logout_token: "made.up.token" }) });
    expect(response.status).to.equal(400);
    const asked = await browser.go(`${issuer}/session/end`);
    await browser.submit(asked, { logout: "yes" }, "xsrf");
    await eventually("the end of the session", async () => (await whoami(client)).status === 401);
    expect((await browser.go(`${base}/_hansa/account`)).url).to.include("/_hansa/account/login");
    // The session of the other browser goes on.
    expect((await whoami(kept)).status).to.equal(200);
  });

  it("end sessions there when ours end", async () => {
    const browser = newBrowser();
    const client = await clientOf(browser, await atProvider(browser, await browser.go(redirect("main")), "ivan"));
    const out = await browser.submit(await browser.go(`${base}/_hansa/account`), {}, "log_out");
    const location = /url=(.*)$/.exec(out.headers.get("refresh") ?? "")?.[1] ?? "";
    expect(location.startsWith(`${issuer}/session/end?`)).to.equal(true);
    expect((await whoami(client)).status).to.equal(401);
    const ended = await browser.submit(await browser.go(location), { logout: "yes" }, "xsrf");
    expect(ended.url).to.equal(`${base}/_hansa/account/login`);
    // The provider asks again who that is.
    expect((await browser.go(redirect("main"))).text).to.include('name="login"');
  });

  it("are refused in the configuration twice, or without a public address", () => {
    const provider = { id: "x", name: "X", issuer, client_id: "x" };
    expect(() => checkConfig({ identity_providers: [provider] })).to.throw(ConfigError, "public_base_url");
    const servers = [{ name: "localhost", public_base_url: base }];
    expect(() => checkConfig({ servers, identity_providers: [provider, provider] })).to.throw(ConfigError, "twice");
  });
});
