// Mixed traffic for a long time, and what the server holds meanwhile, as a table: what must not grow with time is held to that.
// `npm run faults:soak -- [minutes] [seed]`
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Client } from "pg";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { seeded } from "../support/rooms.js";
import { connectTo, killPostgres } from "./embedded-server.js";
import { inspectRooms, inspectSyncs } from "./inspection.js";
import { Traffic } from "./traffic.js";

const MB = 1_048_576;
const SAMPLES = 12;
/** Memory is judged from this length on: before, caches still fill. */
const JUDGE_MEMORY_FROM_MS = 5 * 60_000;
/** Growth of memory from the second quarter to the last that is no growth. */
const MEMORY_SLACK = { share: 0.15, mb: 40 };
const HANDLES_SLACK = 30;
/** What waits for somebody: nothing of this traffic stays there. */
const QUEUES = ["staged_events", "outbox", "push_outbox", "membership_upkeep", "admin_tasks"];

interface Sample {
  readonly seconds: number;
  readonly acknowledged: number;
  readonly memoryMb: number;
  readonly heapMb: number;
  readonly handles: number;
  readonly databaseConnections: number;
  readonly databaseMb: number;
  /** Rows in each of the queues together. */
  readonly waiting: number;
}

export interface SoakReport {
  readonly samples: readonly Sample[];
  readonly problems: readonly string[];
}

/** A value of the text that Prometheus reads. */
function metric(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
}

async function sampleOf(server: ServerProcess, client: Client, seconds: number, acknowledged: number): Promise<Sample> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const found = await client.query<{ connections: string; bytes: string; waiting: string }>(
    `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections, pg_database_size(current_database()) AS bytes,
      ${QUEUES.map((table) => `(SELECT count(*) FROM ${table})`).join(" + ")} AS waiting`,
  );
  const [row] = found.rows;
  return {
    seconds: Math.round(seconds),
    acknowledged,
    memoryMb: Math.round(metric(text, "process_resident_memory_bytes") / MB),
    heapMb: Math.round(metric(text, "nodejs_heap_size_used_bytes") / MB),
    handles: metric(text, "process_open_fds"),
    databaseConnections: Number(row?.connections),
    databaseMb: Math.round(Number(row?.bytes) / MB),
    waiting: Number(row?.waiting),
  };
}

/** What grew that may not; the first quarter is for warming up. */
function growth(samples: readonly Sample[], lengthMs: number): string[] {
  const quarter = Math.ceil(samples.length / 4);
  const [early, late] = [samples.slice(quarter, 2 * quarter), samples.slice(-quarter)];
  const most = (part: readonly Sample[], of: (sample: Sample) => number): number => Math.max(...part.map(of));
  const least = (part: readonly Sample[], of: (sample: Sample) => number): number => Math.min(...part.map(of));
  const problems: string[] = [];
  const compare = (name: string, of: (sample: Sample) => number, slack: (before: number) => number): void => {
    // The least of the end, so that no peak counts as growth.
    const [before, after] = [most(early, of), least(late, of)];
    if (after > before + slack(before)) problems.push(`${name} grew from ${before} to ${after}`);
  };
  if (lengthMs >= JUDGE_MEMORY_FROM_MS) {
    compare("memory (MB)", ({ memoryMb }) => memoryMb, (before) => before * MEMORY_SLACK.share + MEMORY_SLACK.mb);
  }
  compare("handles", ({ handles }) => handles, () => HANDLES_SLACK);
  compare("connections to PostgreSQL", ({ databaseConnections }) => databaseConnections, () => 3);
  return problems;
}

/** Runs traffic for so long and tells what the server held; then looks at everything that clients were told. */
export async function soak(options: { readonly lengthMs: number; readonly seed: number; readonly progress?: (sample: Sample) => void }): Promise<SoakReport> {
  const { lengthMs, seed, progress = () => undefined } = options;
  await using folder = await temporaryFolder();
  const dataFolder = join(folder.path, "data");
  const settings = { registration: { open: true }, rate_limits: { enabled: false }, passwords: { memory_kib: 8, iterations: 1 }, metrics: { enabled: true } };
  const server = await ServerProcess.start(folder.path, settings);
  try {
    const traffic = await Traffic.prepare(server.url, seeded(seed));
    const client = await connectTo(dataFolder);
    const samples: Sample[] = [];
    const started = performance.now();
    const look = async (): Promise<Sample> => {
      const sample = await sampleOf(server, client, (performance.now() - started) / 1000, traffic.acknowledged.size);
      samples.push(sample);
      progress(sample);
      return sample;
    };
    traffic.start();
    for (let done = 1; done <= SAMPLES; done += 1) {
      await sleep(Math.max(0, started + (lengthMs * done) / SAMPLES - performance.now()));
      await look();
    }
    await traffic.stop();
    const problems = growth(samples, lengthMs);
    let last = await look();
    const deadline = performance.now() + 30_000;
    while (last.waiting > 0 && performance.now() < deadline) {
      await sleep(500);
      last = await sampleOf(server, client, 0, 0);
    }
    if (last.waiting > 0) problems.push(`${last.waiting} things wait in ${QUEUES.join(", ")} though nobody does anything`);
    await client.end();
    problems.push(...(await inspectRooms(traffic)), ...(await inspectSyncs(traffic)), ...traffic.problems);
    await server.stop();
    return { samples, problems };
  } finally {
    await server.kill();
    await killPostgres(dataFolder).catch(() => undefined);
  }
}

async function main(args: readonly string[]): Promise<void> {
  const [minutes = 10, seed = Date.now() % 1_000_000] = args.map(Number);
  const names: readonly (keyof Sample)[] = ["seconds", "acknowledged", "memoryMb", "heapMb", "handles", "databaseConnections", "databaseMb", "waiting"];
  const line = (cells: readonly unknown[]): void => console.log(cells.map((cell, index) => String(cell).padStart(names[index]?.length ?? 0)).join("  "));
  line(names);
  const { problems } = await soak({ lengthMs: minutes * 60_000, seed, progress: (sample) => line(names.map((name) => sample[name])) });
  for (const problem of problems.slice(0, 20)) console.log(`PROBLEM ${problem}`);
  console.log(`seed ${seed}: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
