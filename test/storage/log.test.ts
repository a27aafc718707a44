// The log: positions become visible in their order whoever writes, and followers and readers miss nothing.
import { expect } from "chai";
import { systemClock } from "../../src/clock.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { epochs, isPositionValid } from "../../src/storage/epoch.js";
import { LOG_LOCK, type PositionedEntry } from "../../src/storage/log-entry.js";
import { advanceReader, LOG_CHANNEL, LogFollower, type LogReader, logHead, readLog } from "../../src/storage/log.js";
import { keepLogPartitions } from "../../src/storage/log-upkeep.js";
import { freshDatabase } from "../support/postgres.js";
import { seeded } from "../support/rooms.js";

const NOTHING = { name: "nothing", text: "SELECT 1" };
const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("log", () => {
  let address: DatabaseAddress;
  let database: Database;
  beforeEach(async () => {
    address = await freshDatabase();
    database = await Database.open({ address, poolSize: 6 });
  });
  afterEach(() => database.close());

  async function append(entries: Parameters<Parameters<Parameters<Database["transaction"]>[0]>[0]["append"]>[0]): Promise<number> {
    let position = 0;
    await database.transaction(async (tx) => {
      tx.append(entries);
      tx.afterCommit((at) => (position = at ?? 0));
      await tx.query(NOTHING, []);
    });
    return position;
  }

  it("random writers of two processes: a reader that has seen a position never meets a smaller one later", async () => {
    const seed = Date.now() % 1_000_000;
    const next = seeded(seed);
    await using second = await Database.open({ address, poolSize: 6 });
    const written = new Set<number>();
    const test = { writing: true };
    const writer = async (from: Database, count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1) {
        const fails = next() < 0.1;
        const entries = Array.from({ length: 1 + Math.floor(next() * 3) }, () => ({ kind: "event" as const, room_nid: 1 }));
        const pause = next() < 0.3 ? next() * 3 : 0;
        await from
          .transaction(async (tx) => {
            tx.append(entries);
            tx.afterCommit((position) => written.add(position ?? -1));
            await tx.query(NOTHING, []);
            await sleep(pause);
            // A transaction that fails after it took its position leaves a gap, which must stay one.
            if (fails) tx.atPosition({ name: "fails", text: "SELECT 1 / (currval('log_position') * 0)" }, []);
          })
          .catch((error: unknown) => expect(error).to.have.property("code", "22012"));
      }
    };
    const observe = async (from: Database): Promise<Set<number>> => {
      const seen = new Set<number>();
      let head = 0;
      do {
        const rows = await from.read<{ position: number }>({ name: "all", text: "SELECT position FROM log" }, []);
        const fresh = rows.filter(({ position }) => !seen.has(position));
        for (const { position } of fresh) expect(position, `seed ${seed}`).to.be.greaterThan(head);
        for (const { position } of fresh) seen.add(position);
        head = Math.max(head, ...seen);
      } while (test.writing);
      return seen;
    };
    const observers = [observe(database), observe(second)];
    await Promise.all(Array.from({ length: 10 }, (_, index) => writer(index % 2 === 0 ? database : second, 40)));
    test.writing = false;
    await Promise.all(observers);
    const last = await database.read<{ position: number }>({ name: "all", text: "SELECT position FROM log" }, []);
    expect(new Set(last.map(({ position }) => position)), `seed ${seed}`).to.deep.equal(written);
  });

  it("without the lock the same would fail: a slow writer's smaller position shows up late", async () => {
    // The control: two writers that draw positions without waiting for each other.
    const slow = await database.connect();
    await slow.query("BEGIN");
    await slow.query("INSERT INTO log (position, index, kind) SELECT nextval('log_position'), 1, 1");
    const quick = await database.connect();
    await quick.query("INSERT INTO log (position, index, kind) SELECT nextval('log_position'), 1, 1");
    const head = await logHead(database);
    await slow.query("COMMIT");
    const [late] = await database.read<{ position: number }>({ name: "late", text: "SELECT min(position) AS position FROM log" }, []);
    expect(late?.position).to.be.lessThan(head);
    await Promise.all([slow.end(), quick.end()]);
  });

  it("a delayed writer delays those behind it, not what is read", async () => {
    const holder = await database.connect();
    await holder.query(`SELECT pg_advisory_lock(${LOG_LOCK})`);
    const waiting = append([{ kind: "event" }]);
    expect(await Promise.race([waiting, sleep(50).then(() => "waits")])).to.equal("waits");
    expect(await logHead(database)).to.equal(0);
    await holder.query(`SELECT pg_advisory_unlock(${LOG_LOCK})`);
    const position = await waiting;
    expect(await logHead(database)).to.equal(position);
    await holder.end();
  });

  it("a follower wakes by room and user, keeps the tail, and needs no hint", async () => {
    await append([{ kind: "event", room_nid: 1 }]);
    await using bus = new MemoryBus();
    await using follower = await LogFollower.start(database, bus, systemClock);
    const woken: string[] = [];
    const first = follower.subscribe({ rooms: [1], users: [7] }, () => woken.push("first"));
    const second = follower.subscribe({ rooms: [2] }, () => woken.push("second"));
    const start = follower.head;
    const position = await append([{ kind: "event", room_nid: 1, reference: 5 }, { kind: "receipt", room_nid: 1, user_nid: 7 }]);
    bus.publish(LOG_CHANNEL, String(position));
    expect(await follower.reached(position, 60_000)).to.equal(true);
    expect(woken).to.deep.equal(["first"]);
    second.add({ users: [9] });
    first.close();
    const unhinted = await append([{ kind: "account_data", user_nid: 9 }, { kind: "event", room_nid: 1 }]);
    expect(await follower.reached(unhinted, 60_000)).to.equal(true);
    expect(woken).to.deep.equal(["first", "second"]);
    const range = { after: start, upTo: unhinted };
    expect(follower.roomEntries(1, range)?.map((entry) => [entry.position, entry.kind])).to.deep.equal([
      [position, "event"],
      [position, "receipt"],
      [unhinted, "event"],
    ]);
    expect(follower.roomEntries(1, { after: position, upTo: unhinted })).to.have.length(1);
    expect(follower.userEntries(9, range)).to.have.length(1);
    expect(follower.roomEntries(3, range)).to.deep.equal([]);
    expect(follower.roomEntries(1, { after: start - 1, upTo: unhinted })).to.equal(undefined);
    expect(await readLog(database, { after: 0, upTo: unhinted }, { kinds: ["event"], rooms: [1] })).to.have.length(3);
    expect(follower.healthy).to.equal(true);
    second.close();
  });

  it("a follower takes what its own process committed only where nothing can have come between", async () => {
    await using bus = new MemoryBus();
    // It reads by itself once a second. A slow machine is given further chances to be quicker than that.
    for (let attempt = 0; ; attempt += 1) {
      await using follower = await LogFollower.start(database, bus, systemClock);
      const begun = performance.now();
      const { head } = follower;
      const mine = await append([{ kind: "event", room_nid: 7 }]);
      follower.committed(mine, [{ kind: "event", room_nid: 7 }]);
      const taken = { head: follower.head, entries: follower.roomEntries(7, { after: head, upTo: mine }) };
      const theirs = await append([{ kind: "event", room_nid: 8 }]);
      const next = await append([{ kind: "event", room_nid: 7 }]);
      follower.committed(next, [{ kind: "event", room_nid: 7 }]);
      const waits = follower.head;
      if (performance.now() - begun > 500 && attempt < 100) continue;
      // At once, without a query.
      expect(taken).to.deep.equal({ head: mine, entries: [{ kind: "event", room_nid: 7, position: mine }] });
      expect(waits).to.equal(mine);
      expect(await follower.reached(next, 60_000)).to.equal(true);
      expect(follower.roomEntries(8, { after: head, upTo: next })?.map(({ position }) => position)).to.deep.equal([theirs]);
      return;
    }
  });

  it("a follower shortens its tail to whole positions, and a transaction larger than a page is read whole", async () => {
    await using bus = new MemoryBus();
    await using follower = await LogFollower.start(database, bus, systemClock);
    const start = follower.head;
    let position = 0;
    for (let round = 0; round < 14; round += 1) {
      position = await append(Array.from({ length: 2_500 }, (_, index) => ({ kind: "event" as const, room_nid: index % 5 })));
    }
    expect(await follower.reached(position, 60_000)).to.equal(true);
    expect(follower.allEntries({ after: start, upTo: position })).to.equal(undefined);
    expect(follower.allEntries({ after: position - 1, upTo: position })).to.have.length(2_500);
    expect(follower.roomEntries(3, { after: position - 2, upTo: position })).to.have.length(1_000);
  });

  it("a reader's cursor moves with its effect, once for all processes", async () => {
    await database.write({ name: "effects", text: "CREATE TABLE effects (position bigint, index integer)" }, []);
    for (let round = 0; round < 30; round += 1) await append(Array.from({ length: 150 }, () => ({ kind: "event" as const })));
    let crashes = 0;
    const reader: LogReader = {
      name: "test",
      apply: async (tx, entries: readonly PositionedEntry[]) => {
        const insert = { name: "effect", text: "INSERT INTO effects SELECT * FROM unnest($1::bigint[], $2::integer[])" };
        await tx.query(insert, [entries.map((entry) => entry.position), entries.map((_, index) => index)]);
        crashes += 1;
        if (crashes % 2 === 1) throw new Error("the process died here");
      },
    };
    let done = false;
    while (!done) {
      const both = await Promise.allSettled([advanceReader(database, reader), advanceReader(database, reader)]);
      done = both.every((outcome) => outcome.status === "fulfilled" && outcome.value.applied === 0);
    }
    const [row] = await database.read<{ count: number; positions: number }>(
      { name: "count", text: "SELECT count(*) AS count, count(DISTINCT position) AS positions FROM effects" },
      [],
    );
    expect(row).to.deep.equal({ count: 30 * 150, positions: 30 });
  });

  it("makes partitions ahead, and drops those behind every cursor that are old", async () => {
    const partitions = async (): Promise<string[]> =>
      (
        await database.read<{ name: string }>(
          { name: "names", text: "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'log'::regclass ORDER BY 1" },
          [],
        )
      ).map((row) => row.name);
    await database.write({ name: "jump", text: "SELECT setval('log_position', 1500000)" }, []);
    await append([{ kind: "event" }]);
    await keepLogPartitions(database);
    expect(await partitions()).to.deep.equal(["log_p0", "log_p1", "log_p2", "log_p3"]);
    await database.write({ name: "age", text: "INSERT INTO log_clock VALUES (now() - interval '31 days', 1400000)" }, []);
    await database.write({ name: "cursor", text: "INSERT INTO log_cursors VALUES ('slow', 900000)" }, []);
    await keepLogPartitions(database);
    expect(await partitions()).to.include("log_p0");
    await database.write({ name: "cursor_moves", text: "UPDATE log_cursors SET position = 1000001" }, []);
    await keepLogPartitions(database);
    expect(await partitions()).to.deep.equal(["log_p1", "log_p2", "log_p3"]);
  });

  it("knows its epochs", async () => {
    const [first] = await epochs(database);
    expect(await epochs(database)).to.have.length(1);
    const restored = [...(await epochs(database)), { epoch: 99, began_at: 10 }];
    expect(isPositionValid(restored, first?.epoch ?? 0, 10)).to.equal(true);
    expect(isPositionValid(restored, first?.epoch ?? 0, 11)).to.equal(false);
    expect(isPositionValid(restored, 99, 11)).to.equal(true);
    expect(isPositionValid(restored, 5, 1)).to.equal(false);
  });
});
