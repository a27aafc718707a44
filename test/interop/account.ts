// A user of either server, as the checks of federation drive them: by the client-server API alone, which every server has.
import { createHmac, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isObject, type JsonObject, objectAt, objectsAt, stringAt } from "../support/json-path.js";

const WAIT_MS = 20_000;
const PAUSE_MS = 100;

export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

/** A server answered otherwise than it should. */
export class WrongAnswer extends Error {
  override name = "WrongAnswer";
}

/** A server has no such operation: what needs it cannot be checked. */
export class Missing extends Error {
  override name = "Missing";
}

export interface Side {
  /** What the matrix calls it. */
  readonly label: string;
  /** Where clients reach it. */
  readonly url: string;
  /** The shared secret of `/_synapse/admin/v1/register`. */
  readonly secret: string;
}

/** Waits until `condition` gives something. Throws WrongAnswer that names what was waited for. */
export async function until<T>(what: string, condition: () => Promise<T | undefined | false>, timeoutMs = WAIT_MS): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new WrongAnswer(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(PAUSE_MS);
  }
}

export class Account {
  readonly id: string;
  readonly side: Side;
  readonly device: string;
  readonly #token: string;
  #since: string | undefined;

  private constructor(side: Side, { id, device, token }: { readonly id: string; readonly device: string; readonly token: string }) {
    this.side = side;
    this.id = id;
    this.device = device;
    this.#token = token;
  }

  /** Makes an account with a name of its own. */
  static async register(side: Side, name: string): Promise<Account> {
    const path = "/_synapse/admin/v1/register";
    const username = `${name}-${randomBytes(5).toString("hex")}`;
    const password = randomBytes(12).toString("hex");
    const { body } = await call(side, "GET", path);
    const nonce = stringAt(body, "nonce") ?? "";
    const mac = createHmac("sha1", side.secret).update(`${nonce}\0${username}\0${password}\0notadmin`).digest("hex");
    const made = await call(side, "POST", path, { nonce, username, password, mac, admin: false });
    if (made.status !== 200) throw new WrongAnswer(`${side.label} registers nobody: ${made.status} ${JSON.stringify(made.body)}`);
    // Not every server gives a device here.
    const identifier = { type: "m.id.user", user: username };
    const login = await call(side, "POST", "/_matrix/client/v3/login", { type: "m.login.password", identifier, password });
    const [id, device, token] = ["user_id", "device_id", "access_token"].map((key) => stringAt(login.body, key));
    if (id === undefined || device === undefined || token === undefined) throw new WrongAnswer(`${side.label} lets nobody log in: ${login.status}`);
    return new Account(side, { id, device, token });
  }

  get server(): string {
    return this.id.slice(this.id.indexOf(":") + 1);
  }

  async call(method: string, path: string, body?: unknown): Promise<Answer> {
    return await call(this.side, method, `/_matrix/client/v3/${path}`, body, this.#token);
  }

  /** A call of any path that answers with bytes. */
  async bytes(method: string, path: string, body?: Uint8Array<ArrayBuffer>, type = "application/octet-stream"): Promise<{ readonly status: number; readonly bytes: Buffer }> {
    const headers = { authorization: `Bearer ${this.#token}`, ...(body !== undefined && { "content-type": type }) };
    const answer = await fetch(this.side.url + path, { method, headers, ...(body !== undefined && { body }) });
    return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
  }

  /** The body of a 200. Throws WrongAnswer for anything else, Missing where there is no such operation. */
  async ok(method: string, path: string, body?: unknown): Promise<JsonObject> {
    const answer = await this.call(method, path, body);
    if (answer.status === 200) return answer.body;
    const text = `${this.side.label}: ${method} ${decodeURIComponent(path)}: ${answer.status} ${JSON.stringify(answer.body)}`;
    throw answer.body["errcode"] === "M_UNRECOGNIZED" ? new Missing(text) : new WrongAnswer(text);
  }

  /** Expects a refusal with this status. */
  async refused(status: number, method: string, path: string, body?: unknown): Promise<void> {
    const answer = await this.call(method, path, body);
    if (answer.status !== status) {
      throw new WrongAnswer(`${this.side.label}: ${method} ${decodeURIComponent(path)}: ${answer.status} ${JSON.stringify(answer.body)} instead of ${status}`);
    }
  }

  async createRoom(settings: JsonObject): Promise<string> {
    return required(await this.ok("POST", "createRoom", settings), "room_id");
  }

  async join(roomOrAlias: string, via?: Account): Promise<string> {
    const query = via === undefined ? "" : `?server_name=${via.server}&via=${via.server}`;
    return required(await this.ok("POST", `join/${encodeURIComponent(roomOrAlias)}${query}`, {}), "room_id");
  }

  async change(room: string, action: "invite" | "kick" | "ban" | "unban", user: Account): Promise<void> {
    await this.ok("POST", `rooms/${encodeURIComponent(room)}/${action}`, { user_id: user.id });
  }

  async leave(room: string): Promise<void> {
    await this.ok("POST", `rooms/${encodeURIComponent(room)}/leave`, {});
  }

  async say(room: string, text: string): Promise<string> {
    const path = `rooms/${encodeURIComponent(room)}/send/m.room.message/${randomBytes(6).toString("hex")}`;
    return required(await this.ok("PUT", path, { msgtype: "m.text", body: text }), "event_id");
  }

  async setState(room: string, type: string, content: JsonObject, key = ""): Promise<string> {
    return required(await this.ok("PUT", `rooms/${encodeURIComponent(room)}/state/${type}/${encodeURIComponent(key)}`, content), "event_id");
  }

  async state(room: string, type: string, key = ""): Promise<JsonObject | undefined> {
    const answer = await this.call("GET", `rooms/${encodeURIComponent(room)}/state/${type}/${encodeURIComponent(key)}`);
    return answer.status === 200 ? answer.body : undefined;
  }

  async event(room: string, id: string): Promise<JsonObject | undefined> {
    const answer = await this.call("GET", `rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(id)}`);
    return answer.status === 200 ? answer.body : undefined;
  }

  /** Waits until this user is shown an event. */
  async sees(room: string, id: string): Promise<JsonObject> {
    return await until(`${this.side.label} shows an event of ${room}`, () => this.event(room, id));
  }

  /** Waits until this user's server says so of a member. */
  async seesMember(room: string, user: Account, membership: string): Promise<void> {
    await until(`${this.side.label} says that ${user.id} is "${membership}"`, async () => (await this.state(room, "m.room.member", user.id))?.["membership"] === membership);
  }

  /** Syncs until an answer has what is looked for. */
  async syncUntil<T>(what: string, find: (sync: JsonObject) => T | undefined | false, timeoutMs = WAIT_MS): Promise<T> {
    return await until(`${this.side.label}'s sync shows ${what}`, async () => {
      const since = this.#since === undefined ? "" : `&since=${encodeURIComponent(this.#since)}`;
      const sync = await this.ok("GET", `sync?timeout=${this.#since === undefined ? 0 : 1000}${since}`);
      this.#since = required(sync, "next_batch");
      return find(sync);
    }, timeoutMs);
  }

  /** Leaves behind what a sync would tell of up to now. */
  async catchUp(): Promise<void> {
    await this.syncUntil("anything", () => true);
  }

  /** Waits until a sync shows this user's membership of a room in this section. */
  async syncsRoom(room: string, section: "invite" | "knock" | "join" | "leave"): Promise<JsonObject> {
    return await this.syncUntil(`${room} under "${section}"`, (sync) => {
      const entry = objectAt(sync, "rooms", section)[room];
      return isObject(entry) ? entry : undefined;
    });
  }

  /** All events of a room that this user can page back to, from the newest on. */
  async history(room: string): Promise<JsonObject[]> {
    const events: JsonObject[] = [];
    let from = "";
    for (let page = 0; page < 100; page += 1) {
      const answer = await this.ok("GET", `rooms/${encodeURIComponent(room)}/messages?dir=b&limit=20${from}`);
      events.push(...objectsAt(answer, "chunk"));
      const end = stringAt(answer, "end");
      if (end === undefined || objectsAt(answer, "chunk").length === 0) return events;
      from = `&from=${encodeURIComponent(end)}`;
    }
    throw new WrongAnswer(`${this.side.label}'s history does not end`);
  }

  /** The current state of a room: event ids by type and state key. */
  async wholeState(room: string): Promise<Map<string, string>> {
    const path = `${this.side.url}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state`;
    const answer = await fetch(path, { headers: { authorization: `Bearer ${this.#token}` } });
    const events = objectsAt({ events: await answer.json() }, "events");
    return new Map(events.map((event) => [JSON.stringify([event["type"], event["state_key"]]), String(event["event_id"])]));
  }
}

/** A string that an answer must have. */
export function required(answer: JsonObject, key: string): string {
  const value = stringAt(answer, key);
  if (value === undefined) throw new WrongAnswer(`there is no ${key} in ${JSON.stringify(answer)}`);
  return value;
}

async function call(side: Side, method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
  const answer = await fetch(side.url + path, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new WrongAnswer(`${side.label}: ${method} ${path}: ${answer.status}, not JSON: ${text.slice(0, 100)}`);
  }
  return { status: answer.status, body: isObject(json) ? json : {} };
}
