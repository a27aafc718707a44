// An application service as a test needs one: a registration file, and a listener that keeps what it is told.
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { objectAt, objectsAt, stringAt, type JsonObject } from "./json-path.js";
import type { Answer, TestServer } from "./server.js";

interface Transaction {
  readonly id: string;
  readonly body: JsonObject;
}

/** What it answers to a request; undefined for the usual answer: 200 to transactions and pings, 404 to the rest. */
type Answerer = (method: string, path: string, body: JsonObject) => AppServiceAnswer | undefined | Promise<AppServiceAnswer | undefined>;

interface AppServiceAnswer {
  readonly status: number;
  readonly body?: unknown;
}

export interface TestAppService extends AsyncDisposable {
  /** What `app_services` takes. */
  readonly file: string;
  readonly as_token: string;
  readonly hs_token: string;
  /** Where it listens. */
  readonly url: string;
  /** What it was asked: `METHOD path?query`. */
  readonly asked: string[];
  /** All transactions that came, those that it refused included. */
  readonly attempts: Transaction[];
  /** Decides what it answers from now on. */
  answer: Answerer;
  /** The transactions that it took, each once. */
  accepted(): Transaction[];
  /** The events of those. */
  events(): JsonObject[];
  /** Stops and starts to listen. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** Asks a server with the token, as one of its users if one is named. */
  request(server: Pick<TestServer, "client">, method: string, path: string, body?: unknown, user?: string): Promise<Answer>;
}

export async function startAppService(registration: JsonObject = {}): Promise<TestAppService> {
  const folder = await mkdtemp(join(tmpdir(), "hansa-appservice-"));
  const [as_token, hs_token] = [randomUUID(), randomUUID()];
  const asked: string[] = [];
  const attempts: Transaction[] = [];
  const taken = new Map<string, Transaction>();
  const server = createServer((incoming, response) => {
    void (async () => {
      const { method = "", url = "" } = incoming;
      asked.push(`${method} ${url}`);
      const body = method === "GET" ? {} : objectAt(await json(incoming));
      const id = /^\/_matrix\/app\/v1\/transactions\/([^/?]+)$/.exec(url)?.[1];
      if (id !== undefined) attempts.push({ id, body });
      const allowed = incoming.headers.authorization === `Bearer ${hs_token}`;
      const usual: AppServiceAnswer = { status: id !== undefined || url.endsWith("/ping") ? 200 : 404 };
      const answer = allowed ? ((await self.answer(method, url, body)) ?? usual) : { status: 403 };
      if (id !== undefined && answer.status === 200 && !taken.has(id)) taken.set(id, { id, body });
      response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body ?? {}));
    })();
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const file = join(folder, "registration.yaml");
  const content = {
    id: "bridge",
    url,
    as_token,
    hs_token,
    sender_localpart: "bridgebot",
    namespaces: {
      users: [{ exclusive: true, regex: "@_bridge_.*" }],
      aliases: [{ exclusive: true, regex: "#_bridge_.*" }],
      rooms: [],
    },
    rate_limited: false,
    ...registration,
  };
  // JSON is YAML.
  await writeFile(file, JSON.stringify(content));
  const down = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const self: TestAppService = {
    file,
    as_token,
    hs_token,
    url,
    asked,
    attempts,
    answer: () => undefined,
    accepted: () => [...taken.values()],
    events: () => [...taken.values()].flatMap(({ body }) => objectsAt(body, "events")),
    down,
    up: () => listen(port),
    request: (target, method, path, body, user) => {
      const query = user === undefined ? "" : `${path.includes("?") ? "&" : "?"}user_id=${encodeURIComponent(user)}`;
      return target.client({ access_token: as_token }).request(method, path + query, body);
    },
    async [Symbol.asyncDispose]() {
      await down();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return self;
}

/** Registers a user of an application service; gives the user id. */
export async function registerOwn(appservice: TestAppService, server: Pick<TestServer, "client">, username: string): Promise<string> {
  const body = { type: "m.login.application_service", username, inhibit_login: true };
  const answer = await appservice.request(server, "POST", "/_matrix/client/v3/register", body);
  return stringAt(answer.body, "user_id") ?? "";
}
