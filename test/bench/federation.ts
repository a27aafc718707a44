// Measures what a server does for other servers: many small servers of this process take part in a room of the target.
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import type { EventId } from "../../src/protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own } from "../../src/protocol/json.js";
import { eventually } from "../support/eventually.js";
import { objectAt } from "../support/json-path.js";
import { startPeer, TLS, type Peer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import { residentRoom } from "../support/resident-room.js";
import { seeded } from "../support/rooms.js";
import { WrongAnswer } from "./client.js";
import { inParallel, latencyOf } from "./measure.js";
import { dead, DEAD, DESTINATIONS, outbound, type Setting } from "./outbound.js";
import { fork } from "./resolution.js";
import type { Numbers } from "./scenarios.js";
import { Target } from "./target.js";

const USAGE = `usage: node dist/test/bench/federation.js --target URL[,PID...] --name NAME --federation-url URL [options]
  --target URL          where clients reach the server, and processes that belong to it
  --name NAME           its server name
  --federation-url URL  where other servers reach it
  --only TEXT           scenarios whose name holds TEXT
  --seconds N           length of each load that is measured by time (default 10)
  --events N            events that come in (default 5000)
  --tls DIR             ca.crt, server.crt and server.key of the other servers, valid for localhost (default those of the tests)

The server has to trust the authority, may ask 127.0.0.1, and has open registration and no rate limits.
With metrics it tells the delays of its event loop.`;

const { values: options } = parseArgs({
  options: {
    target: { type: "string" },
    name: { type: "string", default: "" },
    "federation-url": { type: "string", default: "" },
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "10" },
    events: { type: "string", default: "5000" },
    tls: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const IN_TRANSACTION = 50;
const LATE_SHARE = 0.2;
const CHECKS = 10_000;

const server = { name: options.name, federationUrl: options["federation-url"] };
const tls = options.tls === undefined ? TLS : { ca: `${options.tls}/ca.crt`, certificate: `${options.tls}/server.crt`, key: `${options.tls}/server.key` };

/** Servers for as long as `act` runs. */
async function withPeers<T>(count: number, act: (peers: readonly Peer[]) => Promise<T>): Promise<T> {
  const peers = await inParallel(count, 8, async () => await startPeer(tls));
  for (const peer of peers) peer.answer("/_matrix/federation/v1/send", () => ({ status: 200, body: { pdus: {} } }));
  try {
    return await act(peers);
  } finally {
    await Promise.all(peers.map(async (peer) => await peer[Symbol.asyncDispose]()));
  }
}

/** Moves a share of a list's items back by a few places. */
function someLate<Item>(items: readonly Item[], next: () => number): Item[] {
  return items
    .map((item, index) => ({ item, place: index + (next() < LATE_SHARE ? 1 + next() * 10 : 0) }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** Events of `origins` servers, each a chain that its server has built before, come in 50 at a time, a fifth of them late. */
async function inbound(target: Target, origins: number): Promise<Numbers> {
  const user = await target.user();
  const room = await target.room([user]);
  return await withPeers(origins, async (peers) => {
    const each = Math.ceil(Number(options.events) / origins);
    const loads = await inParallel(origins, 4, async (number) => {
      const peer = peers[number];
      if (peer === undefined) throw new Error("no server");
      const at = await joinAsPeer(peer, server, room);
      const chain: { readonly id: EventId; readonly wire: JsonObject }[] = [];
      for (let index = 0; index < each; index += 1) chain.push(at.event({ prev_events: [chain.at(-1)?.id ?? at.join], depth: 1_000 + index }));
      const places = new Map(chain.map(({ id }, index) => [String(id), index]));
      peer.answer("/_matrix/federation/v1/get_missing_events", ({ body }) => {
        const latest = isObject(body) ? own(body, "latest_events") : [];
        const wanted = (Array.isArray(latest) ? latest : []).map((id: JsonValue) => (typeof id === "string" ? places.get(id) : undefined) ?? 0);
        const before = Math.max(0, ...wanted);
        return { status: 200, body: { events: chain.slice(Math.max(0, before - 20), before).map(({ wire }) => wire) } };
      });
      return { at, last: chain.at(-1)?.id, wires: someLate(chain.map(({ wire }) => wire), seeded(number)) };
    });
    const begun = performance.now();
    const used = target.processes?.usage();
    await Promise.all(
      loads.map(async ({ at, wires }) => {
        for (let start = 0; start < wires.length; start += IN_TRANSACTION) {
          const answer = await at.send(wires.slice(start, start + IN_TRANSACTION));
          if (answer.status !== 200) throw new WrongAnswer(`a transaction was answered with ${answer.status}`);
        }
      }),
    );
    const answered = (performance.now() - begun) / 1_000;
    for (const { last } of loads) {
      const path = `${target.url}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(last ?? "")}`;
      const there = async (): Promise<boolean> => (await fetch(path, { headers: { authorization: `Bearer ${user.token}` } })).status === 200;
      await eventually("the last event is there", there, 120_000);
    }
    const shown = (performance.now() - begun) / 1_000;
    const cpu = (target.processes?.usage().cpu_seconds ?? Number.NaN) - (used?.cpu_seconds ?? Number.NaN);
    const events = each * origins;
    return { events_per_second: events / answered, answered_seconds: answered, shown_seconds: shown, cpu_seconds_per_1000: (cpu * 1_000) / events };
  });
}

/** Checks of signatures that this machine does in a second, on all of its cores. */
async function checksPerSecond(): Promise<number> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const text = Buffer.alloc(400, "{}");
  const signature = sign(null, text, privateKey);
  const check = promisify(verify);
  let done = 0;
  const begun = performance.now();
  await inParallel(CHECKS, 4 * availableParallelism(), async () => {
    if (await check(null, text, publicKey, signature)) done += 1;
  });
  return (done * 1_000) / (performance.now() - begun);
}

/** The 99th percentile of the delays of the server's event loop since it was last asked, where it tells. */
async function loopDelay(target: Target): Promise<number | undefined> {
  const answer = await fetch(`${target.url}/metrics`);
  const seconds = /^nodejs_eventloop_lag_p99_seconds ([0-9.e-]+)$/m.exec(await answer.text())?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}

/**
 * Somebody joins a room of another server that has many members: how long it takes until that is answered, until something can be said
 * there, until all members are known; how long others wait for an answer meanwhile.
 */
async function joining(target: Target, members: number, omits: boolean): Promise<Numbers> {
  const [joins, waits] = await target.users(2);
  if (joins === undefined || waits === undefined) throw new Error("no users");
  return await withPeers(1, async ([peer]) => {
    if (peer === undefined) throw new Error("no server");
    const room = residentRoom(peer, members, omits ? { omitted: [peer.name] } : {});
    room.giveState(peer);
    const limit = await checksPerSecond();
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}`;
    const found = { joined: 0, usable: 0, complete: 0 };
    await loopDelay(target);
    const before = target.processes?.usage().cpu_seconds;
    const begun = performance.now();
    const join = (async () => {
      await target.client.request("POST", `/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}?server_name=${encodeURIComponent(peer.name)}`, joins.token, {});
      found.joined = performance.now() - begun;
      await target.client.send(joins, room.roomId, target.freshName(), "here I am");
      found.usable = performance.now() - begun;
      await target.client.request("GET", `${path}/state/m.room.member/${encodeURIComponent(`@member${members - 2}:${peer.name}`)}`, joins.token);
      found.complete = performance.now() - begun;
    })();
    let ended = false;
    const end = (): void => void (ended = true);
    const underWay = join.then(end, end);
    const others: number[] = [];
    while (!ended) {
      const asked = performance.now();
      await target.client.request("GET", "/_matrix/client/v3/account/whoami", waits.token);
      others.push(performance.now() - asked);
      await Promise.race([underWay, sleep(5)]);
    }
    await join;
    const after = target.processes?.usage().cpu_seconds;
    const delay = await loopDelay(target);
    const there = objectAt(await target.client.request("GET", `${path}/joined_members`, joins.token), "joined");
    // The last was invited only, where the state is that before the last event.
    if (Object.keys(there).length < members + 1) throw new WrongAnswer(`${Object.keys(there).length} of ${members} members are there`);
    const { median_ms, p99_ms } = latencyOf(others);
    return {
      events: room.events,
      joined_ms: found.joined,
      usable_ms: found.usable,
      complete_ms: found.complete,
      checks_per_second: limit,
      // What the checks alone would take on all cores, against what all of it took.
      share_of_limit: room.events / (limit / 1_000) / found.complete,
      ...(before !== undefined && after !== undefined && { cpu_seconds: after - before }),
      others_median_ms: median_ms,
      others_p99_ms: p99_ms,
      ...(delay !== undefined && { loop_delay_p99_ms: delay }),
    };
  });
}

const setting: Setting = { server, tls, seconds: Number(options.seconds), withPeers };
const SCENARIOS: Readonly<Record<string, (target: Target) => Promise<Numbers>>> = {
  "inbound, 1 origin": async (target) => await inbound(target, 1),
  "inbound, 20 origins": async (target) => await inbound(target, 20),
  "join of a room with 1000 members, all given": async (target) => await joining(target, 1_000, false),
  "join of a room with 1000 members, omitted": async (target) => await joining(target, 1_000, true),
  "join of a room with 10000 members, all given": async (target) => await joining(target, 10_000, false),
  "join of a room with 10000 members, omitted": async (target) => await joining(target, 10_000, true),
  "fork in a room with 10000 members, 1 change": async (target) => await fork(target, setting, 10_000, 1),
  "fork in a room with 10000 members, a newcomer": async (target) => await fork(target, setting, 10_000, 0),
  "fork in a room with 10000 members, 2000 changes": async (target) => await fork(target, setting, 10_000, 2_000),
  [`outbound to ${DESTINATIONS} destinations`]: async (target) => await outbound(target, setting),
  [`${DEAD} dead destinations`]: async (target) => await dead(target, setting),
};

if (options.help || options.target === undefined || server.name === "" || server.federationUrl === "") {
  console.log(USAGE);
  process.exitCode = options.help ? 0 : 2;
} else {
  using target = new Target("target", options.target);
  for (const [name, run] of Object.entries(SCENARIOS)) {
    if (!name.includes(options.only)) continue;
    const numbers = await run(target);
    const texts = Object.entries(numbers).map(([key, value]) => `${key} ${Math.round(value * 100) / 100}`);
    console.log(`${name}: ${texts.join(", ")}`);
  }
}
