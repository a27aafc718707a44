// Opens the database that the configuration names, or brings one of our own up, with its schema up to date.
import { ConfigError, type Config } from "../config.js";
import { Database, isConnectionLoss, sqlState, type DatabaseAddress } from "./database.js";
import { EmbeddedPostgres, EmbeddedPostgresError } from "./embedded-postgres.js";
import { migrate, SchemaTooNewError } from "./migrations.js";

const OLDEST_VERSION = 150_000;

export interface OpenDatabase extends AsyncDisposable {
  readonly database: Database;
  /** It is our own: no other process uses it. */
  readonly isEmbedded: boolean;
  /** Where the data is, for a person to read; without password. */
  readonly where: string;
}

const TOO_MANY_CONNECTIONS = "53300";

/** Tells a person what takes a moment. */
export type Progress = (message: string) => void;

/** Throws ConfigError, with one sentence, when the database cannot be reached, is too old, or belongs to a newer Hansa. */
export async function openDatabase(config: Config, progress: Progress = () => undefined): Promise<OpenDatabase> {
  const { url, pool_size } = config.database;
  const embedded = url === undefined ? await startEmbedded(config.data_folder, progress) : undefined;
  try {
    const address: DatabaseAddress =
      embedded === undefined
        ? { url: url ?? "" }
        : { socketFolder: embedded.socketFolder, user: embedded.user, database: "postgres" };
    const where = url === undefined ? config.data_folder : described(url);
    const database = await connect(address, pool_size, where);
    try {
      await requireVersion(database, where);
      await migrate(database, progress);
    } catch (error) {
      await database.close();
      if (sqlState(error) === TOO_MANY_CONNECTIONS) throw refusal(error, where);
      throw error instanceof SchemaTooNewError ? new ConfigError(error.message, { cause: error }) : error;
    }
    return {
      database,
      isEmbedded: embedded !== undefined,
      where,
      async [Symbol.asyncDispose]() {
        await database.close();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

async function startEmbedded(dataFolder: string, progress: Progress): Promise<EmbeddedPostgres> {
  try {
    return await EmbeddedPostgres.start({ dataFolder, progress });
  } catch (cause) {
    if (cause instanceof EmbeddedPostgresError) throw new ConfigError(cause.message, { cause });
    throw cause;
  }
}

async function connect(address: DatabaseAddress, poolSize: number, where: string): Promise<Database> {
  try {
    return await Database.open({ address, poolSize });
  } catch (cause) {
    throw refusal(cause, where);
  }
}

/** Why the database lets nobody in, for the person at the console; or the error itself if it is another one. */
function refusal(cause: unknown, where: string): unknown {
  // The fault of the network, or PostgreSQL's refusal, is below what the database layer says of it.
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const state = sqlState(inner);
  if (state === undefined && !isConnectionLoss(cause)) return cause;
  if (state === TOO_MANY_CONNECTIONS) {
    return new ConfigError(`The database at ${where} has no connection left for this process. Raise its max_connections, or lower database.pool_size.`, { cause });
  }
  return new ConfigError(`The database at ${where} ${reason(state, inner)}. Check database.url.`, { cause });
}

function reason(state: string | undefined, cause: unknown): string {
  if (state === "28P01" || state === "28000") return "refuses the user name or the password";
  if (state === "3D000") return "does not exist";
  if (state === "42501") return "refuses access";
  if (state !== undefined) return `refuses the connection (${state})`;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return `cannot be reached${code === "" ? "" : ` (${code})`}`;
}

/** Host, port and name of the database: an address may hold a password, which nobody should read on a screen. */
function described(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  return `${searchParams.get("host") ?? (host === "" ? "localhost" : host)}${pathname}`;
}

async function requireVersion(database: Database, where: string): Promise<void> {
  const [row] = await database.read(
    { name: "server_version", text: "SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version" },
    [],
  );
  if (Number(row?.["number"]) < OLDEST_VERSION) {
    throw new ConfigError(`The database at ${where} is PostgreSQL ${String(row?.["version"])}; Hansa needs 15 or newer.`);
  }
}
