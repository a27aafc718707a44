// Connections to PostgreSQL: reads that share pipelined connections, and transactions that have one to themselves.
import type { Duplex } from "node:stream";
import { Client, DatabaseError, Pool, TypeOverrides, type ClientConfig, type PoolClient } from "pg";
import { logger } from "../log.js";
import { appendToLog, type LogEntry } from "./log-entry.js";
import type { Queryable, Reads, Row, Statement } from "./statement.js";

const log = logger("database");

/** Where the database is: an address, or the folder of a unix socket with a user and a database. */
export type DatabaseAddress =
  | { readonly url: string }
  | { readonly socketFolder: string; readonly user: string; readonly database: string };

export interface DatabaseOptions {
  readonly address: DatabaseAddress;
  /** Connections for transactions; as many are for reads at most. */
  readonly poolSize?: number;
  /** A statement that runs longer is cancelled by PostgreSQL. */
  readonly statementTimeoutMs?: number;
  readonly applicationName?: string;
}

const ATTEMPTS = 5;
const READ_ATTEMPTS = 3;
const ACQUIRE_TIMEOUT_MS = 10_000;

/** The outcome of a COMMIT whose answer never came: the transaction may or may not have happened. */
export class CommitUnknownError extends Error {
  override name = "CommitUnknownError";
}

/** PostgreSQL answered a COMMIT by rolling back, because a statement before it had failed. */
class RolledBackError extends Error {
  override name = "RolledBackError";
}

/** A transaction: the first argument of everything that writes. */
export interface Tx extends Queryable {
  /** Entries of the log. All entries of one transaction get one position, in the flush that ends it. */
  append(entries: readonly LogEntry[]): void;
  /** A statement that needs the position: it runs in the last flush and finds it as `currval('log_position')`. */
  atPosition(statement: Statement, values: readonly unknown[]): void;
  /** Runs after COMMIT, with the position if the transaction took one. Nothing with effects outside runs before. */
  afterCommit(callback: (position: number | undefined) => void): void;
}

/** A PostgreSQL database. */
export class Database implements Reads {
  readonly address: DatabaseAddress;
  readonly #config: ClientConfig;
  readonly #pool: Pool;
  readonly #readers: Reader[];
  #closed = false;
  #losses = 0;

  private constructor(options: DatabaseOptions) {
    const poolSize = options.poolSize ?? 8;
    this.address = options.address;
    this.#config = clientConfig(options);
    this.#pool = new Pool({ ...this.#config, max: poolSize, connectionTimeoutMillis: ACQUIRE_TIMEOUT_MS });
    // An idle connection that PostgreSQL closes (a restart) must not end the process; the pool has dropped it already.
    this.#pool.on("error", (error) => log.warn({ reason: error.message }, "an idle connection to PostgreSQL was lost"));
    this.#pool.on("connect", (client) => {
      client.on("error", (error) => log.debug({ reason: error.message }, "a connection to PostgreSQL was lost"));
    });
    this.#readers = Array.from({ length: poolSize }, () => new Reader(this.#config, () => (this.#losses += 1)));
  }

  /** Opens a database and proves that it answers. Throws what `pg` throws when it does not. */
  static async open(options: DatabaseOptions): Promise<Database> {
    const database = new Database(options);
    try {
      await database.read({ name: "database_answers", text: "SELECT 1" }, []);
    } catch (error) {
      await database.close();
      throw error;
    }
    return database;
  }

  /**
   * Runs one statement that only reads, and gives its rows. It is sent again when the connection turns out to be lost: a
   * restart of PostgreSQL is noticed only by using what it closed.
   */
  async read<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#leastBusy().query(statement, values);
      } catch (error) {
        if (this.#closed || attempt >= READ_ATTEMPTS || !isConnectionLoss(error)) throw error;
      }
    }
  }

  /**
   * Runs `work` in a transaction and commits it; `work` runs again from its start when PostgreSQL asks for that (a
   * serialisation failure or a deadlock) or the connection was lost before COMMIT was sent. The promise is fulfilled only when PostgreSQL said COMMIT.
   * Throws CommitUnknownError if the connection was lost while the commit was under way.
   */
  async transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(work);
      } catch (error) {
        if (attempt >= ATTEMPTS || !isRetryable(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 5 * 2 ** attempt));
      }
    }
  }

  /**
   * How often a connection was lost. What answers after a loss may be another server, with another history: whoever
   * trusts what was read before has to compare.
   */
  get losses(): number {
    return this.#losses;
  }

  /**
   * Lets `work` read the database as it was at one moment: all that was committed then and nothing else. It may run again
   * from its start when the connection turns out to be lost.
   */
  async snapshot<Result>(work: (reads: Reads) => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      const client = await this.#acquire();
      let broken = true;
      try {
        const begun = send(client, BEGIN_SNAPSHOT, []);
        begun.catch(alreadyNoted);
        const result = await work({
          read: (statement, values) => send(client, statement, values).then(({ rows }) => rows),
        });
        await begun;
        await send(client, { name: "commit", text: "COMMIT" }, []);
        broken = false;
        return result;
      } catch (error) {
        if (attempt >= READ_ATTEMPTS || !isConnectionLoss(error)) throw error;
      } finally {
        client.release(broken);
      }
    }
  }

  /** Runs one statement that writes, in a transaction of its own. Throws as `transaction` does. */
  async write<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> {
    return await this.transaction((tx) => tx.query(statement, values));
  }

  /**
   * Runs one statement that writes as its own transaction, without BEGIN and COMMIT: it is fulfilled only after PostgreSQL
   * has committed. Throws CommitUnknownError if the connection was lost meanwhile.
   */
  async execute<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> {
    for (let attempt = 1; ; attempt += 1) {
      const client = await this.#acquire();
      let broken = false;
      try {
        return (await send(client, statement, values)).rows;
      } catch (error) {
        broken = isConnectionLoss(error);
        if (broken) throw new CommitUnknownError("The connection was lost during a statement that writes", { cause: error });
        if (attempt >= ATTEMPTS || !isRetryable(error)) throw error;
      } finally {
        client.release(broken);
      }
    }
  }

  /** Whether writes are taken: not by a standby, nor where PostgreSQL was told to keep its data as it is. */
  async takesWrites(): Promise<boolean> {
    const text = "SELECT NOT current_setting('transaction_read_only')::boolean AS writable";
    const [row] = await this.read<{ writable: boolean }>({ name: "database_takes_writes", text }, []);
    return row?.writable === true;
  }

  /** A connection of one's own, for what lasts as long as a session: LISTEN, an advisory lock. The caller ends it. */
  async connect(): Promise<Client> {
    const client = new Client({ ...this.#config, pipeline: false, statement_timeout: 0 });
    client.on("error", (error) => log.debug({ reason: error.message }, "a connection to PostgreSQL was lost"));
    await client.connect();
    return client;
  }

  /** How a library that makes its own connections reaches this database. */
  connectionConfig(): { readonly connectionString: string } | { host: string; user: string; database: string } {
    const { address } = this;
    return "url" in address
      ? { connectionString: address.url }
      : { host: address.socketFolder, user: address.user, database: address.database };
  }

  /** Waits for what is under way and closes all connections. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled([this.#pool.end(), ...this.#readers.map((reader) => reader.close())]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #leastBusy(): Reader {
    let best = this.#readers[0];
    for (const reader of this.#readers) {
      if (best === undefined || reader.waiting < best.waiting) best = reader;
      if (best.waiting === 0) break;
    }
    if (best === undefined) throw new Error("a database needs at least one connection");
    return best;
  }

  async #acquire(): Promise<PoolClient> {
    return await this.#pool.connect().catch((error: unknown) => {
      throw new ConnectionLostError("PostgreSQL cannot be reached", { cause: error });
    });
  }

  async #attempt<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    const client = await this.#acquire();
    const transaction = new Transaction(client);
    let broken = false;
    try {
      const result = await work(transaction);
      const position = await transaction.commit();
      transaction.committed(position);
      return result;
    } catch (error) {
      broken = !(await transaction.rollback());
      throw transaction.reason(error);
    } finally {
      client.release(broken);
    }
  }
}

const IN_FAILED_TRANSACTION = "25P02";

const BEGIN_SNAPSHOT: Statement = {
  name: "begin_snapshot",
  text: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
};

/** One transaction on one pipelined connection. */
class Transaction implements Tx {
  readonly #client: PoolClient;
  readonly #sent: Promise<unknown>[] = [];
  readonly #entries: LogEntry[] = [];
  readonly #positioned: { statement: Statement; values: readonly unknown[] }[] = [];
  readonly #callbacks: ((position: number | undefined) => void)[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(client: PoolClient) {
    this.#client = client;
    void this.query({ name: "begin", text: "BEGIN" }, []);
  }

  query<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> {
    const rows = send(this.#client, statement, values).then((result) => result.rows);
    // The first failure of a pipeline is the one that says why; those behind it only say that the transaction is void.
    const noted = rows.catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#sent.push(noted);
    return rows;
  }

  append(entries: readonly LogEntry[]): void {
    this.#entries.push(...entries);
  }

  atPosition(statement: Statement, values: readonly unknown[]): void {
    this.#positioned.push({ statement, values });
  }

  afterCommit(callback: (position: number | undefined) => void): void {
    this.#callbacks.push(callback);
  }

  /** Sends the last flush and judges it: the position if one was taken. */
  async commit(): Promise<number | undefined> {
    let position: Promise<{ position: number }[]> | undefined;
    if (this.#entries.length > 0 || this.#positioned.length > 0) {
      position = appendToLog(this, this.#entries, () => {
        for (const { statement, values } of this.#positioned) void this.query(statement, values).catch(alreadyNoted);
      });
    }
    const commit = send(this.#client, { name: "commit", text: "COMMIT" }, []);
    const [outcome] = await Promise.allSettled([commit, ...this.#sent]);
    if (this.#failure !== undefined && !isConnectionLoss(this.#failure.error)) throw this.#failure.error;
    if (outcome.status === "rejected") {
      if (!isConnectionLoss(outcome.reason)) throw outcome.reason;
      throw new CommitUnknownError("The connection was lost during COMMIT", { cause: outcome.reason });
    }
    if (outcome.value.command !== "COMMIT") throw new RolledBackError("PostgreSQL rolled the transaction back");
    return (await position)?.[0]?.position;
  }

  /** Why the transaction failed: of statements that were sent together only the first says so, the others that it did. */
  reason(error: unknown): unknown {
    return sqlState(error) === IN_FAILED_TRANSACTION && this.#failure !== undefined ? this.#failure.error : error;
  }

  committed(position: number | undefined): void {
    for (const callback of this.#callbacks) {
      try {
        callback(position);
      } catch (error) {
        // The transaction has happened; a listener's fault must not look like its failure.
        log.error({ err: error }, "a callback after COMMIT failed");
      }
    }
  }

  /** Ends a transaction that must not happen: false if the connection is of no more use. */
  async rollback(): Promise<boolean> {
    try {
      await send(this.#client, { name: "rollback", text: "ROLLBACK" }, []);
      await Promise.allSettled(this.#sent);
      return true;
    } catch (error) {
      log.debug({ code: sqlState(error) }, "a transaction could not be rolled back; its connection is closed");
      return false;
    }
  }
}

/** A connection that many reads share; it connects when it is needed and again after it was lost. */
class Reader {
  waiting = 0;
  readonly #config: ClientConfig;
  readonly #onLost: () => void;
  #client: Promise<Client> | undefined;

  constructor(config: ClientConfig, onLost: () => void) {
    this.#config = config;
    this.#onLost = onLost;
  }

  async query<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> {
    this.waiting += 1;
    try {
      const client = await (this.#client ??= this.#connect()).catch((error: unknown) => {
        throw new ConnectionLostError("PostgreSQL cannot be reached", { cause: error });
      });
      return (await send(client, statement, values)).rows;
    } finally {
      this.waiting -= 1;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await (await client)?.end();
  }

  /** Starts to connect; the promise is what all who come meanwhile wait for. */
  #connect(): Promise<Client> {
    const client = new Client({ ...this.#config, connectionTimeoutMillis: ACQUIRE_TIMEOUT_MS });
    const connected = client.connect().then(() => client);
    const forget = (): void => {
      if (this.#client !== connected) return;
      this.#client = undefined;
      this.#onLost();
    };
    client.on("error", (error) => {
      log.debug({ reason: error.message }, "a connection to PostgreSQL was lost");
      forget();
    });
    client.on("end", forget);
    connected.catch(forget);
    return connected;
  }
}

async function send<R extends object>(
  client: Client | PoolClient,
  statement: Statement<R>,
  values: readonly unknown[],
): Promise<{ rows: R[]; command: string }> {
  gather(client);
  try {
    return await client.query<R>({ name: statement.name, text: statement.text, values: [...values] });
  } catch (error) {
    // What is not a DatabaseError did not come from PostgreSQL: the connection is gone, or a value could not be read.
    if (error instanceof DatabaseError ? !isFarewell(error.code) : error instanceof RangeError) throw error;
    throw new ConnectionLostError("The connection to PostgreSQL was lost", { cause: error });
  }
}

const gathering = new WeakSet<Duplex>();

/** What this turn of the loop sends leaves in one write: pg would make a system call for each statement. */
function gather({ connection }: Client | PoolClient): void {
  const { stream } = connection;
  if (gathering.has(stream)) return;
  gathering.add(stream);
  stream.cork();
  process.nextTick(() => {
    gathering.delete(stream);
    stream.uncork();
  });
}

function alreadyNoted(): void {
  // The transaction keeps the first failure itself.
}

function clientConfig(options: DatabaseOptions): ClientConfig {
  const { address } = options;
  const types = new TypeOverrides();
  // Positions, nids and counters are far below 2^53; a number that is not is a fault and must not be rounded.
  types.setTypeParser(20, safeInteger);
  types.setTypeParser(1016, (text: string) => (text === "{}" ? [] : text.slice(1, -1).split(",").map(safeInteger)));
  return {
    ...("url" in address
      ? { connectionString: address.url }
      : { host: address.socketFolder, user: address.user, database: address.database }),
    types,
    pipeline: true,
    keepAlive: true,
    statement_timeout: options.statementTimeoutMs ?? 30_000,
    idle_in_transaction_session_timeout: 60_000,
    application_name: options.applicationName ?? "hansa",
    // Whatever the server's default is: what we acknowledge is on disk.
    options: "-c synchronous_commit=on",
  };
}

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError("a number from the database is too large");
  return value;
}

/** The unique constraint that a statement violated, if that is what an error says. */
export function violatedConstraint(error: unknown): string | undefined {
  return error instanceof DatabaseError && error.code === "23505" ? error.constraint : undefined;
}

/** The SQLSTATE of an error from PostgreSQL, if it is one. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}

function isRetryable(error: unknown): boolean {
  if (error instanceof CommitUnknownError || error instanceof RolledBackError) return false;
  const code = sqlState(error);
  return code === "40001" || code === "40P01" || isConnectionLoss(error);
}

/** The connection ended, or could not be made. `cause` is what pg said, which has no code to tell it by. */
class ConnectionLostError extends Error {
  override name = "ConnectionLostError";
}

/** Whether an error means that the connection is gone. */
export function isConnectionLoss(error: unknown): boolean {
  return error instanceof ConnectionLostError;
}

/** 25006 is a database that takes no writes, 53 the class of what has run out, 57014 a statement that took too long. */
const IMPEDED = /^(?:25006|53...|57014)$/;

/** Whether an error means that the database cannot do its work for now, and may do it later. */
export function isDatabaseAway(error: unknown): boolean {
  return isConnectionLoss(error) || error instanceof CommitUnknownError || IMPEDED.test(sqlState(error) ?? "");
}

/** The server's farewells: 57P01 to 57P03 are shutdown, crash and not yet ready; 08 is the class of connection faults. */
function isFarewell(code: string | undefined): boolean {
  return code !== undefined && (code.startsWith("08") || code === "57P01" || code === "57P02" || code === "57P03");
}
