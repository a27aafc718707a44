// Two people in a browser client that others wrote (Cinny): they log in, talk in an encrypted room, send a picture, reload.
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { matrixRequest, ok, type MatrixRequest } from "../support/matrix-request.js";
import { openWebClient, runWithClient } from "./web-client.js";

const V3 = "/_matrix/client/v3";
const PASSWORD = "a rather long Password 1";
const EDITOR = '[data-slate-editor="true"]';
const WAIT_MS = 30_000;
/** What Cinny reads at its start. */
const settingsFor = (homeserver: string): Record<string, unknown> => ({
  defaultHomeserver: 0,
  homeserverList: [homeserver],
  allowCustomHomeservers: true,
  featuredCommunities: { openAsDefault: false, spaces: [], rooms: [], servers: [] },
  hashRouter: { enabled: true, basename: "/" },
});

interface Person {
  readonly name: string;
  readonly id: string;
  readonly request: MatrixRequest;
}

async function register(url: string, name: string): Promise<Person> {
  const session = await ok(matrixRequest(url), "POST", `${V3}/register`, { username: name, password: PASSWORD, auth: { type: "m.login.dummy" } });
  return { name, id: stringAt(session, "user_id") ?? "", request: matrixRequest(url, stringAt(session, "access_token")) };
}

/** A person's window, and what happens in it. */
class Window {
  readonly #page: Page;
  readonly #name: string;
  readonly #folder: string;
  static #pictures = 0;

  private constructor(page: Page, name: string, folder: string) {
    this.#page = page;
    this.#name = name;
    this.#folder = folder;
  }

  static async open(browser: Browser, client: string, homeserver: string, person: Person, folder: string, refused: string[]): Promise<Window> {
    const page = await (await browser.newContext({ viewport: { width: 1200, height: 1500 } })).newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on("pageerror", (error) => refused.push(`${person.name}: ${error.message}`));
    page.on("response", (response) => {
      if (response.url().startsWith(homeserver) && response.status() >= 400) refused.push(`${person.name}: ${response.status()} ${response.request().method()} ${new URL(response.url()).pathname}`);
    });
    await page.goto(`${client}/#/login/`);
    await page.fill('input[name="usernameInput"]', person.name);
    await page.fill('input[name="passwordInput"]', PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByText("Create Room").first().waitFor();
    return new Window(page, person.name, folder);
  }

  async goTo(room: string): Promise<void> {
    await this.#page.goto(`${new URL(this.#page.url()).origin}/#/home/${encodeURIComponent(room)}/`);
    await this.#page.waitForSelector(EDITOR);
  }

  async say(text: string): Promise<void> {
    await this.#page.click(EDITOR);
    await this.#page.keyboard.type(text);
    await this.#page.keyboard.press("Enter");
  }

  async sendPicture(name: string, content: Buffer): Promise<void> {
    const chooser = this.#page.waitForEvent("filechooser");
    // The button to the left of the text is the one that adds files.
    await this.#page.locator(`button:left-of(${EDITOR})`).first().click();
    await (await chooser).setFiles({ name, mimeType: "image/png", buffer: content });
    await this.#page.getByText("Send", { exact: true }).click();
  }

  /** Waits until the text is there, at the end of the timeline. */
  async sees(text: string): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    while (!(await this.#page.getByText(text, { exact: true }).isVisible())) {
      if (Date.now() > deadline) throw new Error(`${this.#name} does not see "${text}"`);
      const latest = this.#page.getByText("Jump to Latest");
      if (await latest.isVisible()) await latest.click();
      await this.#page.waitForTimeout(200);
    }
    console.log(`  ${this.#name} sees "${text}"`);
    await this.#picture(text);
  }

  /** Waits until a picture of this width is shown, deciphered. */
  async seesPicture(width: number): Promise<void> {
    await this.#page.waitForFunction(`[...document.images].some((image) => image.naturalWidth === ${width})`);
    console.log(`  ${this.#name} sees the picture`);
    await this.#picture("picture");
  }

  async reload(): Promise<void> {
    await this.#page.reload();
    await this.#page.waitForSelector(EDITOR);
  }

  async #picture(what: string): Promise<void> {
    const number = String(++Window.#pictures).padStart(2, "0");
    await this.#page.screenshot({ path: join(this.#folder, `${number}-${this.#name}-${what.replaceAll(/\W+/g, "-")}.png`) });
  }
}

/** What a client asks for to find out whether it is there. */
const EXPECTED = [/401 POST .*\/register$/, /404 GET .*\/room_keys\/version$/, /404 GET \/\.well-known\/matrix\/client$/];

async function main(clientFolder: string, executablePath: string, pictures: string): Promise<void> {
  await using folder = await temporaryFolder();
  await using server = await ServerProcess.start(folder.path, { registration: { open: true }, rate_limits: { enabled: false } });
  await using client = await openWebClient(clientFolder, settingsFor(server.url), executablePath);
  const suffix = randomBytes(3).toString("hex");
  const [alice, bob] = [await register(server.url, `alice-${suffix}`), await register(server.url, `bob-${suffix}`)];
  const refused: string[] = [];
  const [hers, his] = await Promise.all([alice, bob].map((person) => Window.open(client.browser, client.url, server.url, person, pictures, refused)));
  if (hers === undefined || his === undefined) throw new Error("two windows");
  const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
  const created = await ok(alice.request, "POST", `${V3}/createRoom`, { name: "Harbour", preset: "private_chat", invite: [bob.id], initial_state: [encryption] });
  const room = stringAt(created, "room_id") ?? "";
  await ok(bob.request, "POST", `${V3}/join/${encodeURIComponent(room)}`, {});
  for (const window of [hers, his]) await window.goTo(room);
  await hers.say("hello from alice");
  await his.sees("hello from alice");
  await his.say("hello from bob");
  await hers.sees("hello from bob");
  await hers.sendPicture("harbour.png", await sharp({ create: { width: 321, height: 123, channels: 3, background: "#2244aa" } }).png().toBuffer());
  await his.seesPicture(321);
  await his.reload();
  await his.sees("hello from alice");
  await his.seesPicture(321);
  await his.say("after the reload");
  await hers.sees("after the reload");
  const chunk = objectsAt(await ok(alice.request, "GET", `${V3}/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=50`), "chunk");
  const [plain, encrypted] = ["m.room.message", "m.room.encrypted"].map((type) => chunk.filter((event) => event["type"] === type).length);
  if (plain !== 0 || encrypted !== 4) throw new Error(`${plain} plain and ${encrypted} encrypted messages were sent`);
  const unexpected = refused.filter((line) => !EXPECTED.some((expected) => expected.test(line)));
  if (unexpected.length > 0) throw new Error(`refused:\n${unexpected.join("\n")}`);
  console.log("pass");
}

await runWithClient("browser.js", "Cinny", main);
