// What keeps a server from starting: one sentence for the person at the console, an end with code 2, no stack, no hang.
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { checkConfig, ConfigError } from "../../src/config.js";
import { startServer } from "../../src/server.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { MigrationError } from "../../src/storage/migrations.js";
import { emptyDatabase, freshDatabase } from "../support/postgres.js";
import { databaseUrl } from "../support/server.js";

/** Runs statements on a database, as its owner. */
async function run(address: DatabaseAddress, ...statements: readonly string[]): Promise<void> {
  await using database = await Database.open({ address, poolSize: 1 });
  const session = await database.connect();
  for (const statement of statements) await session.query(statement);
  await session.end();
}

/** The address of the same database for somebody else, or of another database. */
function changed(address: DatabaseAddress, change: (url: URL) => void): string {
  const url = new URL(databaseUrl(address));
  change(url);
  return url.href;
}

const hasProc = process.platform === "linux";

describe("what keeps a server from starting", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hansa-start-"));
    await writeFile(join(folder, "file"), "no folder");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** The error with which a start in this process ends. */
  async function fault(url: string, settings: Record<string, unknown> = {}): Promise<Error> {
    const config = checkConfig({
      listen: { port: 0 },
      data_folder: join(folder, "data"),
      database: { url, pool_size: 2 },
      log: { level: "silent" },
      ...settings,
    });
    try {
      await using server = await startServer(config);
      throw new Error(`it started as ${server.url}`);
    } catch (error) {
      if (error instanceof ConfigError || error instanceof MigrationError) return error;
      throw error;
    }
  }

  const saying = async (pattern: RegExp, url: string, settings?: Record<string, unknown>): Promise<void> => {
    const { message } = await fault(url, settings);
    expect(message).to.match(pattern).and.to.not.match(/\n|hidden/);
  };

  it("a folder below a file, or that takes no files", async () => {
    const url = databaseUrl(await freshDatabase());
    await saying(/^The folder .*file\/data cannot be used \(a part of the path is a file\)\. Check data_folder\.$/, url, { data_folder: join(folder, "file", "data") });
    await saying(/^The folder .*file\/incoming cannot be used \(a part of the path is a file\)\. Check media\.folder\.$/, url, { media: { folder: join(folder, "file") } });
    await saying(/^The folder .*file cannot be used \(it is a file\)\. Check data_folder\.$/, url, { data_folder: join(folder, "file") });
  });

  it("a user or a database that PostgreSQL does not know, and a user who may not", async () => {
    const address = await emptyDatabase();
    const stranger = changed(address, (where) => {
      where.username = "stranger";
      where.password = "hidden";
    });
    await saying(/^The database at .* refuses the user name or the password\. Check database\.url\.$/, stranger);
    await saying(/^The database at .*\/nowhere does not exist\. Check database\.url\.$/, changed(address, (where) => (where.pathname = "/nowhere")));
    const role = `may_not_${process.pid}`;
    await run(address, `CREATE ROLE ${role} LOGIN`);
    try {
      await saying(/permission denied for schema public/, changed(address, (where) => (where.username = role)));
    } finally {
      await run(address, `DROP ROLE ${role}`);
    }
  });

  it("a PostgreSQL that is too old, and a schema that is too new", async () => {
    const address = await freshDatabase();
    const url = databaseUrl(address);
    await run(address, "UPDATE schema_compat SET needs = 999999");
    await saying(/^The database was migrated by a newer Hansa and needs one that knows migration 999999; this one ends at \d+\.$/, url);
    // What a PostgreSQL 14 would say of itself.
    await run(
      address,
      "CREATE SCHEMA older",
      "CREATE FUNCTION older.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT CASE $1 WHEN 'server_version_num' THEN '140011' ELSE '14.11' END $$",
      `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = older, pg_catalog, public`,
    );
    await saying(/^The database at .* is PostgreSQL 14\.11; Hansa needs 15 or newer\.$/, url);
  });

  it("a certificate that is not there", async () => {
    const listen = { certificate_path: join(folder, "no.crt"), key_path: join(folder, "no.key") };
    await saying(/^The certificate .*no\.crt with the key .*no\.key cannot be used: change federation\.listen\.$/, databaseUrl(await freshDatabase()), { federation: { listen } });
  });

  (hasProc ? it : it.skip)("a folder in which no folder can ever be made (/proc is needed)", async function () {
    this.timeout(600_000);
    const { PATH } = process.env;
    const child = spawn(process.execPath, ["dist/src/main.js", "serve"], { env: { PATH, HANSA_DATA_FOLDER: "/proc/hansa" }, timeout: 500_000, killSignal: "SIGKILL" });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect([code, said]).to.deep.equal([2, "The folder /proc/hansa cannot be used (its file system takes no folders). Check data_folder.\n"]);
  });

  it("but not a PostgreSQL whose data folder was removed under it", async function () {
    this.timeout(600_000);
    const data = join(folder, "embedded");
    const first = await EmbeddedPostgres.start({ dataFolder: data });
    const old = first.pid();
    // As after a kill of Hansa: nobody looks after it any longer. Who is connected keeps it from being stopped.
    await using user = await Database.open({ address: { socketFolder: first.socketFolder, user: first.user, database: "postgres" }, poolSize: 1 });
    await first.stop();
    await user.close();
    await rm(data, { recursive: true });
    const second = await EmbeddedPostgres.start({ dataFolder: data });
    try {
      expect(second.pid()).to.be.a("number").that.is.not.equal(old);
      expect(await readdir(join(data, "postgres"))).to.include("postmaster.pid");
    } finally {
      await second.stop();
    }
  });
});
