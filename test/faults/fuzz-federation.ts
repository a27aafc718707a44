// What a server that signs as it should may ask and send, nearly right and wrong: every operation between servers, transactions
// of events and ephemeral messages of all kinds, handshakes. Each is answered, and rooms go on.
// `node dist/test/faults/fuzz-federation.js [seconds] [seed]`
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { Type } from "typebox";
import type { Operation } from "../../spec/operation.js";
import { operations } from "../../spec/operations.js";
import { canonicalJson } from "../../src/protocol/canonical-json.js";
import { isObject, type JsonObject, type JsonValue, parseJson } from "../../src/protocol/json.js";
import { fsck } from "../../src/storage/fsck.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import { joinAsPeer, type PeerRoom } from "../support/peer-room.js";
import { stopPostgres } from "../support/postgres.js";
import { contents, EVENT_TYPES, jsonText, nearly, nearlyFitting } from "../support/schema-values.js";
import { roomOf, type TestClient } from "../support/server.js";
import { target } from "./fuzz.js";

const V3 = "/_matrix/client/v3";
const FEDERATION = "/_matrix/federation";
const CALLS_PER_CAST = 150;
const VERSIONS = ["6", "10", "11", "12"];
const enc = encodeURIComponent;
const FUZZED = operations.filter(({ auth, operationId }) => auth === "server" && operationId !== "sendTransaction");

type Step = { readonly kind: "ask"; readonly operation: Operation; readonly target: string; readonly body: string | undefined } | { readonly kind: "send"; readonly pdus: readonly Draft[]; readonly edus: readonly unknown[] } | { readonly kind: "handshake"; readonly path: string; readonly event: Draft };

/** An event before and after it is signed: what is changed afterwards makes hash or signature wrong. */
interface Draft {
  readonly event: unknown;
  readonly after: unknown;
}

const optional = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(values, { nil: undefined });

/** The fields of an event that a test's room does not fill in. */
const event = (types: readonly string[]): fc.Arbitrary<Draft> => {
  const fields = fc.record({
    type: fc.constantFrom(...types),
    state_key: optional(fc.constantFrom("", "<<user3>>", "<<user1>>", "key")),
    content: contents(),
    depth: fc.constantFrom(10, 10, 11, 9007199254740991),
    origin_server_ts: fc.constantFrom(1, 1_700_000_000_000, 9007199254740991),
    prev_events: optional(fc.constantFrom(["<<event3>>"], ["<<event1>>", "<<event3>>"], ["$unknown"], [])),
    auth_events: optional(fc.constantFrom(["<<event1>>"], ["<<event3>>", "<<event3>>"], ["$unknown"], [])),
    redacts: optional(fc.constantFrom("<<event1>>", "<<event3>>", "$unknown")),
    unsigned: optional(fc.constantFrom({ age: 1 }, { redacted_because: {} }, { prev_content: 1 })),
  });
  return fc.record({ event: nearly(fields), after: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: nearly(fc.constant({ content: {} })) }) });
};

const user = fc.constantFrom("<<user3>>", "<<user1>>", "@far:127.0.0.1:9");
const room = fc.constantFrom("<<room1>>", "<<room2>>", "!none:<<server>>");
const EDUS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  "m.typing": fc.record({ room_id: room, user_id: user, typing: fc.boolean() }),
  "m.receipt": fc.tuple(room, user, fc.constantFrom("m.read", "m.read.private", "m.other"), optional(fc.constantFrom("main", "<<event1>>"))).map(([id, who, type, thread_id]): unknown => ({ [id]: { [type]: { [who]: { event_ids: ["<<event1>>"], data: { ts: 1, thread_id } } } } })),
  "m.presence": fc.record({ push: fc.array(fc.record({ user_id: user, presence: fc.constantFrom("online", "busy", "offline"), last_active_ago: fc.constantFrom(0, 9007199254740991), status_msg: optional(fc.constantFrom("", "x", null)), currently_active: fc.boolean() }), { maxLength: 3 }) }),
  "m.direct_to_device": fc.record({ sender: user, type: fc.constantFrom("m.room_key_request", "m.room.encrypted"), message_id: fc.string({ maxLength: 40 }), messages: fc.constantFrom({ "<<user1>>": { "*": { x: 1 } } }, { "<<user1>>": { "<<device1>>": { x: 1 }, NONE: {} } }, { "@nobody:<<server>>": { "*": {} } }) }),
  "m.device_list_update": fc.record({ user_id: user, device_id: fc.constantFrom("A", "B"), stream_id: fc.constantFrom(1, 2, 9007199254740991), prev_id: fc.constantFrom([], [1], [7]), deleted: fc.boolean(), device_display_name: optional(fc.constantFrom("x", null)), keys: optional(fc.constantFrom({ user_id: "<<user3>>", device_id: "A", algorithms: [], keys: {}, signatures: {} }, {})) }),
  "m.signing_key_update": fc.record({ user_id: user, master_key: optional(fc.constantFrom({ user_id: "<<user3>>", usage: ["master"], keys: { "ed25519:A": "A" } }, {})), self_signing_key: optional(fc.constantFrom({}, { usage: [] })) }),
  "org.example.other": contents(),
};
const edu = fc.constantFrom(...Object.entries(EDUS)).chain(([edu_type, content]) => nearly(fc.record({ edu_type: fc.constant(edu_type), content })));

const HANDSHAKES = ["v1/send_join/<<room1>>/ID", "v2/send_join/<<room1>>/ID", "v2/send_join/<<room2>>/ID", "v1/send_leave/<<room1>>/ID", "v2/send_leave/<<room1>>/ID", "v1/send_knock/<<room1>>/ID", "v1/invite/<<room1>>/ID", "v2/invite/<<room1>>/ID", "v2/invite/!lure:PEER/ID"];
const ANY = Type.Unsafe<unknown>({});

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(...FUZZED).chain((operation) =>
      fc.record({ kind: fc.constant("ask" as const), operation: fc.constant(operation), target: target(operation), body: operation.method === "GET" ? fc.constant(undefined) : nearlyFitting(operation.body === undefined || operation.body === "bytes" ? ANY : operation.body).map(jsonText) }),
    ),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), pdus: fc.array(event(EVENT_TYPES), { maxLength: 3 }), edus: fc.array(edu, { maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("handshake" as const), path: fc.constantFrom(...HANDSHAKES), event: event(["m.room.member"]) }) },
);

interface Cast {
  readonly at: PeerRoom;
  readonly names: ReadonlyMap<string, string>;
}

let castings = 0;

/** A room that the other server is in and one that it is not. */
async function newCast(server: FederatingServer, peer: Peer, alice: TestClient): Promise<Cast> {
  const room_version = VERSIONS[(castings += 1) % VERSIONS.length] ?? "11";
  const [inside, outside] = [await roomOf(alice, { preset: "public_chat", room_version }), await roomOf(alice, { preset: "private_chat", room_version })];
  const at = await joinAsPeer(peer, server, inside);
  const sent = await alice.put(`${V3}/rooms/${enc(inside)}/send/m.room.message/first`, { msgtype: "m.text", body: "x" });
  const names = { room1: inside, room2: outside, room3: outside, user1: alice.user_id, user2: `@nobody:${server.name}`, user3: at.mallory, self: at.mallory, device1: alice.device_id, device2: "NONE", server: server.name, alias1: `#none:${server.name}`, event1: stringAt(sent.body, "event_id") ?? "", event2: stringAt(sent.body, "event_id") ?? "", event3: at.join, media1: "none", token1: "1", token2: "2" };
  return { at, names: new Map(Object.entries(names)) };
}

export interface FederationFuzzReport {
  readonly steps: number;
  readonly statuses: ReadonlyMap<number, number>;
  /** How many events were taken, and how many refused with a reason. */
  readonly events: { taken: number; refused: number };
  readonly problems: readonly string[];
}

/** Asks and sends for so long, or so often. A seed and a number of steps make the same steps again. */
export async function fuzzFederation(options: { readonly seed: number; readonly lengthMs?: number; readonly steps?: number; readonly log?: string }): Promise<FederationFuzzReport> {
  const { seed, lengthMs = Infinity, steps: most = Infinity, log = "silent" } = options;
  await using server = await startFederatingServer({ log: { level: log, requests: false } });
  await using peer = await startPeer();
  peer.answer(`${FEDERATION}/v1/get_missing_events`, () => ({ status: 200, body: { events: [] } }));
  peer.answer(`${FEDERATION}/v1/send`, () => ({ status: 200, body: { pdus: {} } }));
  const alice = await server.register("alice");
  const problems = new Set<string>();
  const statuses = new Map<number, number>();
  const events = { taken: 0, refused: 0 };
  let made = 0;

  /** As JSON that keeps what JavaScript has not; undefined where it cannot even be parsed. */
  const filled = ({ names }: Cast, value: unknown): JsonValue | undefined => {
    try {
      return parseJson(jsonText(value).replaceAll(/<<(\w+)>>/g, (_, name: string) => names.get(name) ?? "").replaceAll("PEER", peer.name), { numbers: "lexemes" });
    } catch {
      return undefined;
    }
  };
  const wireOf = (cast: Cast, { event: fields, after }: Draft): JsonValue => {
    const { wire } = cast.at.event();
    const given = filled(cast, fields);
    if (!isObject(given)) return given ?? null;
    // As the room has it where the draft says nothing.
    const base = { room_id: wire["room_id"] ?? null, sender: wire["sender"] ?? null, prev_events: wire["prev_events"] ?? null, auth_events: wire["auth_events"] ?? null };
    try {
      const signed = cast.at.sign({ ...base, ...given });
      const change = filled(cast, after);
      return isObject(change) ? { ...signed, ...change } : signed;
    } catch {
      // Nobody can sign it.
      return { ...base, ...given };
    }
  };
  const judge = (what: string, { status, body }: PeerAnswer): void => {
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status >= 500 && status !== 502 && status !== 504) problems.add(`${status} ${JSON.stringify(body).slice(0, 300)} to ${what}`);
    else if (status >= 400 && (stringAt(body, "errcode") === undefined || stringAt(body, "error") === undefined)) problems.add(`no error of Matrix: ${status} ${JSON.stringify(body).slice(0, 300)} to ${what}`);
  };
  const ask = async (method: "GET" | "PUT" | "POST", uri: string, body?: JsonValue): Promise<void> => {
    let what = `${method} ${uri}`;
    try {
      // Deeper than JSON.stringify goes.
      if (body !== undefined) what += ` ${canonicalJson(body, { lexemes: true }).slice(0, 1500)}`;
      const answer = await peer.request(server.federationUrl, server.name, method, uri, body as JsonObject | undefined);
      judge(what, answer);
      for (const result of Object.values(objectAt(answer.body, "pdus"))) events[isObject(result as JsonValue) && stringAt(result, "error") === undefined ? "taken" : "refused"] += 1;
    } catch (error) {
      // What cannot be signed cannot be sent as signed.
      if (!String(error).includes("surrogate") && !String(error).includes("M_BAD_JSON") && (error as { errcode?: unknown }).errcode === undefined) problems.add(`no answer: ${String(error)} to ${what}`);
    }
  };
  const take = async (cast: Cast, step: Step): Promise<void> => {
    const fill = (text: string): string => text.replaceAll(/(?:<<|%3C%3C)(\w+)(?:>>|%3E%3E)/g, (_, name: string) => enc(cast.names.get(name) ?? "")).replaceAll("PEER", peer.name);
    if (step.kind === "ask") {
      const body = step.body === undefined ? undefined : (filled(cast, `@@${JSON.stringify(step.body).slice(1, -1)}@@`) ?? {});
      await ask(step.operation.method as "GET", fill(step.target), body);
    } else if (step.kind === "send") {
      const pdus = step.pdus.map((draft) => wireOf(cast, draft));
      await ask("PUT", `${FEDERATION}/v1/send/fuzz${made}`, { origin: peer.name, origin_server_ts: 1, pdus, edus: step.edus.map((one) => filled(cast, one) ?? null) });
    } else {
      const wire = wireOf(cast, step.event);
      const uri = `${FEDERATION}/${fill(step.path)}`.replace("ID", enc(cast.at.join));
      await ask("PUT", uri, step.path.startsWith("v2/invite") ? { event: wire, room_version: cast.at.version.id, invite_room_state: [wire, 1, null] } : wire);
    }
  };

  const begun = performance.now();
  for (let round = 0; made < most && performance.now() - begun < lengthMs; round += 1) {
    const cast = await newCast(server, peer, alice);
    for (const step of fc.sample(steps, { seed: seed + round, numRuns: Math.min(CALLS_PER_CAST, most - made) })) {
      if (performance.now() - begun > lengthMs) break;
      made += 1;
      await take(cast, step);
    }
    const inside = cast.names.get("room1") ?? "";
    for (const [what, answer] of [
      ["a sync", await alice.get(`${V3}/sync?full_state=true`)],
      ["a sliding sync", await alice.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0", { lists: { all: { ranges: [[0, 99]], timeline_limit: 20, required_state: [["*", "*"]] } } })],
      ["history", await alice.get(`${V3}/rooms/${enc(inside)}/messages?dir=b&limit=100`)],
      ["the state", await alice.get(`${V3}/rooms/${enc(inside)}/members`)],
      ["a message", await alice.put(`${V3}/rooms/${enc(inside)}/send/m.room.message/last`, { msgtype: "m.text", body: "still here" })],
    ] as const) if (answer.status !== 200) problems.add(`${what} of a bystander: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
  for (const { check, where } of (await fsck(server.database)).problems) problems.add(`fsck: ${check}: ${where}`);
  return { steps: made, statuses, events, problems: [...problems] };
}

async function main(args: readonly string[]): Promise<void> {
  const [seconds = 120, seed = Date.now() % 1_000_000] = args.map(Number);
  console.log(`seed ${seed}`);
  const report = await fuzzFederation({ seed, lengthMs: seconds * 1000, log: "error" });
  for (const problem of report.problems) console.log(`PROBLEM ${problem}`);
  console.log(`${report.steps} steps; ${[...report.statuses].toSorted(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`).join(", ")}; ${report.events.taken} events taken, ${report.events.refused} refused`);
  console.log(`seed ${seed}: ${report.problems.length} problems`);
  process.exitCode = report.problems.length === 0 ? 0 : 1;
  await stopPostgres();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
