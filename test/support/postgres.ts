// One PostgreSQL server for the whole test run, and a fresh migrated database for whoever asks.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { migrate } from "../../src/storage/migrations.js";

interface Server {
  readonly postgres: EmbeddedPostgres;
  readonly admin: Database;
  readonly stop: () => Promise<void>;
}

let server: Promise<Server> | undefined;
let made = 0;

async function startServer(): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), "hansa-test-"));
  const postgres = await EmbeddedPostgres.start({ dataFolder: folder });
  const admin = await Database.open({ address: address(postgres, "postgres"), poolSize: 2 });
  const stop = async (): Promise<void> => {
    await admin.close();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await execute(admin, "CREATE DATABASE template_hansa");
    await using template = await Database.open({ address: address(postgres, "template_hansa"), poolSize: 1 });
    await migrate(template);
    return { postgres, admin, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function address(postgres: EmbeddedPostgres, database: string): DatabaseAddress {
  return { socketFolder: postgres.socketFolder, user: postgres.user, database };
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
  const { postgres, admin } = await (server ??= startServer());
  made += 1;
  const name = `test_${process.pid}_${made}`;
  await execute(admin, `CREATE DATABASE ${name} TEMPLATE template_hansa`);
  return address(postgres, name);
}

/** The address of a new database without any table. */
export async function emptyDatabase(): Promise<DatabaseAddress> {
  const { postgres, admin } = await (server ??= startServer());
  made += 1;
  const name = `test_${process.pid}_${made}`;
  await execute(admin, `CREATE DATABASE ${name}`);
  return address(postgres, name);
}

after(async function () {
  this.timeout(60_000);
  await (await server)?.stop();
});
