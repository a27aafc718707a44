// One PostgreSQL server for the whole test run, and a fresh migrated database for whoever asks.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { migrate } from "../../src/storage/migrations.js";

/** Where to test with a PostgreSQL that runs already: the address of a database of a user who may create others. */
const EXTERNAL = process.env.HANSA_TEST_DATABASE_URL;

interface Server {
  readonly admin: Database;
  readonly addressOf: (database: string) => DatabaseAddress;
  readonly stop: () => Promise<void>;
}

let server: Promise<Server> | undefined;
let made = 0;

async function startServer(): Promise<Server> {
  const { addressOf, end } = EXTERNAL === undefined ? await embedded() : external(EXTERNAL);
  const admin = await Database.open({ address: EXTERNAL === undefined ? addressOf("postgres") : { url: EXTERNAL }, poolSize: 2 });
  const stop = async (): Promise<void> => {
    await admin.close();
    await end();
  };
  try {
    await execute(admin, `DROP DATABASE IF EXISTS ${TEMPLATE}`);
    await execute(admin, `CREATE DATABASE ${TEMPLATE}`);
    await using template = await Database.open({ address: addressOf(TEMPLATE), poolSize: 1 });
    await migrate(template);
    return { admin, addressOf, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const TEMPLATE = "template_hansa";

type Where = Pick<Server, "addressOf"> & { readonly end: () => Promise<void> };

async function embedded(): Promise<Where> {
  const folder = await mkdtemp(join(tmpdir(), "hansa-test-"));
  const postgres = await EmbeddedPostgres.start({ dataFolder: folder });
  return {
    addressOf: (database) => ({ socketFolder: postgres.socketFolder, user: postgres.user, database }),
    end: async () => {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function external(url: string): Where {
  return {
    addressOf: (database) => {
      const address = new URL(url);
      address.pathname = `/${database}`;
      return { url: address.href };
    },
    end: () => Promise.resolve(),
  };
}

async function execute(database: Database, text: string): Promise<void> {
  const session = await database.connect();
  try {
    await session.query(text);
  } finally {
    await session.end();
  }
}

/** The address of a new database with the whole schema and nothing in it. */
export async function freshDatabase(): Promise<DatabaseAddress> {
  const { admin, addressOf } = await (server ??= startServer());
  made += 1;
  const name = `test_${process.pid}_${made}`;
  await execute(admin, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  return addressOf(name);
}

/** The address of a new database with all that another one has, to which nobody is connected: as a dump that is put back. */
export async function restoredDatabase(original: DatabaseAddress): Promise<DatabaseAddress> {
  const { admin, addressOf } = await (server ??= startServer());
  made += 1;
  const name = `test_${process.pid}_${made}`;
  const from = "url" in original ? new URL(original.url).pathname.slice(1) : original.database;
  await execute(admin, `CREATE DATABASE ${name} TEMPLATE ${from}`);
  return addressOf(name);
}

/** The address of a new database without any table. */
export async function emptyDatabase(): Promise<DatabaseAddress> {
  const { admin, addressOf } = await (server ??= startServer());
  made += 1;
  const name = `test_${process.pid}_${made}`;
  await execute(admin, `CREATE DATABASE ${name}`);
  return addressOf(name);
}

/** Stops it: for commands, which mocha does not run. */
export async function stopPostgres(): Promise<void> {
  await (await server)?.stop();
}

if (typeof after !== "undefined") {
  after(async function () {
    this.timeout(600_000);
    await stopPostgres();
  });
}
