// The bus: in every way of running it, what one process publishes reaches all processes once, and a fault costs no more
// than what was under way.
import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { setLogLevel } from "../../src/log.js";
import { MemoryBus, PostgresBus, RedisBus, type Bus } from "../../src/storage/bus.js";
import { Database } from "../../src/storage/database.js";
import { eventually } from "../support/eventually.js";
import { freshDatabase } from "../support/postgres.js";
import { RedisServer } from "../support/redis-server.js";

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

/** Notes what arrives on a channel. */
function heardBy(bus: Bus, channel = "log"): string[] {
  const heard: string[] = [];
  bus.subscribe(channel, (message) => heard.push(message));
  return heard;
}

/** Publishes until the other has heard something: then both are connected. */
async function connected(from: Bus, to: Bus): Promise<void> {
  const heard = heardBy(to, "connected");
  await eventually("the buses are connected", async () => {
    from.publish("connected", "?");
    await sleep(20);
    return heard.length > 0;
  });
}

/** What holds for any two buses over the same medium; the same bus twice inside one process. */
async function expectDelivery(first: Bus, second: Bus): Promise<void> {
  const messages = ["1", "", "two words", "of\ntwo lines", '{"quoted":"\\n\\u0000"}', "⚓ Käpt’n", "x".repeat(5_000)];
  const [mine, theirs, others] = [heardBy(first), heardBy(second), heardBy(second, "typing")];
  for (const message of messages) first.publish("log", message);
  expect(mine, "the publisher's own subscribers hear at once").to.deep.equal(messages);
  await eventually("the other hears all", () => theirs.length >= messages.length);

  const stop = first.subscribe("log", () => expect.fail("no longer subscribed"));
  stop();
  second.publish("log", "back");
  await eventually("the answer", () => mine.includes("back"));
  await sleep(50);
  expect(mine).to.deep.equal([...messages, "back"]);
  expect(theirs).to.deep.equal([...messages, "back"]);
  expect(others, "on another channel").to.deep.equal([]);
}

/** The middle of the times from publishing to hearing, in milliseconds. */
async function medianDelay(from: Bus, to: Bus): Promise<number> {
  const delays: number[] = [];
  for (let round = 0; round < 51; round++) {
    const started = performance.now();
    await new Promise<void>((resolve) => {
      const stop = to.subscribe("delay", () => {
        stop();
        resolve();
      });
      from.publish("delay", String(round));
    });
    delays.push(performance.now() - started);
  }
  return delays.toSorted((a, b) => a - b)[25] ?? Infinity;
}

// The faults that are caused here would be told at length.
before(() => setLogLevel("silent"));

describe("bus in memory", () => {
  it("delivers to all subscribers of the process", async () => {
    await using bus = new MemoryBus();
    await expectDelivery(bus, bus);
  });

  it("a subscriber that fails does not keep others from hearing", async () => {
    await using bus = new MemoryBus();
    bus.subscribe("log", () => {
      throw new Error("a failure");
    });
    const heard = heardBy(bus);
    bus.publish("log", "heard");
    expect(heard).to.deep.equal(["heard"]);
  });
});

describe("bus over PostgreSQL", () => {
  it("leaves no connection behind when it ends while it connects", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    const connections = async (): Promise<number> => {
      const [row] = await database.read(
        { name: "test_connections", text: "SELECT count(*)::int AS number FROM pg_stat_activity WHERE datname = current_database()" },
        [],
      );
      return Number(row?.["number"]);
    };
    const before = await connections();
    for (let round = 0; round < 5; round++) {
      await using bus = new PostgresBus(database.connectionConfig());
      bus.publish("log", "unheard");
      await sleep(round * 2);
    }
    await sleep(200);
    await eventually("they are gone", async () => (await connections()) <= before);
  });

  it("delivers to the other process and to itself, soon", async () => {
    const database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    await using first = new PostgresBus(database.connectionConfig());
    await using second = new PostgresBus(database.connectionConfig());
    await database.close();
    await connected(first, second);
    await connected(second, first);
    await expectDelivery(first, second);
    expect(await medianDelay(first, second)).to.be.below(500);
  });

  it("survives what it does not understand, and drops what is too large", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    await using first = new PostgresBus(database.connectionConfig());
    await using second = new PostgresBus(database.connectionConfig());
    await connected(first, second);
    const heard = heardBy(second);
    for (const payload of ["", "nonsense", "{}", '[1, "packet", "a b"]']) {
      await database.read({ name: "test_notify", text: "SELECT pg_notify('hansa', $1)" }, [payload]);
    }
    first.publish("log", "x".repeat(100_000));
    first.publish("log", "after it");
    await eventually("the next message", () => heard.length > 0);
    expect(heard).to.deep.equal(["after it"]);
  });

  it("connects again when its connection is cut", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    await using first = new PostgresBus(database.connectionConfig());
    await using second = new PostgresBus(database.connectionConfig());
    await connected(first, second);
    await database.read(
      {
        name: "test_cut",
        text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify%')`,
      },
      [],
    );
    const heard = heardBy(second);
    await eventually("messages arrive again", async () => {
      first.publish("log", "again");
      await sleep(50);
      return heard.length > 0;
    });
  });
});

(hasRedis ? describe : describe.skip)("bus over Redis", () => {
  it("delivers to the other process and to itself, soon", async () => {
    await using server = await RedisServer.start();
    await using first = new RedisBus(server.url, new MemoryBus());
    await using second = new RedisBus(server.url, new MemoryBus());
    await connected(first, second);
    await connected(second, first);
    await expectDelivery(first, second);
    expect(await medianDelay(first, second)).to.be.below(500);
  });

  it("falls back to PostgreSQL while Redis is away, and returns", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    const server = await RedisServer.start();
    await using first = new RedisBus(server.url, new PostgresBus(database.connectionConfig()));
    await using second = new RedisBus(server.url, new PostgresBus(database.connectionConfig()));
    await connected(first, second);
    await server.kill();
    await connected(first, second);
    await connected(second, first);
    await expectDelivery(first, second);

    await using later = await RedisServer.start(server.port);
    const heard = heardBy(second, "later");
    await eventually("messages travel over Redis again", async () => {
      first.publish("later", "?");
      await sleep(50);
      return heard.length > 0 && (await later.published()) > 0;
    });
  });

  it("takes a Redis that hangs for one that is away", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    await using server = await RedisServer.start();
    await using first = new RedisBus(server.url, new PostgresBus(database.connectionConfig()));
    await using second = new RedisBus(server.url, new PostgresBus(database.connectionConfig()));
    await connected(first, second);
    const heard = heardBy(second);
    server.hang();
    first.publish("log", "over PostgreSQL");
    await eventually("the message", () => heard.length > 0);
  });

  it("works before Redis does", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 1 });
    const url = "redis://127.0.0.1:1";
    await using first = new RedisBus(url, new PostgresBus(database.connectionConfig()));
    await using second = new RedisBus(url, new PostgresBus(database.connectionConfig()));
    await connected(first, second);
    await expectDelivery(first, second);
  });
});
