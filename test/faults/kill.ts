// Rounds of kill -9 at random moments, of Hansa's engine and of PostgreSQL, while senders and syncs are under way.
// Afterwards every acknowledged event is there exactly once, every unknown one wholly or not at all, the store is sound,
// and every chain of syncs has seen each event once.
import { execFileSync, fork, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FsckReport } from "../../src/storage/fsck.js";
import { seeded } from "../support/rooms.js";
import type { Answer, Question, SyncAnswer, TimelineEntry } from "./engine.js";

const ENGINE = fileURLToPath(new URL("./engine.js", import.meta.url));
const SENDERS = 8;
const SYNCS = 3;
const ROOMS = 4;
const ANSWER_MS = 20_000;

type Ask = Question extends infer Each ? (Each extends { readonly id: number } ? Omit<Each, "id"> : never) : never;

/** The process under test; it is started again under the same hood. */
class Engine {
  readonly #dataFolder: string;
  #child: ChildProcess | undefined;
  #next = 1;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();

  constructor(dataFolder: string) {
    this.#dataFolder = dataFolder;
  }

  async start(): Promise<void> {
    const child = fork(ENGINE, [this.#dataFolder], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      child.on("message", (answer: Answer) => {
        if (answer.id === 0) resolve();
        const waiting = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        if (answer.error === undefined) waiting?.resolve(answer.value);
        else waiting?.reject(new Error(answer.error));
      });
      // A question that meets a dying process is lost with it.
      child.on("error", () => undefined);
      child.on("exit", () => {
        reject(new Error("the engine did not start"));
        for (const waiting of this.#waiting.values()) waiting.reject(new Error("killed"));
        this.#waiting.clear();
      });
    });
  }

  async ask(question: Ask): Promise<unknown> {
    const id = this.#next++;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("no answer in time")), ANSWER_MS);
      const settle =
        <Value>(settled: (value: Value) => void) =>
        (value: Value) => {
          clearTimeout(timer);
          settled(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      if (this.#child?.connected !== true) this.#waiting.get(id)?.reject(new Error("the engine is down"));
      else this.#child.send({ ...question, id });
    });
  }

  /** Asks until it is answered: for what must be possible once everything is up again. */
  async askUntilAnswered(question: Ask): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.ask(question);
      } catch (error) {
        if (attempt >= 100) throw error;
        await sleep(100);
      }
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

/** Kills a PostgreSQL server with everything that belongs to it, so that nothing of it is written any more. */
function killPostgres(pid: number): void {
  let children: number[] = [];
  try {
    const listed = execFileSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" });
    children = listed.trim().split(/\s+/).map(Number);
  } catch {
    // Without such a ps the postmaster goes alone; its children follow when they notice.
    children = [];
  }
  for (const victim of [pid, ...children]) {
    try {
      process.kill(victim, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
}

export interface KillReport {
  readonly seed: number;
  readonly rounds: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly problems: readonly string[];
}

/**
 * Runs rounds of kills. `control` lets PostgreSQL answer before its log is on disk, which must make the test fail.
 */
export async function killRounds(options: {
  readonly rounds: number;
  readonly seed: number;
  readonly control?: boolean;
  readonly progress?: (line: string) => void;
}): Promise<KillReport> {
  const { rounds, seed } = options;
  const next = seeded(seed);
  const folder = await mkdtemp(join(tmpdir(), "hansa-kill-"));
  const engine = new Engine(folder);
  const problems: string[] = [];
  const acknowledged = new Map<string, string>();
  const unknown = new Set<string>();
  const rooms: string[] = [];
  const test = { running: true };
  let sent = 0;

  const sender = async (number: number): Promise<void> => {
    while (test.running) {
      const body = `${number}-${(sent += 1)}`;
      const room = rooms[Math.floor(next() * rooms.length)] ?? "";
      const question = { ask: "send", room, body, state: next() < 0.2, txn: body } as const;
      // What is unknown is sent again under the same transaction id, or left unknown.
      for (let attempt = 0; test.running || attempt === 0; attempt += 1) {
        try {
          acknowledged.set(body, String(await engine.ask(question)));
          unknown.delete(body);
          break;
        } catch {
          unknown.add(body);
          if (next() < 0.3) break;
          await sleep(20);
        }
      }
    }
  };

  const chains = Array.from({ length: SYNCS }, () => ({ since: 0, seen: new Map<string, number>() }));
  const syncOnce = async (chain: (typeof chains)[number]): Promise<number> => {
    const { events, next: token } = (await engine.ask({ ask: "sync", since: chain.since })) as SyncAnswer;
    for (const event of events) chain.seen.set(event, (chain.seen.get(event) ?? 0) + 1);
    const moved = token - chain.since;
    chain.since = token;
    return moved;
  };
  const syncer = async (chain: (typeof chains)[number]): Promise<void> => {
    while (test.running) {
      await syncOnce(chain).catch(() => sleep(20));
      await sleep(2 + next() * 10);
    }
  };

  try {
    await engine.start();
    if (options.control === true) {
      await engine.ask({
        ask: "sql",
        text: `CREATE FUNCTION carelessly() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NULL; END $$`,
      });
      await engine.ask({
        ask: "sql",
        text: "CREATE TRIGGER careless AFTER INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION carelessly()",
      });
    }
    while (rooms.length < ROOMS) rooms.push(String(await engine.ask({ ask: "create" })));
    const workers = [...Array.from({ length: SENDERS }, (_, number) => sender(number)), ...chains.map(syncer)];
    for (let round = 0; round < rounds; round += 1) {
      // Only under traffic is there something to lose.
      const goal = acknowledged.size + SENDERS;
      for (const deadline = Date.now() + 30_000; acknowledged.size < goal && Date.now() < deadline; ) await sleep(5);
      if (acknowledged.size < goal) problems.push(`round ${round}: nothing could be written`);
      await sleep(next() * 150);
      if (round % 2 === 0) {
        await engine.kill();
        await engine.start();
      } else {
        const pid = await engine.ask({ ask: "pid" });
        if (typeof pid === "number") killPostgres(pid);
      }
      options.progress?.(`round ${round + 1}: ${acknowledged.size} acknowledged, ${unknown.size} unknown`);
    }
    test.running = false;
    await Promise.all(workers);

    const found = new Map<string, string[]>();
    const all = new Set<string>();
    for (const room of rooms) {
      for (const { event_id, body } of (await engine.askUntilAnswered({ ask: "timeline", room })) as TimelineEntry[]) {
        if (all.has(event_id)) problems.push(`${event_id} is in two places`);
        all.add(event_id);
        if (body !== undefined) found.set(body, [...(found.get(body) ?? []), event_id]);
      }
    }
    for (const [body, eventId] of acknowledged) {
      const ids = found.get(body) ?? [];
      if (ids.length !== 1 || ids[0] !== eventId) problems.push(`acknowledged ${body} is there ${ids.length} times`);
    }
    for (const body of unknown) {
      const times = found.get(body)?.length ?? 0;
      if (times > 1) problems.push(`unknown ${body} is there ${times} times`);
    }
    const report = (await engine.askUntilAnswered({ ask: "fsck" })) as FsckReport;
    for (const problem of report.problems) problems.push(`fsck: ${problem.check}: ${problem.where}`);
    for (const [number, chain] of chains.entries()) {
      await sleep(1_100);
      await syncOnce(chain);
      for (const [event, times] of chain.seen) if (times !== 1) problems.push(`sync ${number} saw ${event} ${times} times`);
      for (const event of all) if (!chain.seen.has(event)) problems.push(`sync ${number} missed ${event}`);
      for (const event of chain.seen.keys()) if (!all.has(event)) problems.push(`sync ${number} saw ${event}, which is gone`);
    }
    await engine.ask({ ask: "stop" });
    return { seed, rounds, acknowledged: acknowledged.size, unknown: unknown.size, problems };
  } finally {
    test.running = false;
    const pid = await engine.ask({ ask: "pid" }).catch(() => undefined);
    await engine.kill();
    if (typeof pid === "number") killPostgres(pid);
    await rm(folder, { recursive: true, force: true });
  }
}

/** `node kill.js [rounds] [seed] [--control]` */
async function main(args: readonly string[]): Promise<void> {
  const numbers = args.filter((arg) => !arg.startsWith("--")).map(Number);
  const report = await killRounds({
    rounds: numbers[0] ?? 200,
    seed: numbers[1] ?? Date.now() % 1_000_000,
    control: args.includes("--control"),
    progress: (line) => console.log(line),
  });
  for (const problem of report.problems.slice(0, 20)) console.log(`PROBLEM ${problem}`);
  const { seed, rounds, acknowledged, unknown, problems } = report;
  console.log(
    `seed ${seed}: ${rounds} rounds, ${acknowledged} acknowledged, ${unknown} unknown, ${problems.length} problems`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
