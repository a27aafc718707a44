// Rounds of kill -9 at random moments, of the server's process and of its PostgreSQL in turn, while people write, come and
// go, and hold their syncs open. What they were told has to be true afterwards. `npm run faults:kill -- [rounds] [seed] [--control]`
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { seeded } from "../support/rooms.js";
import { answerBeforeDisk, killPostgres } from "./embedded-server.js";
import { inspectRooms, inspectSyncs } from "./inspection.js";
import { Traffic } from "./traffic.js";

/** After so many rounds everything is looked at. */
const STRETCH = 20;
/** So many requests for events are under way at the moment of a kill, at least. */
const IN_FLIGHT = 8;
const RANDOM_MS = 150;
const RECOVERY_MS = 180_000;

export interface KillReport {
  readonly seed: number;
  readonly rounds: number;
  readonly acknowledged: number;
  /** What was not known when it came to looking. */
  readonly unknown: number;
  /** The longest that nobody could write after a kill, for each victim. */
  readonly outageMs: Readonly<Record<Victim, number>>;
  readonly problems: readonly string[];
}

type Victim = "server" | "PostgreSQL";

async function fsckProblems(server: ServerProcess): Promise<string[]> {
  const report: unknown = JSON.parse(await server.command("fsck", "--json"));
  return objectsAt(report, "problems").map((problem) => `fsck: ${stringAt(problem, "check")}: ${stringAt(problem, "where")}`);
}

/** Waits until `count` more events were acknowledged: false if that does not happen. */
async function moreAcknowledged(traffic: Traffic, count: number): Promise<boolean> {
  const goal = traffic.acknowledged.size + count;
  const deadline = performance.now() + RECOVERY_MS;
  while (traffic.acknowledged.size < goal && performance.now() < deadline) await sleep(2);
  return traffic.acknowledged.size >= goal;
}

/**
 * Runs rounds of kills until there is a problem. With `control` PostgreSQL answers before its log is on disk, which the
 * test must notice.
 */
export async function killRounds(options: {
  readonly rounds: number;
  readonly seed: number;
  readonly control?: boolean;
  readonly progress?: (line: string) => void;
}): Promise<KillReport> {
  const { rounds, seed, control = false, progress = () => undefined } = options;
  const next = seeded(seed);
  await using folder = await temporaryFolder();
  const dataFolder = join(folder.path, "data");
  const settings = { registration: { open: true }, rate_limits: { enabled: false }, passwords: { memory_kib: 8, iterations: 1 } };
  const server = await ServerProcess.start(folder.path, settings);
  const outageMs = { server: 0, PostgreSQL: 0 };
  let unknown = 0;

  const underWay = async (traffic: Traffic): Promise<void> => {
    while (traffic.inFlight < IN_FLIGHT) await sleep(1);
  };
  const round = async (traffic: Traffic, victim: Victim): Promise<void> => {
    await sleep(next() * RANDOM_MS);
    if (victim === "server") {
      await underWay(traffic);
      await server.kill();
    } else {
      await killPostgres(dataFolder, () => underWay(traffic));
    }
    const killed = performance.now();
    if (victim === "server") await server.restart();
    // More than what was under way, some of which may have been answered before the end.
    if (!(await moreAcknowledged(traffic, traffic.people + 1))) traffic.problems.push(`nothing could be written after the end of the ${victim}`);
    outageMs[victim] = Math.max(outageMs[victim], Math.round(performance.now() - killed));
  };

  try {
    if (control) await answerBeforeDisk(dataFolder);
    const traffic = await Traffic.prepare(server.url, next);
    const problems: string[] = [];
    let done = 0;
    while (done < rounds && problems.length === 0) {
      traffic.start();
      await moreAcknowledged(traffic, IN_FLIGHT);
      for (const end = Math.min(rounds, done + STRETCH); done < end && traffic.problems.length === 0; done += 1) {
        await round(traffic, done % 2 === 0 ? "server" : "PostgreSQL");
      }
      await traffic.stop();
      progress(`${done} rounds: ${traffic.acknowledged.size} acknowledged, ${traffic.unknown.size} unknown; looking at them`);
      unknown += traffic.unknown.size;
      problems.push(...(await inspectRooms(traffic)), ...(await inspectSyncs(traffic)), ...(await fsckProblems(server)), ...traffic.problems);
    }
    return { seed, rounds: done, acknowledged: traffic.acknowledged.size, unknown, outageMs, problems };
  } finally {
    await server.kill();
    await killPostgres(dataFolder);
  }
}

async function main(args: readonly string[]): Promise<void> {
  const [rounds = 200, seed = Date.now() % 1_000_000] = args.filter((arg) => !arg.startsWith("--")).map(Number);
  const control = args.includes("--control");
  const report = await killRounds({ rounds, seed, control, progress: (line) => console.log(line) });
  for (const problem of report.problems.slice(0, 20)) console.log(`PROBLEM ${problem}`);
  const { acknowledged, unknown, outageMs, problems } = report;
  console.log(`seed ${seed}: ${report.rounds} rounds, ${acknowledged} acknowledged, ${unknown} unknown, ${problems.length} problems`);
  console.log(`longest time until the next event after a kill: ${outageMs.server} ms (server), ${outageMs.PostgreSQL} ms (PostgreSQL)`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
