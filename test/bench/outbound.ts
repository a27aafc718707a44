// Measures what a server says to others: to many at once, and to some while others are dead.
import { createServer as createTlsServer } from "node:https";
import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { isObject, own } from "../../src/protocol/json.js";
import { eventually } from "../support/eventually.js";
import type { Peer, TLS } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import { WrongAnswer } from "./client.js";
import { inParallel, latencyOf, openLoop } from "./measure.js";
import type { Numbers } from "./scenarios.js";
import type { Target } from "./target.js";

export const DESTINATIONS = 100;
export const DEAD = 200;
/** Messages in one go, as fast as one sender says them. */
const BURST = 200;
const RATE = 5;
const RATE_BESIDE_DEAD = 20;
const ARRIVE_MS = 300_000;

/** What the scenarios are told of the run. */
export interface Setting {
  readonly server: { readonly name: string; readonly federationUrl: string };
  readonly tls: Readonly<Record<keyof typeof TLS, string>>;
  readonly seconds: number;
  readonly withPeers: <T>(count: number, act: (peers: readonly Peer[]) => Promise<T>) => Promise<T>;
}

/** What has arrived where, of messages whose texts are numbers. */
class Arrivals {
  readonly #sent = new Map<number, { readonly at: number; readonly servers: Set<string> }>();
  /** Of a room with one end the depth of each event is greater than the one before. */
  readonly #deepest = new Map<string, number>();
  readonly delays: number[] = [];
  /** Of each message that has arrived everywhere: how long it took to the last server. */
  readonly toLast: number[] = [];
  doubled = 0;
  disordered = 0;

  constructor(peers: readonly Peer[]) {
    for (const peer of peers) {
      peer.answer("/_matrix/federation/v1/send", ({ body }) => {
        const pdus = isObject(body) ? own(body, "pdus") : [];
        for (const pdu of Array.isArray(pdus) ? pdus : []) {
          const content = isObject(pdu) ? own(pdu, "content") : undefined;
          const text = isObject(content) ? own(content, "body") : undefined;
          const depth = isObject(pdu) ? own(pdu, "depth") : undefined;
          if (typeof text === "string" && typeof depth === "number") this.#note(peer.name, Number(text), depth, peers.length);
        }
        return { status: 200, body: { pdus: {} } };
      });
    }
  }

  #note(server: string, number: number, depth: number, servers: number): void {
    const sent = this.#sent.get(number);
    if (sent === undefined) return;
    const deepest = this.#deepest.get(server) ?? 0;
    if (sent.servers.has(server)) this.doubled += 1;
    else if (depth < deepest) this.disordered += 1;
    sent.servers.add(server);
    this.#deepest.set(server, Math.max(depth, deepest));
    this.delays.push(performance.now() - sent.at);
    if (sent.servers.size === servers) this.toLast.push(performance.now() - sent.at);
  }

  say(number: number): string {
    this.#sent.set(number, { at: performance.now(), servers: new Set() });
    return String(number);
  }

  /** Waits until every message is everywhere. */
  async complete(): Promise<void> {
    await eventually("all servers have all messages", () => this.toLast.length >= this.#sent.size, ARRIVE_MS);
  }
}

/** Fails if a server has had a message twice, or two in another order than the room's. */
function requireSound({ doubled, disordered }: Arrivals): void {
  if (doubled + disordered > 0) throw new WrongAnswer(`${doubled} messages came twice and ${disordered} out of order`);
}

/** What a local user says goes to many servers: one message after the other, and as many as can be said. */
export async function outbound(target: Target, { server, seconds, withPeers }: Setting): Promise<Numbers> {
  const user = await target.user();
  const room = await target.room([user]);
  return await withPeers(DESTINATIONS, async (peers) => {
    for (const peer of peers) await joinAsPeer(peer, server, room);
    const send = async (text: string): Promise<void> => void (await target.client.send(user, room, target.freshName(), text));
    let number = 0;
    const paced = new Arrivals(peers);
    const load = await openLoop(RATE, seconds, async () => await send(paced.say((number += 1))));
    await paced.complete();
    const burst = new Arrivals(peers);
    const begun = performance.now();
    const cost = await target.costOf(async () => {
      for (let count = 0; count < BURST; count += 1) await send(burst.say((number += 1)));
      await burst.complete();
      return { operations: BURST * peers.length };
    });
    const burstSeconds = (performance.now() - begun) / 1_000;
    for (const arrivals of [paced, burst]) requireSound(arrivals);
    const toLast = latencyOf(paced.toLast);
    return {
      send_p99_ms: load.p99_ms,
      to_last_median_ms: toLast.median_ms,
      to_last_p99_ms: toLast.p99_ms,
      burst_deliveries_per_second: (BURST * peers.length) / burstSeconds,
      burst_to_last_p99_ms: latencyOf(burst.toLast).p99_ms,
      cpu_seconds_per_1000_deliveries: cost.cpu_seconds ?? Number.NaN,
      generator_lag_ms: load.generator_lag_ms,
    };
  });
}

/** Listens at a port and answers nothing: not even TLS, or TLS but no request. */
async function blackHole(port: number, tls: Setting["tls"] | undefined): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server: Server = tls === undefined ? createServer() : createTlsServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, () => undefined);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket)).resume();
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * Sending into a room with one healthy server and many dead ones, against sending into a room with the healthy one alone. Of the
 * dead a third refuses connections, a third says no word of TLS and a third answers no request. Without, with, with, without:
 * what changes slowly meanwhile counts for both.
 */
export async function dead(target: Target, { server, tls, seconds, withPeers }: Setting): Promise<Numbers> {
  const user = await target.user();
  const [alone, haunted] = [await target.room([user]), await target.room([user])];
  return await withPeers(1, async (healthy) => {
    for (const room of [alone, haunted]) for (const peer of healthy) await joinAsPeer(peer, server, room);
    const ports = await withPeers(DEAD, async (peers) => {
      for (const peer of peers) await joinAsPeer(peer, server, haunted);
      return peers.map(({ name }) => Number(name.split(":").at(-1)));
    });
    const holes = await inParallel(ports.length, 8, async (index) => (index % 3 === 0 ? undefined : await blackHole(ports[index] ?? 0, index % 3 === 1 ? undefined : tls)));
    const sends = { alone: new Array<number>(), haunted: new Array<number>() };
    const delays = { alone: new Array<number>(), haunted: new Array<number>() };
    let number = 0;
    const phase = async (which: "alone" | "haunted", counts = true): Promise<void> => {
      const arriving = new Arrivals(healthy);
      await openLoop(RATE_BESIDE_DEAD, seconds, async () => {
        const begun = performance.now();
        await target.client.send(user, which === "alone" ? alone : haunted, target.freshName(), arriving.say((number += 1)));
        if (counts) sends[which].push(performance.now() - begun);
      });
      await arriving.complete();
      requireSound(arriving);
      if (counts) delays[which].push(...arriving.delays);
    };
    await phase("alone", false);
    for (const which of ["alone", "haunted", "haunted", "alone"] as const) await phase(which);
    for (const hole of holes) await hole?.[Symbol.asyncDispose]();
    const [without, within] = [latencyOf(sends.alone), latencyOf(sends.haunted)];
    const [arrivedWithout, arrivedWithin] = [latencyOf(delays.alone), latencyOf(delays.haunted)];
    return {
      sends: sends.haunted.length,
      alone_send_median_ms: without.median_ms,
      alone_send_p99_ms: without.p99_ms,
      dead_send_median_ms: within.median_ms,
      dead_send_p99_ms: within.p99_ms,
      send_p99_ratio: within.p99_ms / without.p99_ms,
      alone_arrival_p99_ms: arrivedWithout.p99_ms,
      dead_arrival_median_ms: arrivedWithin.median_ms,
      dead_arrival_p99_ms: arrivedWithin.p99_ms,
      dead_arrival_max_ms: arrivedWithin.max_ms,
    };
  });
}
