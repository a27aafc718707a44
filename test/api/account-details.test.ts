// The user's picture and addresses on the pages of the account.
import { expect } from "chai";
import sharp from "sharp";
import { Browser, formsOf, type Shown } from "../support/browser.js";
import { freePort } from "../support/free-port.js";
import { type Mailbox, startMailbox } from "../support/mailbox.js";
import { passwordOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("the account page", () => {
  let mailbox: Mailbox;
  let server: TestServer;
  let base: string;
  let alice: TestClient;
  let browser: Browser;
  before(async () => {
    mailbox = await startMailbox();
    const port = await freePort();
    base = `http://127.0.0.1:${port}`;
    server = await startTestServer({
      listen: { port },
      servers: [{ name: "localhost", public_base_url: base }],
      mail: { host: "127.0.0.1", port: mailbox.port, security: "none", from: "Hansa <noreply@example.org>" },
    });
    alice = await server.register("alice");
    await server.register("bob");
    browser = await loggedIn("alice");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await mailbox[Symbol.asyncDispose]();
  });

  async function loggedIn(name: string, languages = "en"): Promise<Browser> {
    const opened = new Browser([base], { "accept-language": languages });
    await opened.submit(await opened.go(`${base}/_hansa/account/login`), { user: name, password: passwordOf(name) });
    return opened;
  }
  const cookies = (of: Browser): string => [...of.cookies].map(([name, value]) => `${name.split(" ")[1] ?? ""}=${value}`).join("; ");
  const csrfOf = ({ text }: Shown): string => formsOf(text)[0]?.fields.get("csrf") ?? "";
  const put = (of: Browser, csrf: string, type: string, body: Uint8Array): Promise<Response> =>
    fetch(`${base}/_hansa/account/avatar`, { method: "POST", headers: { cookie: cookies(of), "content-type": type, "x-csrf": csrf }, body });
  const avatarUrl = async (): Promise<unknown> => (await alice.get(`${V3}/profile/${alice.user_id}`)).body["avatar_url"];

  it("shows, changes and removes the picture", async () => {
    const page = await browser.go(`${base}/_hansa/account`);
    expect(page.text).to.not.include("<img");
    expect(page.headers.get("content-security-policy")).to.include("img-src 'self'");
    const picture = new Uint8Array(await sharp({ create: { width: 200, height: 200, channels: 3, background: "#123456" } }).png().toBuffer());
    const csrf = csrfOf(page);
    expect((await put(browser, "made up", "image/png", picture)).status).to.equal(403);
    expect((await put(new Browser([base]), csrf, "image/png", picture)).status).to.equal(403);
    expect((await put(browser, csrf, "image/svg+xml", picture)).status).to.equal(400);
    expect(await avatarUrl()).to.equal(undefined);
    expect((await put(browser, csrf, "image/png", picture)).status).to.equal(200);
    expect(await avatarUrl()).to.match(/^mxc:\/\/localhost\//);
    const shown = await browser.go(`${base}/_hansa/account`);
    expect(shown.text).to.include(`<img src="${base}/_hansa/account/avatar"`);
    const image = await fetch(`${base}/_hansa/account/avatar`, { headers: { cookie: cookies(browser) } });
    expect((await sharp(Buffer.from(await image.arrayBuffer())).metadata()).width).to.equal(96);
    expect((await fetch(`${base}/_hansa/account/avatar`)).status).to.equal(404);
    await server.database.write({ name: "test_suspend", text: "UPDATE accounts SET suspended = true WHERE user_nid = (SELECT nid FROM users WHERE user_id = '@alice:localhost')" }, []);
    expect((await browser.submit(shown, {}, "remove_avatar")).status).to.equal(403);
    expect((await put(browser, csrf, "image/png", picture)).status).to.equal(403);
    await server.database.write({ name: "test_suspend_not", text: "UPDATE accounts SET suspended = false" }, []);
    expect((await browser.submit(shown, {}, "remove_avatar")).text).to.not.include("<img");
    expect(await avatarUrl()).to.equal(undefined);
  });

  it("adds an address after a mail and the password, and removes it", async () => {
    const addresses = `${base}/_hansa/account/addresses`;
    expect((await new Browser([base]).go(addresses)).url).to.include("/_hansa/account/login?next=");
    const empty = await browser.go(addresses);
    expect(empty.text).to.include("You have no addresses.");
    expect((await browser.submit(empty, { address: "nonsense" })).status).to.equal(400);
    const sent = await browser.submit(empty, { address: "Alice@example.org" });
    expect((await browser.submit(sent, { password: passwordOf("alice") })).text).to.include("not been confirmed yet");
    await mailbox.until(1);
    const link = /https?:\/\/\S+/.exec(mailbox.mails[0]?.text ?? "")?.[0] ?? "";
    const proof = new Browser([base]);
    await proof.submit(await proof.go(link), {});
    expect((await browser.submit(sent, { password: "wrong" })).status).to.equal(403);
    expect((await (await loggedIn("bob")).submit({ ...sent, text: sent.text }, { password: passwordOf("bob") })).status).to.equal(403);
    const added = await browser.submit(sent, { password: passwordOf("alice") });
    expect(added.text).to.include("alice@example.org");
    expect(JSON.stringify((await alice.get(`${V3}/account/3pid`)).body)).to.include("alice@example.org");
    expect((await browser.submit(sent, { password: passwordOf("alice") })).text).to.include("not been confirmed yet");
    const bob = await loggedIn("bob");
    expect((await bob.submit(await bob.go(addresses), { address: "alice@example.org" })).status).to.equal(400);
    expect((await browser.submit(added, {}, "remove")).text).to.include("You have no addresses.");
    expect((await alice.get(`${V3}/account/3pid`)).body).to.deep.equal({ threepids: [] });
  });

  it("speaks the user's language", async () => {
    for (const [language, text] of [["es", "Tus direcciones"], ["pt", "Os seus endereços"]] as const) {
      expect((await (await loggedIn("bob", language)).go(`${base}/_hansa/account`)).text).to.include(text);
    }
  });
});
