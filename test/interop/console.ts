// The admin console that others wrote (Ketesa), in a headless Chromium: every list, every tab, every dialog, without an error.
import { createHmac } from "node:crypto";
import { join } from "node:path";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { freePort } from "../support/free-port.js";
import { stringAt, type JsonObject } from "../support/json-path.js";
import { matrixRequest, ok, type MatrixRequest } from "../support/matrix-request.js";
import { openWebClient, runWithClient } from "./web-client.js";

const V3 = "/_matrix/client/v3";
const SECRET = "the console's shared secret";
const PASSWORD = "a rather long Password 1";
const WAIT_MS = 15_000;
/** How long a page must have asked for nothing to be done. */
const QUIET_MS = 400;
const EXPECTED = [
  // To find out what there is, and what it has no token for yet.
  /404 GET \/\.well-known\/matrix\/client/,
  /404 GET .*\/auth_metadata/,
  /401 GET \/_synapse\/admin\/v1\/server_version/,
  // Who speaks for the server has no account that anybody could log in to.
  /404 GET .*\/users\/%40_notices%3Alocalhost/,
];

interface Person {
  readonly id: string;
  readonly token: string;
  readonly request: MatrixRequest;
}

async function register(url: string, username: string, admin = false): Promise<Person> {
  const path = "/_synapse/admin/v1/register";
  const nonce = stringAt(await ok(matrixRequest(url), "GET", path), "nonce") ?? "";
  const mac = createHmac("sha1", SECRET).update([nonce, username, PASSWORD, admin ? "admin" : "notadmin"].join("\0")).digest("hex");
  const session = await ok(matrixRequest(url), "POST", path, { nonce, username, password: PASSWORD, admin, mac });
  const token = stringAt(session, "access_token") ?? "";
  return { id: stringAt(session, "user_id") ?? "", token, request: matrixRequest(url, token) };
}

/** Something for every page of the console to show. */
async function fill(url: string, admin: Person, users: readonly Person[]): Promise<{ readonly room: string; readonly space: string }> {
  const [first, second] = users;
  if (first === undefined || second === undefined) throw new Error("two users");
  const create = async (settings: JsonObject): Promise<string> => stringAt(await ok(first.request, "POST", `${V3}/createRoom`, settings), "room_id") ?? "";
  const room = await create({ preset: "public_chat", name: "Harbour", topic: "Ships", room_alias_name: "harbour", visibility: "public" });
  const space = await create({ preset: "public_chat", name: "Coast", creation_content: { type: "m.space" } });
  const at = (path: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${path}`;
  await ok(first.request, "PUT", `${V3}/rooms/${encodeURIComponent(space)}/state/m.space.child/${encodeURIComponent(room)}`, { via: ["localhost"] });
  const picture = await sharp({ create: { width: 64, height: 64, channels: 3, background: "#cc3366" } }).png().toBuffer();
  const uploaded = await fetch(`${url}/_matrix/media/v3/upload?filename=red.png`, { method: "POST", headers: { authorization: `Bearer ${first.token}`, "content-type": "image/png" }, body: new Uint8Array(picture) });
  const { content_uri } = (await uploaded.json()) as { content_uri: string };
  await ok(first.request, "PUT", at("send/m.room.message/picture"), { msgtype: "m.image", body: "red.png", url: content_uri });
  for (const user of users.slice(1)) await ok(user.request, "POST", at("join"), {});
  // Nobody answers for that name: a destination that fails.
  await first.request("POST", at("invite"), { user_id: `@far:127.0.0.1:${await freePort()}` });
  const said = stringAt(await ok(first.request, "PUT", at("send/m.room.message/said"), { msgtype: "m.text", body: "something rude" }), "event_id") ?? "";
  await ok(second.request, "POST", at(`report/${encodeURIComponent(said)}`), { reason: "rude" });
  await ok(second.request, "POST", at("report"), { reason: "the room" });
  await ok(second.request, "POST", `${V3}/users/${encodeURIComponent(first.id)}/report`, { reason: "this user" });
  await ok(admin.request, "POST", "/_synapse/admin/v1/registration_tokens/new", { token: "welcome", uses_allowed: 5 });
  const pusher = { kind: "http", app_id: "org.example.app", app_display_name: "App", device_display_name: "Phone", pushkey: "key", lang: "en", data: { url: "https://push.example.org/_matrix/push/v1/notify" } };
  await ok(second.request, "POST", `${V3}/pushers/set`, pusher);
  return { room, space };
}

/** The console's page, and what went wrong in it. */
class Console {
  readonly problems: string[] = [];
  readonly #page: Page;
  readonly #base: string;
  readonly #folder: string;
  #where = "login";
  #pictures = 0;
  #deleted: string | undefined;

  constructor(page: Page, base: string, homeserver: string, folder: string) {
    this.#page = page;
    this.#base = base;
    this.#folder = folder;
    page.setDefaultTimeout(WAIT_MS);
    page.on("pageerror", (error) => this.#note(error.message));
    page.on("response", (response) => {
      if (!response.url().startsWith(homeserver) || response.status() < 400) return;
      const line = `${response.status()} ${response.request().method()} ${new URL(response.url()).pathname}`;
      if (this.#deleted !== undefined && decodeURIComponent(line).endsWith(this.#deleted) && line.startsWith("404 GET")) return;
      if (!EXPECTED.some((expected) => expected.test(line))) this.#note(line);
    });
  }

  #note(problem: string): void {
    this.problems.push(`${this.#where}: ${problem}`);
    console.log(`  PROBLEM ${this.#where}: ${problem}`);
  }

  /** Waits until nothing is asked for any more, looks for refusals in the page, and takes its picture. */
  async #look(): Promise<void> {
    await this.#page.waitForTimeout(QUIET_MS);
    await this.#page.waitForLoadState("networkidle");
    for (const text of await this.#page.locator(".RaNotification-error, .RaNotification-warning").allTextContents()) this.#note(text);
    if (/Something went wrong|Not Found/.test(await this.#page.locator("body").innerText())) this.#note("an error page");
    const number = String(++this.#pictures).padStart(3, "0");
    await this.#page.screenshot({ path: join(this.#folder, `${number}-${this.#where.replaceAll(/\W+/g, "-").slice(0, 60)}.png`) });
  }

  async logIn(homeserver: string, name: string): Promise<void> {
    await this.#page.goto(this.#base);
    await this.#page.fill('input[name="base_url"]', homeserver);
    await this.#page.keyboard.press("Tab");
    await this.#look();
    await this.#page.fill('input[name="username"]', name);
    await this.#page.fill('input[name="password"]', PASSWORD);
    await this.#page.keyboard.press("Enter");
    await this.#page.getByRole("menuitem").first().waitFor();
  }

  /** Opens a page and each of its tabs. */
  async visit(path: string): Promise<void> {
    await this.#open(path);
    const tabs = this.#page.getByRole("tab");
    for (let index = 1; index < (await tabs.count()); index += 1) {
      this.#where = `${path} ${await tabs.nth(index).innerText()}`;
      await tabs.nth(index).click();
      await this.#look();
    }
  }

  async #open(path: string): Promise<void> {
    console.log(path);
    this.#where = path;
    await this.#page.goto(`${this.#base}/#${path}`);
    await this.#look();
  }

  /** Presses a button of a page, fills in the dialog that it opens, and confirms it. */
  async dialog(path: string, button: string, fields: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#open(path);
    this.#where = `${path} ${button}`;
    console.log(`  ${button}`);
    await this.#page.getByRole("button", { name: button, exact: true }).first().click();
    const dialog = this.#page.getByRole("dialog");
    await dialog.waitFor();
    for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(label).first().fill(value);
    await this.#look();
    // What a page shows is asked for once more after it was deleted.
    if (button === "Delete") this.#deleted = decodeURIComponent(path.split("/")[2] ?? "");
    await this.#confirm();
  }

  async #confirm(): Promise<void> {
    const dialog = this.#page.getByRole("dialog");
    await dialog.locator(".MuiDialogActions-root button, button[type=submit]").last().click();
    await dialog.waitFor({ state: "hidden" });
    await this.#look();
  }

  /** Fills in a page that is a form, turns switches of it, and saves it. */
  async form(path: string, fields: Readonly<Record<string, string>>, switches: readonly string[] = []): Promise<void> {
    await this.#open(path);
    this.#where = `${path} form`;
    for (const [name, value] of Object.entries(fields)) await this.#page.locator(`input[name="${name}"]`).first().fill(value);
    for (const name of switches) await this.#page.locator(`input[name="${name}"]`).first().click();
    await this.#page.getByRole("button", { name: "Save", exact: true }).first().click();
    await this.#look();
    if (await this.#page.getByRole("dialog").isVisible()) await this.#confirm();
  }
}

async function main(clientFolder: string, executablePath: string, pictures: string): Promise<void> {
  await using folder = await temporaryFolder();
  const settings = { registration: { open: true, shared_secret: SECRET }, rate_limits: { enabled: false }, server_notices: { localpart: "_notices" } };
  await using server = await ServerProcess.start(folder.path, settings);
  const boss = await register(server.url, "boss", true);
  const users = [];
  for (const name of ["ada", "ben", "cleo", "dora"]) users.push(await register(server.url, name));
  const { room, space } = await fill(server.url, boss, users);
  await using client = await openWebClient(clientFolder, {}, executablePath);
  const page = await (await client.browser.newContext({ viewport: { width: 1500, height: 1100 } })).newPage();
  const view = new Console(page, client.url, server.url, pictures);
  await view.logIn(server.url, "boss");
  const path = (kind: string, id: string, show = ""): string => `/${kind}/${encodeURIComponent(id)}${show}`;
  const [ada = "", ben = "", cleo = "", dora = ""] = users.map(({ id }) => id);
  const emil = "@emil:localhost";
  for (const list of ["users", "rooms", "user_media_statistics", "database_room_statistics", "reports", "user_reports", "room_directory", "destinations", "registration_tokens", "scheduled_tasks"]) await view.visit(`/${list}`);
  for (const user of [ada, ben]) await view.visit(path("users", user));
  for (const one of [room, space]) await view.visit(path("rooms", one, "/show"));
  await view.visit("/registration_tokens/welcome");
  await view.visit("/reports/1/show");

  await view.form("/users/create", { id: "emil", displayname: "Emil", password: PASSWORD });
  await view.form("/registration_tokens/create", { token: "another", uses_allowed: "3" });
  await view.form(path("users", cleo), { displayname: "Cleopatra" }, ["suspended", "shadow_banned"]);
  await view.form(path("users", dora), {}, ["admin"]);
  await view.dialog(path("users", ben), "Send server notices", { Message: "Good evening" });
  await view.dialog(path("rooms", room, "/show"), "Purge history", { "Purge events before": "2026-01-01T00:00" });
  await view.dialog(path("rooms", room, "/show"), "Delete from room directory");
  await view.dialog(path("rooms", room, "/show"), "Add user", { "User ID": emil });
  await view.dialog(path("rooms", room, "/show"), "Assign admin", { "User ID": ada });
  await view.dialog(path("rooms", room, "/show"), "Block");
  await view.dialog(path("users", ada, "/media"), "Delete all media");
  await view.dialog(path("users", ben), "Reset password", { Password: `${PASSWORD} now` });
  await view.dialog(path("users", cleo), "Delete", { "Type the full user ID": cleo });
  await view.dialog(path("rooms", space, "/show"), "Delete");
  if (view.problems.length > 0) throw new Error(`${view.problems.length} problems:\n${view.problems.join("\n")}`);
  console.log("pass");
}

await runWithClient("console.js", "Ketesa", main);
