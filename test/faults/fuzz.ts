// Calls of every operation of clients and administrators with what their schemas take and nearly take, by everyone who can be a
// caller: each is answered, by a success or an error of Matrix, and the server is sound afterwards.
// `node dist/test/faults/fuzz.js [seconds] [seed]`
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { Operation } from "../../spec/operation.js";
import { operations } from "../../spec/operations.js";
import { fsck } from "../../src/storage/fsck.js";
import { startAppService } from "../support/application-service.js";
import { freePort } from "../support/free-port.js";
import { isObject, stringAt } from "../support/json-path.js";
import { stopPostgres } from "../support/postgres.js";
import { jsonText, nearlyFitting, parameter } from "../support/schema-values.js";
import { startTestServer } from "../support/server.js";
import { CALLERS, type CallerName, type Cast, enc, newCast } from "./fuzz-cast.js";

const V3 = "/_matrix/client/v3";
const MB = 1_048_576;
const AT_ONCE = 8;
/** After so many calls, callers have been logged out, rooms left and accounts closed: others take their place. */
const CALLS_PER_CAST = 400;
/** Longer than any of what is called here may take on a slow machine. */
const PATIENCE_MS = 60_000;
const FUZZED = operations.filter(({ auth, operationId }) => auth !== "server" && operationId !== "websocketSync");

/** What ends sessions, accounts and rooms comes after what needs them. */
const LAST = /^(?:logout|leave|forget|kick|ban|unban|upgrade|deactivate|changePassword|login$|deleteDevice|adminDelete|adminDeactivate|adminReset|adminPutUser|adminSetIsAdmin|setAdmin|adminSuspend|adminShadow|adminSetBlock|adminSetValidity)/;

interface Call {
  readonly operation: Operation;
  readonly caller: CallerName;
  /** Path and query, with names for what is there. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string | undefined;
}

/** Path and query of an operation, with names for what is there. */
export const target = ({ paths, params, query }: Operation): fc.Arbitrary<string> =>
  fc.constantFrom(...paths).chain((path) => {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
    const asked = Object.entries(query?.properties ?? {});
    const given = asked.map(([name, schema]) =>
      // Nobody waits for what never comes.
      fc.option(name.startsWith("timeout") ? fc.constantFrom("0", "10", "-1", "x", "") : parameter(schema, name), { freq: query?.required?.includes(name) === true ? 20 : 1, nil: undefined }),
    );
    return fc.tuple(fc.tuple(...names.map((name) => parameter(params?.properties[name], name))), fc.tuple(...given)).map(([values, texts]) => {
      const filled = names.reduce((text, name, index) => text.replace(`{${name}}`, () => enc(values[index] ?? "")), path);
      const pairs = asked.flatMap(([name], index) => (texts[index] === undefined ? [] : [`${enc(name)}=${enc(texts[index])}`]));
      return pairs.length === 0 ? filled : `${filled}?${pairs.join("&")}`;
    });
  });

const BYTES: readonly string[] = ["", "\0", "<svg onload=x>", "\u0089PNG\r\n\u001a\n", "GIF89a", "%PDF", "x".repeat(100_000)];

function bodyOf({ method, body, form }: Operation): fc.Arbitrary<string | undefined> {
  if (method === "GET") return fc.constant(undefined);
  if (body === "bytes") return fc.constantFrom(...BYTES);
  if (body === undefined) return fc.constantFrom(undefined, "{}", "[", "null");
  const json = nearlyFitting(body);
  const asForm = (value: unknown): string => new URLSearchParams(isObject(value) ? Object.entries(value).map(([name, one]): [string, string] => [name, typeof one === "string" ? one : jsonText(one)]) : []).toString();
  return form === true ? fc.oneof(json.map(asForm), json.map(jsonText)) : json.map(jsonText);
}

const headersOf = ({ headers }: Operation): fc.Arbitrary<Record<string, string | undefined>> =>
  fc.record(
    Object.fromEntries(["content-type", ...Object.keys(headers?.properties ?? {})].map((name) => [name, fc.constantFrom("", "application/json", "application/x-www-form-urlencoded", "text/html", "image/png", "bytes=0-1", "bytes=-1", "bytes=9-1,2-3", '"etag"', "*", "a=b; c", "x".repeat(2000))])),
    { requiredKeys: [] },
  );

const callsOf = (operation: Operation): fc.Arbitrary<Call> =>
  fc.record({
    operation: fc.constant(operation),
    // Mostly by those who may.
    caller: fc.constantFrom(...Array.from({ length: 7 }, () => (operation.auth === "admin" ? "admin" : "user")), ...CALLERS),
    target: target(operation),
    headers: headersOf(operation),
    body: bodyOf(operation),
  });

const CALLS: readonly fc.Arbitrary<Call>[] = FUZZED.map(callsOf);
const calls: fc.Arbitrary<Call> = fc.nat(CALLS.length - 1).chain((index) => CALLS[index] ?? fc.constant({} as Call));

const isMatrixError = (body: unknown): boolean => isObject(body) && typeof body["errcode"] === "string" && /^[A-Z][A-Z0-9_.]+$/.test(body["errcode"]) && typeof body["error"] === "string";
/** A 401 of user-interactive authentication says what to do, and need not be an error. */
const isAuthentication = (body: unknown): boolean => isObject(body) && Array.isArray(body["flows"]) && typeof body["session"] === "string";

/** What is wrong with an answer, if anything. Successes of operations were held to the contract by the server. */
function wrongWith(status: number, type: string, text: string): string | undefined {
  // 502 and 504 are about others.
  if (status >= 500 && status !== 502 && status !== 504) return "a fault of the server";
  if (status < 400 || type.startsWith("text/html")) return undefined;
  try {
    const body: unknown = JSON.parse(text);
    // OAuth 2.0 and rendezvous sessions have errors of their own.
    if (isMatrixError(body) || (status === 401 && isAuthentication(body)) || (isObject(body) && typeof body["error"] === "string" && /^[a-z_]+$/.test(body["error"]))) return undefined;
  } catch {
    // Said below.
  }
  return "no error of Matrix";
}

export interface FuzzReport {
  readonly calls: number;
  /** How often each status was answered. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Operations that never succeeded, although they can. */
  readonly neverDone: readonly string[];
  readonly problems: readonly string[];
  /** The longest that somebody else waited for an answer that takes nothing. */
  readonly slowestMs: number;
  readonly grownMb: number;
}

/** Calls for so long, or the named number of calls. A seed and a number of calls make the same calls again. */
export async function fuzz(options: { readonly seed: number; readonly lengthMs?: number; readonly calls?: number; readonly log?: string }): Promise<FuzzReport> {
  const { seed, lengthMs = Infinity, calls: most = Infinity, log = "silent" } = options;
  const [port, nobodyListens] = [await freePort(), await freePort()];
  await using bridge = await startAppService({ protocols: ["irc"] });
  await using server = await startTestServer({
    listen: { port },
    servers: [{ name: "localhost", public_base_url: `http://localhost:${port}` }],
    registration: { open: true, guests: true, shared_secret: "shared secret" },
    app_services: [bridge.file],
    mail: { host: "127.0.0.1", port: nobodyListens, security: "none" },
    sms: { url: `http://127.0.0.1:${nobodyListens}/` },
    voip: { livekit: { url: "wss://livekit.example.org", internal_url: `ws://127.0.0.1:${nobodyListens}`, api_key: "key", api_secret: "secret of livekit, which is long enough" } },
    outgoing: { allowed_addresses: ["127.0.0.0/8"] },
    log: { level: log, requests: false },
  });
  const bystander = await server.register("bystander");
  const before = await bystander.get(`${V3}/sync`);
  const problems = new Set<string>();
  const statuses = new Map<number, number>();
  const done = new Set<string>();
  const grownFrom = process.memoryUsage().rss;
  let slowestMs = 0;
  let made = 0;

  const ask = async (cast: Cast, { operation, caller, target: path, headers, body }: Call): Promise<void> => {
    const { access_token, user_id } = cast.clients[caller];
    // What administrators do to themselves ends what they can do.
    const nameOf = (name: string): string => (name === "self" && caller !== "admin" ? user_id : cast.names.get(name)) ?? "";
    const fill = (text: string, as: (value: string) => string): string => text.replaceAll(/<<(\w+)>>/g, (_, name: string) => as(nameOf(name))).replaceAll(/%3C%3C(\w+)%3E%3E/g, (_, name: string) => enc(nameOf(name)));
    const url = fill(path, enc);
    const text = body === undefined ? null : fill(body, (value) => value);
    const told = `${operation.method} ${url} as ${caller} ${text === null ? "" : text.slice(0, 2000)}`;
    try {
      const answer = await fetch(server.url + url, { method: operation.method, redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS), headers: { ...(headers as Record<string, string>), ...(access_token !== "" && { authorization: `Bearer ${access_token}` }) }, body: text });
      const answered = await answer.text();
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status < 400) done.add(operation.operationId);
      const wrong = wrongWith(answer.status, answer.headers.get("content-type") ?? "", answered);
      if (wrong !== undefined) problems.add(`${wrong}: ${answer.status} ${answered.slice(0, 300)} to ${told}`);
    } catch (error) {
      problems.add(`no answer: ${String(error)} to ${told}`);
    }
  };

  const begun = performance.now();
  for (let round = 0; made < most && performance.now() - begun < lengthMs; round += 1) {
    const cast = await newCast(server, bystander, bridge.as_token);
    const drawn = fc.sample(calls, { seed: seed + round, numRuns: Math.min(CALLS_PER_CAST, most - made) });
    const list = drawn.toSorted((a, b) => Number(LAST.test(a.operation.operationId)) - Number(LAST.test(b.operation.operationId)));
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let call = list[next++]; call !== undefined && performance.now() - begun < lengthMs; call = list[next++]) {
        made += 1;
        await ask(cast, call);
      }
    };
    const watch = async (): Promise<void> => {
      while (next < list.length && performance.now() - begun < lengthMs) {
        const asked = performance.now();
        await server.anonymous.get("/_matrix/client/versions");
        slowestMs = Math.max(slowestMs, performance.now() - asked);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await Promise.all([watch(), ...Array.from({ length: AT_ONCE }, worker)]);
    // Whoever was beside all that still sees it.
    for (const since of ["", `&since=${stringAt(before.body, "next_batch")}`, "&full_state=true&use_state_after=true"]) {
      const { status, body } = await bystander.get(`${V3}/sync?timeout=0${since}`);
      if (status !== 200) problems.add(`a bystander's sync${since}: ${status} ${JSON.stringify(body)}`);
    }
    const sliding = await bystander.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0", { lists: { all: { ranges: [[0, 99]], timeline_limit: 20, required_state: [["*", "*"]] } } });
    if (sliding.status !== 200) problems.add(`a bystander's sliding sync: ${sliding.status} ${JSON.stringify(sliding.body)}`);
    for (const name of ["room1", "room2"]) {
      const { status, body } = await bystander.get(`${V3}/rooms/${enc(cast.names.get(name) ?? "")}/messages?dir=b&limit=100`);
      if (status !== 200 && status !== 403 && status !== 404) problems.add(`a bystander's messages: ${status} ${JSON.stringify(body)}`);
    }
  }
  for (const { check, where } of (await fsck(server.database)).problems) problems.add(`fsck: ${check}: ${where}`);
  if (Object.hasOwn(Object.prototype, "x")) problems.add("the prototype of objects was changed");
  const neverDone = FUZZED.map(({ operationId }) => operationId).filter((name) => !done.has(name));
  return { calls: made, statuses, neverDone, problems: [...problems], slowestMs, grownMb: (process.memoryUsage().rss - grownFrom) / MB };
}

async function main(args: readonly string[]): Promise<void> {
  const [seconds = 120, seed = Date.now() % 1_000_000] = args.map(Number);
  console.log(`seed ${seed}`);
  const report = await fuzz({ seed, lengthMs: seconds * 1000, log: "error" });
  for (const problem of report.problems) console.log(`PROBLEM ${problem}`);
  console.log(`${report.calls} calls; ${[...report.statuses].toSorted(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`).join(", ")}; slowest ${Math.round(report.slowestMs)} ms; ${Math.round(report.grownMb)} MB more`);
  console.log(`never done: ${report.neverDone.join(" ")}`);
  console.log(`seed ${seed}: ${report.problems.length} problems`);
  process.exitCode = report.problems.length === 0 ? 0 : 1;
  await stopPostgres();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
