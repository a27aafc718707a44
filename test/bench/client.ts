// A Matrix client that costs little: it shares the machine with what it measures. Keep-alive connections, nothing between
// it and node:http.
import { Agent, request as httpRequest } from "node:http";
import { isObject, stringAt, type JsonObject } from "../support/json-path.js";

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
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 4_096 });

  constructor(url: string) {
    this.#base = new URL(url);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  /** The JSON object of a 200; throws WrongAnswer for anything else. */
  request(method: string, path: string, token?: string, body?: JsonObject): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const outgoing = httpRequest(
        {
          agent: this.#agent,
          hostname: this.#base.hostname,
          port: this.#base.port,
          method,
          path,
          timeout: TIMEOUT_MS,
          headers: {
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(payload === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(payload) }),
          },
        },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on("data", (chunk: Buffer) => chunks.push(chunk));
          answer.once("error", reject);
          answer.once("end", () => {
            const text = Buffer.concat(chunks).toString();
            if (answer.statusCode !== 200) {
              reject(new WrongAnswer(`${method} ${path.split("?")[0]}: ${answer.statusCode} ${text.slice(0, 200)}`));
              return;
            }
            try {
              const parsed: unknown = JSON.parse(text);
              if (isObject(parsed)) resolve(parsed);
              else reject(new WrongAnswer(`${method} ${path.split("?")[0]}: not a JSON object`));
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      outgoing.once("timeout", () => outgoing.destroy(new WrongAnswer(`${method} ${path.split("?")[0]}: no answer in ${TIMEOUT_MS} ms`)));
      outgoing.once("error", reject);
      outgoing.end(payload);
    });
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

  /** One page of a room's history, newest first. */
  messages(user: User, roomId: string, limit: number, from?: string): Promise<JsonObject> {
    const query = new URLSearchParams({ dir: "b", limit: String(limit), ...(from === undefined ? {} : { from }) });
    return this.request("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`, user.token);
  }
}
