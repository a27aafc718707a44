// The schema: applied once, by whoever comes first, also after a run that was killed.
import { expect } from "chai";
import { Database } from "../../src/storage/database.js";
import { migrate, MigrationError, SchemaTooNewError } from "../../src/storage/migrations.js";
import { cutLink } from "../support/cut-link.js";
import { emptyDatabase, freshDatabase } from "../support/postgres.js";

describe("migrations", () => {
  it("several processes at once apply each file once", async () => {
    const address = await emptyDatabase();
    await using one = await Database.open({ address, poolSize: 1 });
    await using two = await Database.open({ address, poolSize: 1 });
    const said: string[] = [];
    await Promise.all([migrate(one, (line) => said.push(line)), migrate(two, (line) => said.push(line))]);
    const done = await one.read({ name: "done", text: "SELECT name FROM knex_migrations ORDER BY id" }, []);
    expect(said).to.have.length(done.length);
    expect(new Set(said).size).to.equal(said.length);
  });

  it("goes on after a run that was killed while it held knex's own lock", async () => {
    await using database = await Database.open({ address: await emptyDatabase(), poolSize: 1 });
    await migrate(database);
    await database.transaction(async (tx) => {
      await tx.query({ name: "lock", text: "UPDATE knex_migrations_lock SET is_locked = 1" }, []);
      await tx.query({ name: "forget", text: "DELETE FROM knex_migrations WHERE name LIKE '0002%'" }, []);
      await tx.query({ name: "drop", text: "DROP SCHEMA IF EXISTS nothing" }, []);
    });
    // The second file's tables exist, so that it fails if it is tried: which shows that the run got past the lock.
    const error = await migrate(database).then(() => undefined, (reason: unknown) => reason);
    expect(error).to.be.instanceOf(MigrationError).with.nested.property("cause.code", "42P07");
    expect(error).to.have.property("message").that.matches(/^The migration 0002_rooms\.sql failed: relation "\w+" already exists\. [^\n]*$/);
  });

  it("comes to be in runs that are killed, each a little later than the one before", async () => {
    const address = await emptyDatabase();
    for (let statement = 1, done = false; !done; statement += statement < 24 ? 1 : 7) {
      await using link = await cutLink(address, statement, (statement >> 1) % 2 === 0 ? "before" : "behind");
      done = await Database.open({ address: link.address, poolSize: 1 })
        .then(async (database) => {
          await using opened = database;
          await migrate(opened);
          return true;
        })
        .catch((error: unknown) => {
          if (!link.isCut) throw error;
          return false;
        });
    }
    await using database = await Database.open({ address, poolSize: 1 });
    await using whole = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    const text = `SELECT (SELECT array_agg(name ORDER BY name) FROM knex_migrations) AS files,
      (SELECT array_agg(relname || ' ' || relkind::text ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace) AS relations,
      (SELECT array_agg(proname || ' ' || md5(prosrc) ORDER BY proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace) AS functions,
      (SELECT array_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal) AS triggers`;
    const schema = { name: "test_schema", text };
    expect(await database.read(schema, [])).to.deep.equal(await whole.read(schema, []));
  });

  it("refuses a database that needs a newer Hansa", async () => {
    await using database = await Database.open({ address: await emptyDatabase(), poolSize: 1 });
    await migrate(database);
    await database.transaction((tx) => tx.query({ name: "newer", text: "UPDATE schema_compat SET needs = 999999" }, []));
    const error = await migrate(database).then(() => undefined, (reason: unknown) => reason);
    expect(error).to.be.instanceOf(SchemaTooNewError);
  });
});
