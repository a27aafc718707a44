// The PostgreSQL that a server process keeps for itself, seen from outside: to kill it, and to spoil it.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";

/** The lines of postmaster.pid that say who the server is and where its socket is. */
const PID_LINE = 0;
const SOCKET_LINE = 4;

async function pidFile(dataFolder: string): Promise<string[]> {
  return (await readFile(join(dataFolder, "postgres", "postmaster.pid"), "utf8")).split("\n").map((line) => line.trim());
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  try {
    const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=", "-o", "ppid="]);
    const processes = stdout.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
    return processes.flatMap(([child, parent]) => (child !== undefined && parent === pid ? [child] : []));
  } catch (error) {
    // Without ps the postmaster goes alone; its children follow when they notice.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Kills PostgreSQL with all its processes, `whenReady` to the moment. It makes no new ones while they are looked for. */
export async function killPostgres(dataFolder: string, whenReady: () => Promise<void> = () => Promise.resolve()): Promise<void> {
  const pid = Number((await pidFile(dataFolder))[PID_LINE]);
  if (!Number.isSafeInteger(pid) || pid <= 1) throw new Error("postmaster.pid names no process");
  signal(pid, "SIGSTOP");
  const children = await childrenOf(pid);
  await whenReady();
  for (const victim of [...children, pid]) signal(victim, "SIGKILL");
}

/** A connection of one's own, which the caller ends. */
export async function connectTo(dataFolder: string): Promise<Client> {
  const client = new Client({ host: (await pidFile(dataFolder))[SOCKET_LINE] ?? "", user: "hansa", database: "postgres" });
  await client.connect();
  return client;
}

/**
 * Lets PostgreSQL answer a COMMIT before it is on disk. Hansa asks for synchronous_commit on each of its connections, so
 * that a setting of the server would change nothing: each transaction that writes the log is told otherwise from inside.
 */
export async function answerBeforeDisk(dataFolder: string): Promise<void> {
  const client = await connectTo(dataFolder);
  await client.query(`CREATE FUNCTION carelessly() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NULL; END $$`);
  await client.query("CREATE TRIGGER careless AFTER INSERT ON log FOR EACH STATEMENT EXECUTE FUNCTION carelessly()");
  await client.end();
}
