// What this machine can do at most, measured in the same run as the servers: commits of PostgreSQL, answers of node:http.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Client, type ClientConfig } from "pg";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { BenchClient } from "./client.js";
import { closedLoop } from "./measure.js";

export interface Machine {
  readonly node: string;
  readonly processors: number;
  readonly processor: string;
  readonly memory_bytes: number;
  readonly load_average: number;
  readonly postgres: string;
  /** Single-row inserts, each its own transaction, a second. */
  readonly commits_per_second_1: number;
  readonly commits_per_second_8: number;
  /** Empty answers a second over 32 connections. */
  readonly empty_http_per_second: number;
}

/** About what one event's row holds. */
const ROW_BYTES = 700;
const SECONDS = 3;

async function commits(database: ClientConfig, connections: number): Promise<number> {
  const clients = Array.from({ length: connections }, () => new Client(database));
  try {
    for (const client of clients) await client.connect();
    const [first] = clients;
    await first?.query("CREATE TABLE IF NOT EXISTS bench_commits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)");
    const body = randomBytes(ROW_BYTES / 2).toString("hex");
    const insert = { name: "insert", text: "INSERT INTO bench_commits (body) VALUES ($1)", values: [body] };
    // Each worker of the loop keeps its connection: numbers are handed out in turn only at the start.
    const idle = [...clients];
    const operation = async (): Promise<void> => {
      const client = idle.pop();
      if (client === undefined) throw new Error("more workers than connections");
      await client.query(insert);
      idle.push(client);
    };
    await closedLoop(connections, SECONDS / 3, operation);
    const { per_second } = await closedLoop(connections, SECONDS, operation);
    await first?.query("DROP TABLE bench_commits");
    return per_second;
  } finally {
    for (const client of clients) await client.end();
  }
}

async function versionOf(database: ClientConfig): Promise<string> {
  const client = new Client(database);
  await client.connect();
  try {
    const { rows } = await client.query<{ version: string; sync: string; fsync: string }>(
      "SELECT current_setting('server_version') AS version, current_setting('synchronous_commit') AS sync, current_setting('fsync') AS fsync",
    );
    return `${rows[0]?.version} (synchronous_commit ${rows[0]?.sync}, fsync ${rows[0]?.fsync})`;
  } finally {
    await client.end();
  }
}

async function emptyHttp(): Promise<number> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./empty-server.js", import.meta.url))], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  try {
    const lines = createInterface({ input: child.stdout });
    const [port] = await once(lines, "line");
    using client = new BenchClient(`http://127.0.0.1:${port}`);
    const { per_second } = await closedLoop(32, SECONDS, () => client.request("PUT", "/", undefined, { msgtype: "m.text", body: "hello" }));
    return per_second;
  } finally {
    child.kill();
    await exited;
  }
}

/** Gives `work` the database of `url`, or that of an embedded server of its own. */
async function withDatabase<T>(url: string | undefined, work: (database: ClientConfig) => Promise<T>): Promise<T> {
  if (url !== undefined) return work({ connectionString: url });
  const folder = await mkdtemp(join(tmpdir(), "hansa-bench-"));
  try {
    await using server = await EmbeddedPostgres.start({ dataFolder: folder });
    return await work({ host: server.socketFolder, user: server.user, database: "postgres" });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Measures the machine, on the database of a connection URL or on an embedded one. */
export async function measureMachine(postgres: string | undefined): Promise<Machine> {
  const database = await withDatabase(postgres, async (config) => ({
    postgres: await versionOf(config),
    commits_per_second_1: await commits(config, 1),
    commits_per_second_8: await commits(config, 8),
  }));
  return {
    node: process.version,
    processors: cpus().length,
    processor: cpus()[0]?.model ?? "unknown",
    memory_bytes: totalmem(),
    load_average: loadavg()[0] ?? 0,
    ...database,
    empty_http_per_second: await emptyHttp(),
  };
}
