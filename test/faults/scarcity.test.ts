// What a server needs is used up: file descriptors by clients, PostgreSQL's connections by somebody else, memory by its own load. It
// refuses what it cannot do, loses nothing that it acknowledged, and recovers by itself.
import { connect, type Socket } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Client } from "pg";
import { Database } from "../../src/storage/database.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { ok } from "../support/matrix-request.js";
import { seeded } from "../support/rooms.js";
import { roomOf, startTestServer } from "../support/server.js";
import { killPostgres } from "./embedded-server.js";
import { inspectRooms, inspectSyncs } from "./inspection.js";
import { register, Traffic } from "./traffic.js";

const V3 = "/_matrix/client/v3";
const SETTINGS = { registration: { open: true }, rate_limits: { enabled: false }, passwords: { memory_kib: 8, iterations: 1 } };
const DESCRIPTORS = 256;
const CLIENTS = 500;
const HEAP_MB = 128;
const SMALL_HEAP_MB = 192;
/** Together their answers are larger than that heap. */
const BEGINNERS = 30;
const MESSAGES = 180;
const WRITERS = 10;
const CACHE_BYTES = 16 * 1_048_576;

describe("faults: scarcity", () => {
  it("of file descriptors refuses connections, and nothing else", async () => {
    await using folder = await temporaryFolder();
    const data = join(folder.path, "data");
    const under = ["sh", "-c", `ulimit -n ${DESCRIPTORS} && exec "$@"`, "sh"];
    const server = await ServerProcess.start(folder.path, SETTINGS, undefined, { under });
    const sockets: Socket[] = [];
    try {
      const traffic = await Traffic.prepare(server.url, seeded(7));
      traffic.start();
      const { hostname, port } = new URL(server.url);
      let closed = 0;
      for (let number = 0; number < CLIENTS; number += 1) {
        const socket = connect(Number(port), hostname);
        socket.on("error", () => undefined).on("close", () => (closed += 1)).resume();
        sockets.push(socket);
      }
      await eventually("those are refused for whom there is no room", () => closed >= CLIENTS - DESCRIPTORS, 120_000);
      const goal = traffic.acknowledged.size + traffic.people;
      for (const socket of sockets) socket.destroy();
      await eventually("there is room again", async () => (await fetch(`${server.url}/ready`).catch(() => undefined))?.status === 200, 120_000);
      await eventually("people write", () => traffic.acknowledged.size >= goal, 120_000);
      await traffic.stop();
      const problems = [...(await inspectRooms(traffic)), ...(await inspectSyncs(traffic)), ...traffic.problems];
      const report: unknown = JSON.parse(await server.command("fsck", "--json"));
      expect([problems, objectsAt(report, "problems")]).to.deep.equal([[], []]);
    } finally {
      for (const socket of sockets) socket.destroy();
      await server.kill();
      await killPostgres(data).catch(() => undefined);
    }
  });

  it("of memory ends nothing, since what is kept of a large load is bounded", async () => {
    await using folder = await temporaryFolder();
    const data = join(folder.path, "data");
    const server = await ServerProcess.start(folder.path, { ...SETTINGS, metrics: { enabled: true }, caches: { events_bytes: CACHE_BYTES, rooms_bytes: CACHE_BYTES } }, undefined, { env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` } });
    try {
      const traffic = await Traffic.prepare(server.url, seeded(9));
      const { request } = await register(server.url, "loader");
      const room = stringAt(await ok(request, "POST", `${V3}/createRoom`, {}), "room_id") ?? "";
      traffic.start();
      const text = "x".repeat(60_000);
      const filter = encodeURIComponent('{"room":{"timeline":{"limit":20}}}');
      let taken = 0;
      const large = async (worker: number): Promise<void> => {
        for (let number = 0; number < 30; number += 1) {
          const path = `${V3}/rooms/${encodeURIComponent(room)}/send/org.example.large/${worker}-${number}`;
          const { status } = await request("PUT", path, { text });
          // What is too much at once may be refused, in words.
          expect(status).to.be.oneOf([200, 503]);
          taken += status === 200 ? 1 : 0;
          // Everything from the beginning, of as many readers at once.
          if (number % 10 === 9) expect((await request("GET", `${V3}/sync?filter=${filter}`)).status).to.be.oneOf([200, 429, 503]);
        }
      };
      // More than the heap may have in messages alone.
      await Promise.all(Array.from({ length: 30 }, (_, worker) => large(worker)));
      expect(taken).to.be.greaterThan(100);
      await traffic.stop();
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      expect(Number(/^nodejs_heap_size_total_bytes (\S+)$/m.exec(metrics)?.[1])).to.be.lessThan(2 * HEAP_MB * 1_048_576);
      const problems = [...(await inspectRooms(traffic)), ...(await inspectSyncs(traffic)), ...traffic.problems];
      const report: unknown = JSON.parse(await server.command("fsck", "--json"));
      expect([problems, objectsAt(report, "problems")]).to.deep.equal([[], []]);
    } finally {
      await server.kill();
      await killPostgres(data).catch(() => undefined);
    }
  });

  it("of memory lets many begin at once, since only so many large answers are made at a time", async () => {
    await using folder = await temporaryFolder();
    const data = join(folder.path, "data");
    const settings = { ...SETTINGS, limits: { syncs_per_device: 2 * BEGINNERS } };
    const server = await ServerProcess.start(folder.path, settings, undefined, { env: { NODE_OPTIONS: `--max-old-space-size=${SMALL_HEAP_MB}` } });
    try {
      const { request } = await register(server.url, "loader");
      const room = encodeURIComponent(stringAt(await ok(request, "POST", `${V3}/createRoom`, {}), "room_id") ?? "");
      const since = encodeURIComponent(stringAt(await ok(request, "GET", `${V3}/sync`), "next_batch") ?? "");
      const text = "x".repeat(60_000);
      const write = async (writer: number): Promise<void> => {
        for (let number = 0; number < MESSAGES / WRITERS; number += 1) await ok(request, "PUT", `${V3}/rooms/${room}/send/org.example.large/${writer}-${number}`, { text });
      };
      await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
      const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { limit: MESSAGES } } }));
      let open = BEGINNERS;
      const begin = async (): Promise<number> => {
        const { status } = await request("GET", `${V3}/sync?filter=${filter}`);
        // Whose turn does not come within a minute is to try again: on a slow machine.
        return status === 503 ? await begin() : status;
      };
      const statuses = Array.from({ length: BEGINNERS }, () => begin().finally(() => (open -= 1)));
      // Who does not begin is answered meanwhile.
      let meanwhile = 0;
      const others = async (): Promise<void> => {
        while (open > 0) {
          const answers = await Promise.all([request("GET", `${V3}/account/whoami`), request("GET", `${V3}/sync?since=${since}`)]);
          expect(answers.map(({ status }) => status)).to.deep.equal([200, 200]);
          meanwhile += open > 0 ? 1 : 0;
        }
      };
      const [told] = await Promise.all([Promise.all(statuses), others()]);
      expect(told).to.deep.equal(Array.from({ length: BEGINNERS }, () => 200));
      expect(meanwhile).to.be.greaterThan(0);
      expect((await fetch(`${server.url}/ready`)).status).to.equal(200);
    } finally {
      await server.kill();
      await killPostgres(data).catch(() => undefined);
    }
  });

  it("of PostgreSQL's connections lets a running server go on, and a starting one say so", async () => {
    const folder = await mkdtemp(join(tmpdir(), "hansa-scarce-"));
    const postgres = await EmbeddedPostgres.start({ dataFolder: folder, settings: { max_connections: "40" } });
    const address = { socketFolder: postgres.socketFolder, user: postgres.user, database: "postgres" };
    const others: Client[] = [];
    try {
      await using outside = await Database.open({ address, poolSize: 1 });
      const server = await startTestServer({}, address);
      const alice = await server.register("alice");
      const room = encodeURIComponent(await roomOf(alice));
      let serial = 0;
      const send = async (): Promise<number> => {
        serial += 1;
        return (await alice.put(`${V3}/rooms/${room}/send/m.room.message/${serial}`, { msgtype: "m.text", body: `${serial}` })).status;
      };
      const told: number[] = [];
      expect(await send()).to.equal(200);
      const takeAll = async (): Promise<void> => {
        for (;;) {
          const client = await outside.connect().catch(() => undefined);
          if (client === undefined) return;
          others.push(client);
        }
      };
      await takeAll();
      for (let round = 0; round < 30; round += 1) told.push(...(await Promise.all(Array.from({ length: 8 }, send))));
      // Nobody is lied to: what cannot be done is to be tried again.
      expect(told.filter((status) => status !== 200 && status !== 503)).to.deep.equal([]);
      expect(told.filter((status) => status === 200).length).to.be.greaterThan(0);
      const started = await startTestServer({}, address).then(
        async (second) => {
          await second[Symbol.asyncDispose]();
          return "it started";
        },
        (error: unknown) => String(error),
      );
      expect(started).to.match(/^ConfigError: The database at .* has no connection left for this process\. Raise its max_connections, or lower database\.pool_size\.$/);
      for (const client of others.splice(0)) await client.end();
      await eventually("all is taken again", async () => (await Promise.all(Array.from({ length: 8 }, send))).every((status) => status === 200));
      await using second = await startTestServer({}, address);
      expect((await second.client(alice).get(`${V3}/account/whoami`)).status).to.equal(200);
      await server[Symbol.asyncDispose]();
    } finally {
      for (const client of others) await client.end().catch(() => undefined);
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
