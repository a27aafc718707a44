// Presence as time passes, in one process and in two.
import { expect } from "chai";
import type { Clock } from "../../src/clock.js";
import { Presence } from "../../src/ephemeral/presence.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { Database } from "../../src/storage/database.js";
import { Interning } from "../../src/storage/interning.js";
import { readLog } from "../../src/storage/log.js";
import { freshDatabase } from "../support/postgres.js";
import { user } from "../support/rooms.js";

const MINUTE = 60_000;

describe("presence", () => {
  let database: Database;
  let bus: MemoryBus;
  let now = 1_700_000_000_000;
  const clock: Clock = { now: () => now, monotonic: () => now };
  let alice = 0;
  let one: Presence;
  let two: Presence;

  beforeEach(async () => {
    database = await Database.open({ address: await freshDatabase(), poolSize: 2 });
    bus = new MemoryBus();
    const names = await new Interning(database).users([user("alice")]);
    alice = names.get(user("alice")) ?? 0;
    await database.write({ name: "test_account", text: "INSERT INTO accounts (user_nid, created_ts) VALUES ($1, 0)" }, [alice]);
    one = await Presence.start({ database, bus, clock, enabled: true });
    two = await Presence.start({ database, bus, clock, enabled: true });
  });
  afterEach(async () => {
    await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
    await bus[Symbol.asyncDispose]();
    await database.close();
  });

  const state = async (): Promise<string> => (await one.get(alice)).presence;
  async function pass(milliseconds: number): Promise<void> {
    now += milliseconds;
    await Promise.all([one.sweep(), two.sweep()]);
  }
  const transitions = async (): Promise<number> =>
    (await readLog(database, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, { kinds: ["presence"], users: [alice] })).length;

  it("who syncs is online, then idle, and offline when the client is gone", async () => {
    const gone = await one.syncing(alice, "A", "online");
    expect(await one.get(alice)).to.deep.equal({ presence: "online", last_active_ago: 0, currently_active: true });
    await pass(2 * MINUTE);
    expect(await two.get(alice)).to.deep.equal({ presence: "online", last_active_ago: 2 * MINUTE, currently_active: false });
    await pass(4 * MINUTE);
    expect(await state()).to.equal("unavailable");
    await pass(MINUTE);
    expect(await state()).to.equal("unavailable");
    gone();
    await pass(MINUTE);
    expect(await state()).to.equal("offline");
    // Online, not currently active, unavailable, offline: each told once, though two processes let time pass.
    expect(await transitions()).to.equal(4);
  });

  it("activity brings an idle user back, in whichever process", async () => {
    const gone = await one.syncing(alice, "A", "online");
    await pass(6 * MINUTE);
    expect(await state()).to.equal("unavailable");
    await two.active(alice);
    expect(await one.get(alice)).to.deep.equal({ presence: "online", last_active_ago: 0, currently_active: true });
    await pass(30_000);
    await two.active(alice);
    await pass(50_000);
    expect((await one.get(alice)).currently_active).to.equal(true);
    gone();
  });

  it("an open sync in one process keeps a user there for the other", async () => {
    const gone = await two.syncing(alice, "A", "online");
    for (let round = 0; round < 10; round += 1) await pass(20_000);
    expect(await state()).to.equal("online");
    gone();
  });

  it("a second client that idles does not make the user idle; an idle one alone does", async () => {
    (await one.syncing(alice, "B", "unavailable"))();
    expect(await state()).to.equal("unavailable");
    (await one.syncing(alice, "A", "online"))();
    expect(await state()).to.equal("online");
    (await two.syncing(alice, "B", "unavailable"))();
    expect(await state()).to.equal("online");
    (await two.syncing(alice, "B", "offline"))();
    expect(await state()).to.equal("online");
    (await two.syncing(alice, "A", "unavailable"))();
    expect(await state()).to.equal("unavailable");
  });

  it("who is busy stays so whatever clients notice, until the user says otherwise or is gone", async () => {
    const busy = "org.matrix.msc3026.busy";
    const gone = await one.syncing(alice, "A", "online");
    await one.set(alice, busy, "in a meeting");
    await two.active(alice);
    (await two.syncing(alice, "B", "unavailable"))();
    await pass(10 * MINUTE);
    expect(await two.get(alice)).to.include({ presence: busy, status_msg: "in a meeting" });
    await one.set(alice, "online", null);
    expect(await state()).to.equal("online");
    await one.set(alice, busy, null);
    gone();
    await pass(MINUTE);
    expect(await state()).to.equal("offline");
  });

  it("keeps the status message through transitions, and starts again with those who were there", async () => {
    await one.set(alice, "online", "at work");
    const again = await Presence.start({ database, bus, clock, enabled: true });
    now += 2 * MINUTE;
    await again.sweep();
    expect(await again.get(alice)).to.include({ presence: "offline", status_msg: "at work" });
    await again[Symbol.asyncDispose]();
  });
});
