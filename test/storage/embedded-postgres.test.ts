// Our own PostgreSQL server: it starts, is adopted after a kill of its starter, and comes back when it is killed itself.
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { ConfigError } from "../../src/config.js";
import { Database } from "../../src/storage/database.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { holdAlone } from "../../src/storage/sole-process.js";
import { eventually } from "../support/eventually.js";

const HELD = { name: "held", text: "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted" };

async function open(server: EmbeddedPostgres): Promise<Database> {
  const address = { socketFolder: server.socketFolder, user: server.user, database: "postgres" };
  return await Database.open({ address, poolSize: 2 });
}

describe("embedded PostgreSQL", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "hansa-embedded-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const fsync = { name: "fsync", text: "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS sync" };

  it("creates a durable server in the data folder, and says so", async () => {
    const said: string[] = [];
    const server = await EmbeddedPostgres.start({ dataFolder: folder, progress: (message) => said.push(message) });
    await using database = await open(server);
    expect(await database.read(fsync, [])).to.deep.equal([{ fsync: "on", sync: "on" }]);
    expect((await stat(server.socketFolder)).mode & 0o077).to.equal(0);
    expect(said[0]).to.contain(folder);
    expect(said).to.have.length(2);
    await database.close();
    await server.stop();
    expect(server.pid()).to.equal(undefined);
  });

  it("adopts a server that is still running, and leaves it to others who use it", async () => {
    const first = await EmbeddedPostgres.start({ dataFolder: folder });
    const said: string[] = [];
    const second = await EmbeddedPostgres.start({ dataFolder: folder, progress: (message) => said.push(message) });
    expect(second.pid()).to.equal(first.pid());
    expect(said.join()).to.contain("still running");
    await using database = await open(second);
    await first.stop();
    expect(await database.read(fsync, [])).to.have.length(1);
    await database.close();
    await second.stop();
    expect(second.pid()).to.equal(undefined);
  });

  it("starts the server again when it is killed, and connections heal", async () => {
    const server = await EmbeddedPostgres.start({ dataFolder: folder });
    await using database = await open(server);
    const before = server.pid();
    if (before === undefined) throw new Error("there is no server");
    process.kill(before, "SIGKILL");
    await eventually("it answers again", () => database.read(fsync, []).then(() => server.pid() !== before, () => false));
    await database.close();
    await server.stop();
  });

  it("is held by one serving process, through a restart of PostgreSQL, and free when that one has ended", async () => {
    const server = await EmbeddedPostgres.start({ dataFolder: folder });
    await using database = await open(server);
    const refused = async (): Promise<void> => {
      const error = await holdAlone(database, folder).then(() => undefined, (reason: unknown) => reason);
      expect(error).to.be.instanceOf(ConfigError).with.property("message").that.contains(folder);
    };
    const held = await holdAlone(database, folder);
    await refused();
    const before = server.pid();
    if (before === undefined) throw new Error("there is no server");
    process.kill(before, "SIGKILL");
    await eventually("it is held again", async () => server.pid() !== before && (await database.read(HELD, []).catch(() => [])).length > 0);
    await refused();
    await held[Symbol.asyncDispose]();
    await (await holdAlone(database, folder))[Symbol.asyncDispose]();
    await database.close();
    await server.stop();
  }).timeout(600_000);
});
