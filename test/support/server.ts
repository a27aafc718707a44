// A whole server in this process, on a fresh database, and clients that talk to it over the wire.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkConfig } from "../../src/config.js";
import { startServer } from "../../src/server.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { objectAt, stringAt, type JsonObject } from "./json-path.js";
import { freshDatabase } from "./postgres.js";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: JsonObject;
}

/** Requests as one device of one user, or as nobody. Paths begin after the server's address. */
export interface TestClient {
  readonly user_id: string;
  readonly device_id: string;
  readonly access_token: string;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(path: string): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  put(path: string, body?: unknown): Promise<Answer>;
  delete(path: string, body?: unknown): Promise<Answer>;
}

/** What a refusal says to programs: its status and errcode. */
export const refusal = ({ status, body }: Answer): [number, unknown] => [status, body["errcode"]];

/** Makes a room; its id. */
export async function roomOf(client: TestClient, settings: Record<string, unknown> = {}): Promise<string> {
  return stringAt((await client.post("/_matrix/client/v3/createRoom", settings)).body, "room_id") ?? "";
}

interface Session {
  readonly user_id?: string | undefined;
  readonly device_id?: string | undefined;
  readonly access_token?: string | undefined;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** The same database, for what no client can see or do. */
  readonly database: Database;
  readonly address: DatabaseAddress;
  /** A client without token. */
  readonly anonymous: TestClient;
  /** Makes an account with the password `secret of NAME` and one device. */
  register(name: string): Promise<TestClient>;
  /** Another device of an account that `register` made. */
  login(name: string): Promise<TestClient>;
  /** A client with any token. */
  client(session: Session): TestClient;
}

/** The address of a database as the configuration takes it. */
export function databaseUrl(address: DatabaseAddress): string {
  if ("url" in address) return address.url;
  return `postgres://${address.user}@localhost/${address.database}?host=${encodeURIComponent(address.socketFolder)}`;
}

export const passwordOf = (name: string): string => `secret of ${name}`;

/**
 * Starts a server: rate limits off, cheap hashes, quiet; `settings` are laid over that. With `shared` it is a further
 * process on the database of another one.
 */
export async function startTestServer(settings: Record<string, unknown> = {}, shared?: DatabaseAddress): Promise<TestServer> {
  const address = shared ?? (await freshDatabase());
  const folder = await mkdtemp(join(tmpdir(), "hansa-server-"));
  const config = checkConfig({
    listen: { port: 0 },
    data_folder: folder,
    secret_key: Buffer.alloc(32, 7).toString("base64"),
    database: { url: databaseUrl(address), pool_size: 4 },
    rate_limits: { enabled: false },
    passwords: { memory_kib: 8, iterations: 1 },
    log: { level: "silent", requests: false },
    ...settings,
  });
  const server = await startServer(config, { validateAnswers: true });
  const database = await Database.open({ address, poolSize: 2 });
  const client: TestServer["client"] = (session) => testClient(server.url, session);
  const anonymous = client({});
  const open = async (path: string, body: unknown): Promise<TestClient> => {
    const answer = await anonymous.post(path, body);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return client({
      user_id: stringAt(answer.body, "user_id"),
      device_id: stringAt(answer.body, "device_id"),
      access_token: stringAt(answer.body, "access_token"),
    });
  };
  return {
    url: server.url,
    database,
    address,
    anonymous,
    client,
    register: (name) =>
      open("/_matrix/client/v3/register", {
        auth: { type: "m.login.dummy" },
        username: name,
        password: passwordOf(name),
      }),
    login: (name) =>
      open("/_matrix/client/v3/login", {
        type: "m.login.password",
        identifier: { type: "m.id.user", user: name },
        password: passwordOf(name),
      }),
    async [Symbol.asyncDispose]() {
      await database.close();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Requests to a server at any address. */
export function testClient(
  url: string,
  { user_id = "", device_id = "", access_token = "" }: Session,
): TestClient {
  const request: TestClient["request"] = async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { ...(access_token !== "" && { authorization: `Bearer ${access_token}` }), ...headers },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: objectAt(await response.json()) };
  };
  return {
    user_id,
    device_id,
    access_token,
    request,
    get: (path) => request("GET", path),
    post: (path, body = {}) => request("POST", path, body),
    put: (path, body = {}) => request("PUT", path, body),
    delete: (path, body) => request("DELETE", path, body),
  };
}
