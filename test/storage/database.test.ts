// Connections and transactions against a real PostgreSQL: what fulfils, what fails, and what heals.
import { expect } from "chai";
import { CommitUnknownError, Database } from "../../src/storage/database.js";
import { eventually } from "../support/eventually.js";
import { freshDatabase } from "../support/postgres.js";

const statement = (text: string): { name: string; text: string } => ({ name: text.slice(0, 60), text });

async function failure(promise: Promise<unknown>): Promise<Error> {
  return await promise.then(
    () => {
      throw new Error("it did not fail");
    },
    (error: Error) => error,
  );
}

describe("database", () => {
  let database: Database;

  before(async () => {
    database = await Database.open({ address: await freshDatabase(), poolSize: 4 });
    await database.transaction(async (tx) => {
      await tx.query(statement("CREATE TABLE things (id bigint PRIMARY KEY, text text)"), []);
    });
  });
  after(() => database.close());

  const insert = statement("INSERT INTO things VALUES ($1, $2)");
  const count = statement("SELECT count(*) AS count FROM things WHERE id = $1");

  it("gives bigint as number and refuses what a number cannot hold", async () => {
    expect(await database.read(statement("SELECT 9007199254740991::bigint AS big, '{1,2}'::bigint[] AS many"), [])).to.deep.equal([
      { big: 9007199254740991, many: [1, 2] },
    ]);
    expect(await failure(database.read(statement("SELECT 9007199254740993::bigint AS big"), []))).to.be.instanceOf(RangeError);
  });

  it("commits, and calls back only then", async () => {
    const seen: string[] = [];
    await database.transaction(async (tx) => {
      tx.afterCommit(() => seen.push("committed"));
      await tx.query(insert, [1, "one"]);
      seen.push("written");
    });
    expect(seen).to.deep.equal(["written", "committed"]);
  });

  it("a failure that nobody awaited fails the transaction: COMMIT alone would be fulfilled as ROLLBACK", async () => {
    let called = false;
    const error = await failure(
      database.transaction(async (tx) => {
        tx.afterCommit(() => (called = true));
        tx.query(insert, [2, "two"]).catch(() => undefined);
        tx.query(insert, [2, "two again"]).catch(() => undefined);
        await Promise.resolve();
      }),
    );
    expect(error).to.have.property("code", "23505");
    expect(called).to.equal(false);
    expect(await database.read(count, [2])).to.deep.equal([{ count: 0 }]);
  });

  it("a failure in the flush that takes the position fails the transaction", async () => {
    const error = await failure(
      database.transaction(async (tx) => {
        tx.append([{ kind: "event", reference: 1 }]);
        tx.atPosition(statement("INSERT INTO things VALUES (currval('log_position') / 0, 'never')"), []);
        await Promise.resolve();
      }),
    );
    expect(error).to.have.property("code", "22012");
    expect(await database.read(statement("SELECT count(*) AS count FROM log"), [])).to.deep.equal([{ count: 0 }]);
  });

  it("gives all entries of a transaction one position, visible to its statements", async () => {
    let position: number | undefined;
    await database.transaction(async (tx) => {
      tx.append([{ kind: "event", reference: 5 }, { kind: "receipt", user_nid: 3 }]);
      tx.atPosition(statement("INSERT INTO things SELECT currval('log_position') + 1000, 'at position'"), []);
      tx.afterCommit((at) => (position = at));
      await Promise.resolve();
    });
    const rows = await database.read(statement("SELECT position, index, kind FROM log ORDER BY position, index"), []);
    expect(rows).to.deep.equal([
      { position, index: 1, kind: 1 },
      { position, index: 2, kind: 4 },
    ]);
    expect(await database.read(count, [(position ?? 0) + 1000])).to.deep.equal([{ count: 1 }]);
  });

  it("runs again after a deadlock", async () => {
    await database.transaction(async (tx) => {
      await tx.query(insert, [10, "a"]);
      await tx.query(insert, [11, "b"]);
    });
    const update = statement("UPDATE things SET text = text || $2 WHERE id = $1");
    let attempts = 0;
    // Both hold their first row before either asks for its second.
    let arrived = 0;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const meet = async (): Promise<void> => {
      arrived += 1;
      if (arrived === 2) open();
      await gate;
    };
    const crossing = async (first: number, second: number): Promise<void> =>
      await database.transaction(async (tx) => {
        attempts += 1;
        await tx.query(update, [first, "x"]);
        await meet();
        await tx.query(update, [second, "x"]);
      });
    await Promise.all([crossing(10, 11), crossing(11, 10)]);
    expect(attempts, "one of them at least again").to.be.at.least(3);
    expect(await database.read(statement("SELECT text FROM things WHERE id IN (10, 11) ORDER BY id"), [])).to.deep.equal([
      { text: "axx" },
      { text: "bxx" },
    ]);
  });

  it("heals when PostgreSQL ends its connections", async () => {
    await Promise.all(Array.from({ length: 8 }, () => database.read(count, [1])));
    const session = await database.connect();
    await session.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await session.end();
    expect(await database.read(count, [1])).to.deep.equal([{ count: 1 }]);
    await database.transaction(async (tx) => {
      await tx.query(insert, [20, "after"]);
    });
    expect(await database.read(count, [20])).to.deep.equal([{ count: 1 }]);
  });

  it("runs again when the connection is lost before COMMIT, and never gives success for what was lost", async () => {
    const session = await database.connect();
    let attempts = 0;
    await database.transaction(async (tx) => {
      attempts += 1;
      const [row] = await tx.query<{ pid: number }>(statement("SELECT pg_backend_pid() AS pid"), []);
      await tx.query(insert, [30, "once"]);
      if (attempts === 1) await session.query("SELECT pg_terminate_backend($1)", [row?.pid]);
      await tx.query(insert, [31, "once"]);
    });
    await session.end();
    expect(attempts).to.equal(2);
    expect(await database.read(count, [30])).to.deep.equal([{ count: 1 }]);
  });

  it("a connection lost during COMMIT is unknown, not run again", async () => {
    const session = await database.connect();
    let attempts = 0;
    let cut: Promise<unknown> | undefined;
    await session.query("SELECT pg_advisory_lock(77)");
    const under = failure(
      database.transaction(async (tx) => {
        attempts += 1;
        await tx.query(insert, [40, "unknown"]);
        const [row] = await tx.query<{ pid: number }>(statement("SELECT pg_backend_pid() AS pid"), []);
        // The flush that ends with COMMIT waits for our lock; the backend dies with COMMIT in its input.
        tx.atPosition(statement("SELECT pg_advisory_xact_lock(77)"), []);
        const waits = { text: "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1", values: [row?.pid] };
        cut = eventually("it waits for our lock", async () => (await session.query(waits)).rows.length > 0).then(() =>
          session.query("SELECT pg_terminate_backend($1)", [row?.pid]),
        );
      }),
    );
    expect(await under).to.be.instanceOf(CommitUnknownError);
    await cut;
    await session.end();
    expect(attempts).to.equal(1);
  });
});
