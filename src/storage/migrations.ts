// The schema: numbered SQL files, applied forward only, each in a transaction of its own.
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Knex } from "knex";
import { logger } from "../log.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

const FOLDER = fileURLToPath(new URL("../../../migrations/", import.meta.url));
const MIGRATION_LOCK = 0x68616e74;
/** Held by the transaction of a file: that of a run which was killed may still be about to end. */
const FILE_LOCK = MIGRATION_LOCK + 1;
/** A file of this name runs outside a transaction, as CREATE INDEX CONCURRENTLY must; it holds that one statement. */
const CONCURRENT = /\.concurrent\.sql$/;

const log = logger("migrations");
const quiet = (message: unknown): void => log.debug({ knex: message }, "knex says");
/** What fails is thrown and told once, by who called; knex would print it to the console as well. */
const KNEX_LOG = { warn: quiet, error: quiet, deprecate: quiet, debug: quiet };

/** The database belongs to a newer Hansa than this one, which would damage it. */
export class SchemaTooNewError extends Error {
  override name = "SchemaTooNewError";
}

/** A file of the schema could not be applied; the message is for the administrator, `cause` is PostgreSQL's own error. */
export class MigrationError extends Error {
  override name = "MigrationError";
}

/**
 * Brings the schema up to date. Several processes may try at once: one does it, the others wait. A run that was killed
 * goes on at the file where it ended. Throws SchemaTooNewError and MigrationError.
 */
export async function migrate(database: Database, progress: (message: string) => void = () => undefined): Promise<void> {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith(".sql")).toSorted();
  if (await isCurrent(database, files)) return;
  // The lock is a session's, so that it goes with us when we are killed.
  const session = await database.connect();
  try {
    await session.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`);
    await session.query(`SELECT pg_advisory_lock(${FILE_LOCK})`);
    await session.query(`SELECT pg_advisory_unlock(${FILE_LOCK})`);
    if (await isCurrent(database, files)) return;
    const knex = await openKnex(database);
    try {
      const config: Knex.MigratorConfig = {
        migrationSource: source(files, progress),
        // A newer Hansa may have added files that this one does not know; schema_compat says whether that matters.
        disableMigrationsListValidation: true,
      };
      // knex marks its lock in a row that a killed run leaves behind; the session's lock is the one that counts.
      await knex.migrate.forceFreeMigrationsLock(config);
      await knex.migrate.latest(config);
    } catch (cause) {
      throw cause instanceof MigrationError ? cause : new MigrationError(`The database could not be brought up to date: ${said(cause)}.`, { cause });
    } finally {
      await knex.destroy();
    }
  } finally {
    await session.end();
  }
}

/** What PostgreSQL said: knex puts the whole statement before it. */
const said = (error: unknown): string => (error instanceof Error ? (error.message.split(" - ").at(-1) ?? "") : String(error));

const EXISTS: Statement<{ exists: boolean }> = {
  name: "schema_exists",
  text: "SELECT to_regclass('schema_compat') IS NOT NULL AND to_regclass('knex_migrations') IS NOT NULL AS exists",
};
const NEEDS: Statement<{ needs: number }> = { name: "schema_needs", text: "SELECT needs FROM schema_compat" };
const DONE: Statement<{ name: string }> = { name: "schema_done", text: "SELECT name FROM knex_migrations" };

async function isCurrent(database: Database, files: readonly string[]): Promise<boolean> {
  const [found] = await database.read(EXISTS, []);
  if (found?.exists !== true) return false;
  const [compat] = await database.read(NEEDS, []);
  const newest = Number.parseInt(files.at(-1) ?? "0", 10);
  if (compat !== undefined && compat.needs > newest) {
    throw new SchemaTooNewError(
      `The database was migrated by a newer Hansa and needs one that knows migration ${compat.needs}; this one ends at ${newest}.`,
    );
  }
  const names = new Set((await database.read(DONE, [])).map((row) => row.name));
  return files.every((file) => names.has(file));
}

async function openKnex(database: Database): Promise<Knex> {
  const { default: library } = await import("knex");
  return library.knex({ client: "pg", connection: database.connectionConfig(), pool: { min: 0, max: 2 }, log: KNEX_LOG });
}

function source(files: readonly string[], progress: (message: string) => void): Knex.MigrationSource<string> {
  return {
    getMigrations: async () => await Promise.resolve([...files]),
    getMigrationName: (file) => file,
    getMigration: async (file) => {
      const sql = await readFile(`${FOLDER}${file}`, "utf8");
      return {
        up: async (knex) => {
          progress(`Migrating the database: ${file}`);
          try {
            if (!CONCURRENT.test(file)) await knex.raw(`SELECT pg_advisory_xact_lock(${FILE_LOCK})`);
            await knex.raw(sql);
          } catch (cause) {
            throw new MigrationError(`The migration ${file} failed: ${said(cause)}. Those before it are done; it is tried again at the next start.`, { cause });
          }
        },
        down: async () => await Promise.reject(new Error("migrations only go forward")),
        ...(CONCURRENT.test(file) ? { config: { transaction: false } } : {}),
      };
    },
  };
}
