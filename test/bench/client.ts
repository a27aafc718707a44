// A Matrix client that costs little, because it shares the machine with what it measures.
import { isObject, stringAt, type JsonObject } from "../support/json-path.js";
import { Connection } from "./connection.js";

export interface User {
  readonly userId: string;
  readonly token: string;
}

/** An answer that a correct server would not have given. */
export class WrongAnswer extends Error {
  override name = "WrongAnswer";
}

/** How long one request may take: a server that needs longer has failed. */
const TIMEOUT_MS = 60_000;

/** The public Matrix API of one server. */
export class BenchClient implements Disposable {
  readonly #base: URL;
  /** Idle connections, the one used last at the end. */
  readonly #idle: Connection[] = [];

  constructor(url: string) {
    this.#base = new URL(url);
    if (this.#base.protocol !== "http:") throw new Error("the load generator speaks plain HTTP only");
  }

  [Symbol.dispose](): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  #connection(): Connection {
    for (;;) {
      const idle = this.#idle.pop();
      if (idle === undefined) return new Connection(this.#base.hostname, Number(this.#base.port || 80));
      if (idle.open) return idle;
    }
  }

  /** The JSON object of a 200; throws WrongAnswer for anything else. */
  async request(method: string, path: string, token?: string, body?: JsonObject): Promise<JsonObject> {
    const payload = body === undefined ? "" : JSON.stringify(body);
    const authorization = token === undefined ? "" : `Authorization: Bearer ${token}\r\n`;
    const content = body === undefined ? "" : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(payload)}\r\n`;
    const connection = this.#connection();
    const answer = await connection.send(`${method} ${path} HTTP/1.1\r\nHost: ${this.#base.host}\r\n${authorization}${content}\r\n`, payload, TIMEOUT_MS);
    if (connection.open) this.#idle.push(connection);
    const what = `${method} ${path.split("?")[0]}`;
    if (answer.status !== 200) throw new WrongAnswer(`${what}: ${answer.status} ${answer.body.slice(0, 200)}`);
    const parsed: unknown = JSON.parse(answer.body);
    if (!isObject(parsed)) throw new WrongAnswer(`${what}: not a JSON object`);
    return parsed;
  }

  async #string(name: string, answer: Promise<JsonObject>): Promise<string> {
    const value = stringAt(await answer, name);
    if (value === undefined) throw new WrongAnswer(`an answer without ${name}`);
    return value;
  }

  async register(username: string, password: string): Promise<User> {
    const answer = await this.request("POST", "/_matrix/client/v3/register", undefined, {
      username,
      password,
      auth: { type: "m.login.dummy" },
    });
    return this.#user(answer);
  }

  async login(username: string, password: string): Promise<User> {
    const answer = await this.request("POST", "/_matrix/client/v3/login", undefined, {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: username },
      password,
    });
    return this.#user(answer);
  }

  #user(answer: JsonObject): User {
    const userId = stringAt(answer, "user_id");
    const token = stringAt(answer, "access_token");
    if (userId === undefined || token === undefined) throw new WrongAnswer("an answer without user_id or access_token");
    return { userId, token };
  }

  createRoom(user: User, preset: "public_chat" | "private_chat"): Promise<string> {
    return this.#string("room_id", this.request("POST", "/_matrix/client/v3/createRoom", user.token, { preset }));
  }

  createSpace(user: User): Promise<string> {
    const body = { preset: "public_chat", creation_content: { type: "m.space" } };
    return this.#string("room_id", this.request("POST", "/_matrix/client/v3/createRoom", user.token, body));
  }

  addToSpace(user: User, space: string, roomId: string): Promise<JsonObject> {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(space)}/state/m.space.child/${encodeURIComponent(roomId)}`;
    return this.request("PUT", path, user.token, { via: ["localhost"] });
  }

  /** The first page of the rooms of a space. */
  hierarchy(user: User, space: string, limit: number): Promise<JsonObject> {
    return this.request("GET", `/_matrix/client/v1/rooms/${encodeURIComponent(space)}/hierarchy?limit=${limit}`, user.token);
  }

  join(user: User, roomId: string): Promise<string> {
    return this.#string("room_id", this.request("POST", `/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, user.token, {}));
  }

  /** Sends a text and gives its event id. */
  send(user: User, roomId: string, transactionId: string, body: string): Promise<string> {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${transactionId}`;
    return this.#string("event_id", this.request("PUT", path, user.token, { msgtype: "m.text", body }));
  }

  sync(user: User, options: { since?: string; timeoutMs?: number; filter?: string } = {}): Promise<JsonObject> {
    const { since, timeoutMs = 0, filter } = options;
    const query = new URLSearchParams({
      timeout: String(timeoutMs),
      ...(since === undefined ? {} : { since }),
      ...(filter === undefined ? {} : { filter }),
    });
    return this.request("GET", `/_matrix/client/v3/sync?${query.toString()}`, user.token);
  }

  /** The messages in all of a user's rooms that match a term, the best first. */
  search(user: User, search_term: string): Promise<JsonObject> {
    const room_events = { search_term, keys: ["content.body"] };
    return this.request("POST", "/_matrix/client/v3/search", user.token, { search_categories: { room_events } });
  }

  /** One page of a room's history, newest first. */
  messages(user: User, roomId: string, limit: number, from?: string): Promise<JsonObject> {
    const query = new URLSearchParams({ dir: "b", limit: String(limit), ...(from === undefined ? {} : { from }) });
    return this.request("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`, user.token);
  }
}
