// /sync below HTTP: what it tells of rooms, and that nothing is missed, told twice or told to the wrong people, whatever
// happens in what order.
import { randomInt } from "node:crypto";
import { expect } from "chai";
import { devicesChanged } from "../../src/accounts/device-lists.js";
import { sendToDevice } from "../../src/encryption/to-device.js";
import { devicesLoader } from "../../src/storage/to-device.js";
import { type EventId, parseDeviceId, type UserId } from "../../src/protocol/identifiers.js";
import { accepted } from "../../src/rooms/owner/draft.js";
import { parseToken } from "../../src/rooms/token.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { logHead } from "../../src/storage/log.js";
import { membershipsOfUser } from "../../src/storage/memberships.js";
import { fastSync } from "../../src/sync/fast-sync.js";
import { readSync } from "../../src/sync/read-sync.js";
import type { SyncReader, SyncRequest } from "../../src/sync/sync-request.js";
import { compileSyncFilter, NO_FILTER, type SyncFilter } from "../../src/sync/sync-filter.js";
import { sync } from "../../src/sync/sync.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, startProcess, state, type TestProcess, user } from "../support/rooms.js";
import { startSync, type TestSync } from "../support/sync.js";

const ALICE = user("alice");
const BOB = user("bob");

interface Asked {
  readonly since?: string | undefined;
  readonly filter?: SyncFilter;
  readonly fullState?: boolean;
  readonly stateAfter?: "state_after" | "org.matrix.msc4222.state_after";
  readonly timeoutMs?: number;
}

describe("sync", () => {
  let process: TestProcess;
  let syncing: TestSync;

  before(async () => {
    process = await startProcess(await freshDatabase());
    syncing = await startSync(process);
  });
  after(async () => {
    await syncing[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
  });

  const ask = async (who: UserId, asked: Asked = {}, device = "DEVICE"): Promise<JsonObject> => {
    const reader = await syncing.reader(who, device);
    syncing.services.follower.hurry();
    const text = await sync(
      syncing.services,
      reader,
      {
        since: asked.since,
        filter: asked.filter ?? NO_FILTER,
        fullState: asked.fullState ?? false,
        stateAfter: asked.stateAfter,
        timeoutMs: asked.timeoutMs ?? 0,
      },
      new AbortController().signal,
    );
    return objectAt(JSON.parse(text));
  };
  const submit = async (room: Parameters<TestProcess["owners"]["submit"]>[0], ...drafts: Parameters<TestProcess["owners"]["submit"]>[1]) => {
    const results = (await process.owners.submit(room, drafts)).map(accepted);
    const last = results.at(-1)?.position ?? 0;
    await syncing.services.follower.reached(last, 60_000);
    return results.map(({ event_id }) => event_id);
  };
  const room = (body: JsonObject, section: string, roomId: string): JsonObject => objectAt(body, "rooms", section, roomId);
  const ids = (section: JsonObject, part: string): string[] =>
    objectsAt(section, part, "events").map((event) => stringAt(event, "event_id") ?? "");
  const bodies = (section: JsonObject): string[] =>
    objectsAt(section, "timeline", "events").map((event) => stringAt(event, "content", "body") ?? String(event["type"]));

  it("initial: the room with its state at the start of the timeline, then only what is new", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const [topic] = await submit(room_id, state(ALICE, "m.room.topic", { topic: "one" }));
    const sent = await submit(room_id, ...Array.from({ length: 5 }, (_, n) => message(ALICE, `m${n}`)));
    const first = await ask(ALICE, { filter: compileSyncFilter({ room: { timeline: { limit: 3 } } }) });
    const joined = room(first, "join", room_id);
    expect(ids(joined, "timeline")).to.deep.equal(sent.slice(-3));
    expect(joined).to.have.nested.property("timeline.limited", true);
    expect(ids(joined, "state")).to.include(topic).and.to.have.length(6);
    expect(joined).to.have.nested.property("summary.m\\.joined_member_count", 1);
    const since = stringAt(first, "next_batch");
    expect(await ask(ALICE, { since })).not.to.have.property("rooms");
    const [next] = await submit(room_id, message(ALICE, "next"));
    const second = await ask(ALICE, { since });
    expect(ids(room(second, "join", room_id), "timeline")).to.deep.equal([next]);
    expect(room(second, "join", room_id)).to.have.nested.property("timeline.limited", false);
    expect(objectsAt(room(second, "join", room_id), "timeline", "events")[0]).to.have.nested.property("unsigned.membership", "join");
  });

  it("a gap: what changed in it is told before the timeline, and with state_after as it is at the end", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const since = stringAt(await ask(ALICE), "next_batch");
    const [one] = await submit(room_id, state(ALICE, "m.room.topic", { topic: "one" }));
    const [name] = await submit(room_id, state(ALICE, "m.room.name", { name: "name" }));
    await submit(room_id, message(ALICE, "a"), message(ALICE, "b"));
    const [two] = await submit(room_id, state(ALICE, "m.room.topic", { topic: "two" }));
    const filter = compileSyncFilter({ room: { timeline: { limit: 2 } } });
    const before = room(await ask(ALICE, { since, filter }), "join", room_id);
    expect(bodies(before)).to.deep.equal(["b", "m.room.topic"]);
    expect(ids(before, "state")).to.have.members([one, name]);
    for (const stateAfter of ["state_after", "org.matrix.msc4222.state_after"] as const) {
      const after = room(await ask(ALICE, { since, filter, stateAfter }), "join", room_id);
      expect(ids(after, stateAfter)).to.have.members([two, name]);
      expect(after).not.to.have.property("state");
    }
  });

  it("invite, join, leave, ban: each appears once, in its section, and nothing after leaving", async () => {
    const { room_id } = await createRoom(process, ALICE, undefined, "invite");
    let since = stringAt(await ask(BOB), "next_batch");
    const step = async (): Promise<JsonObject> => {
      const body = await ask(BOB, { since });
      since = stringAt(body, "next_batch");
      return body;
    };
    await submit(room_id, member(ALICE, BOB, "invite"));
    const invited = room(await step(), "invite", room_id);
    const types = objectsAt(invited, "invite_state", "events").map((event) => event["type"]);
    expect(types).to.include.members(["m.room.create", "m.room.join_rules", "m.room.member"]);
    expect(await step()).not.to.have.property("rooms");
    await submit(room_id, member(BOB, BOB, "join"));
    const joined = room(await step(), "join", room_id);
    expect(ids(joined, "timeline").length + ids(joined, "state").length).to.be.greaterThan(5);
    await submit(room_id, message(ALICE, "hello"));
    expect(bodies(room(await step(), "join", room_id))).to.deep.equal(["hello"]);
    await submit(room_id, message(ALICE, "last"), member(BOB, BOB, "leave"), message(ALICE, "secret"));
    const left = room(await step(), "leave", room_id);
    expect(bodies(left)).to.deep.equal(["last", "m.room.member"]);
    expect(left["state"], "libraries read it unasked").to.deep.equal({ events: [] });
    await submit(room_id, message(ALICE, "more"));
    expect(await step()).not.to.have.property("rooms");
    await submit(room_id, member(ALICE, BOB, "ban"));
    expect(bodies(room(await step(), "leave", room_id))).to.deep.equal(["m.room.member"]);
    expect(await ask(BOB)).not.to.have.nested.property(`rooms.join.${room_id.replaceAll(".", "\\.")}`);
    const archived = await ask(BOB, { filter: compileSyncFilter({ room: { include_leave: true } }) });
    expect(bodies(room(archived, "leave", room_id))).not.to.include("secret").and.not.to.include("more");
  });

  it("an invited user who turns the invitation down learns nothing of the room", async () => {
    const { room_id } = await createRoom(process, ALICE, undefined, "invite");
    await submit(room_id, message(ALICE, "secret"), member(ALICE, BOB, "invite"));
    const since = stringAt(await ask(BOB), "next_batch");
    await submit(room_id, {
      ...member(BOB, BOB, "leave"),
      content: { membership: "leave", nested: { membership: "join" } },
    });
    for (const body of [await ask(BOB, { since }), await ask(BOB, { filter: compileSyncFilter({ room: { include_leave: true } }) })]) {
      const text = JSON.stringify(room(body, "leave", room_id));
      expect(text).not.to.include("secret");
      expect(text).not.to.include("m.room.power_levels");
    }
  });

  it("a redacted event is shown stripped with what redacted it, however lately it was read", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const since = stringAt(await ask(ALICE), "next_batch");
    const [target] = await submit(room_id, message(ALICE, "regret"));
    expect(bodies(room(await ask(ALICE, { since }), "join", room_id))).to.deep.equal(["regret"]);
    await submit(room_id, { type: "m.room.redaction", sender: ALICE, content: {}, ...(target !== undefined && { redacts: target }) });
    const shown = objectsAt(room(await ask(ALICE, { since }), "join", room_id), "timeline", "events");
    expect(shown[0]).to.have.property("content").that.deep.equals({});
    expect(shown[0]).to.have.nested.property("unsigned.redacted_because.type", "m.room.redaction");
  });

  it("wakes at once, and gives up in time", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const since = stringAt(await ask(ALICE), "next_batch");
    const waiting = ask(ALICE, { since, timeoutMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const start = performance.now();
    await submit(room_id, message(ALICE, "wake up"));
    expect(bodies(room(await waiting, "join", room_id))).to.deep.equal(["wake up"]);
    expect(performance.now() - start).to.be.lessThan(10_000);
    const idle = stringAt(await ask(ALICE), "next_batch");
    expect(await ask(ALICE, { since: idle, timeoutMs: 100 })).not.to.have.property("rooms");
  });

  it("a token of a history that was lost brings everything again", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const since = stringAt(await ask(ALICE), "next_batch");
    const [next] = await submit(room_id, message(ALICE, "still here"));
    const token = parseToken(since ?? "");
    expect(token?.kind).to.equal("sync");
    const body = await ask(ALICE, { since: since?.replace(/^s\d+_/, "s999_") });
    expect(ids(room(body, "join", room_id), "timeline")).to.include(next);
    expect(ids(room(body, "join", room_id), "timeline").length + ids(room(body, "join", room_id), "state").length).to.be.greaterThan(5);
    for (const bad of ["nonsense", "t1_2_3", "s1"]) {
      const refused = await ask(ALICE, { since: bad }).catch((error: unknown) => error);
      expect(refused).to.have.property("errcode", "M_INVALID_PARAM");
    }
  });

  it("a database with another history is noticed after a lost connection", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const before = stringAt(await ask(ALICE), "next_batch");
    await submit(room_id, message(ALICE, "may be lost"));
    const since = stringAt(await ask(ALICE), "next_batch");
    // As after a restore that lost the last message: another epoch began before it.
    await process.database.write(
      {
        name: "test_new_epoch",
        text: "INSERT INTO epochs (system_identifier, timeline, restore, began_at) SELECT system_identifier, timeline, restore + 1, $1 FROM epochs ORDER BY epoch DESC LIMIT 1",
      },
      [Number(/_(\d+)_/.exec(before ?? "")?.[1])],
    );
    await process.database.read(
      { name: "test_cut", text: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()" },
      [],
    );
    await eventually("the new epoch is noticed", () => {
      syncing.services.follower.hurry();
      return syncing.services.follower.epochs.length >= 2;
    });
    expect(syncing.services.follower.epochs).to.have.length(2);
    // What was there when the epoch began is still valid; what came later is told again.
    expect(bodies(room(await ask(ALICE, { since: before }), "join", room_id))).to.deep.equal(["may be lost"]);
    expect(bodies(room(await ask(ALICE, { since }), "join", room_id))).to.include("may be lost").and.include("m.room.create");
  });

  it("lazy loading: whoever wrote is told once", async () => {
    const { room_id } = await createRoom(process, ALICE);
    // The first five others are told as heroes; who comes after them is not.
    const others = Array.from({ length: 5 }, (_, n) => user(`hero${n}`));
    await submit(room_id, ...[...others, BOB].map((other) => member(other, other, "join")));
    const filter = compileSyncFilter({ room: { state: { lazy_load_members: true }, timeline: { limit: 1 } } });
    const members = (body: JsonObject): unknown[] =>
      objectsAt(room(body, "join", room_id), "state", "events")
        .filter((event) => event["type"] === "m.room.member")
        .map((event) => event["state_key"]);
    await submit(room_id, message(ALICE, "a"));
    let body = await ask(ALICE, { filter });
    expect(members(body)).to.have.members([ALICE, ...others]);
    await submit(room_id, message(BOB, "b"));
    const before = stringAt(body, "next_batch");
    body = await ask(ALICE, { since: before, filter });
    expect(members(body)).to.deep.equal([BOB]);
    // The answer may have been lost: the same token gives the same again.
    expect(members(await ask(ALICE, { since: before, filter }))).to.deep.equal([BOB]);
    await submit(room_id, message(BOB, "c"));
    expect(members(await ask(ALICE, { since: stringAt(body, "next_batch"), filter }))).to.deep.equal([]);
    // Who wrote what the first answer has came with it.
    const first = await ask(ALICE, { filter }, "SECOND");
    await submit(room_id, message(BOB, "d"));
    expect(members(await ask(ALICE, { since: stringAt(first, "next_batch"), filter }, "SECOND"))).to.deep.equal([]);
  });

  it("a room that was joined and left since the token is told whole; one that was only offered is not", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const topic = await submit(room_id, state(ALICE, "m.room.topic", { topic: "one" }));
    const offered = await createRoom(process, ALICE, undefined, "invite");
    await submit(offered.room_id, member(ALICE, BOB, "invite"));
    const filter = compileSyncFilter({ room: { timeline: { types: [] } } });
    const since = stringAt(await ask(BOB), "next_batch");
    await submit(room_id, member(BOB, BOB, "join"), member(BOB, BOB, "leave"));
    await submit(offered.room_id, member(BOB, BOB, "leave"));
    const body = await ask(BOB, { since, filter });
    expect(ids(room(body, "leave", room_id), "state")).to.include.members(topic);
    expect(objectsAt(room(body, "leave", offered.room_id), "state", "events").map(({ type }) => type)).to.deep.equal(["m.room.member"]);
    // Who has seen it until they left is told of what came after.
    const later = stringAt(body, "next_batch");
    const again = await submit(room_id, member(BOB, BOB, "join"), message(ALICE, "hello"), member(BOB, BOB, "leave"));
    expect(ids(room(await ask(BOB, { since: later }), "leave", room_id), "timeline")).to.deep.equal(again);
  });

  it("a room of which the filter leaves nothing is not shown", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const room_filter = { timeline: { types: [] }, state: { types: ["m.room.topic"] }, ephemeral: { types: [] } };
    const since = stringAt(await ask(ALICE), "next_batch");
    await submit(room_id, member(BOB, BOB, "join"));
    expect(await ask(ALICE, { since, filter: compileSyncFilter({ room: room_filter }) })).not.to.have.property("rooms");
    const lazy = compileSyncFilter({ room: { ...room_filter, state: { ...room_filter.state, lazy_load_members: true } } });
    expect(room(await ask(ALICE, { since, filter: lazy }), "join", room_id)).to.have.nested.property("summary.m\\.joined_member_count", 2);
  });

  it("whatever happens: nothing missed, nothing twice, state adds up, memory and database agree", async function () {
    this.timeout(360_000);
    const seed = randomInt(2 ** 31);
    const random = generator(seed);
    const people = Array.from({ length: 4 }, (_, n) => user(`person${seed}-${n}`));
    const rooms = [];
    for (let n = 0; n < 3; n++) rooms.push(await createRoom(process, people[0] ?? ALICE));
    const chains = await Promise.all(people.map(async (who, n) => new Chain(who, await syncing.reader(who, `D${n}`))));
    const { interning, database } = process.services;
    for (const [n, nid] of [...(await interning.users(people)).values()].entries()) {
      await database.write({ name: "test_account", text: "INSERT INTO accounts (user_nid, created_ts) VALUES ($1, 0)" }, [nid]);
      await database.write({ name: "test_device", text: "INSERT INTO devices (user_nid, device_id, created_ts) VALUES ($1, $2, 0), ($1, 'OTHER', 0)" }, [nid, `D${n}`]);
    }
    const toDevices = { ...process.services, devicesOf: devicesLoader(database), servers: { isLocal: () => true } };
    const numbers = await interning.users(people);
    const changeDevice = async (who: UserId): Promise<void> => {
      const user_nid = numbers.get(who) ?? 0;
      const device_id = parseDeviceId("OTHER");
      if (device_id === undefined) return;
      await database.transaction((tx) => {
        devicesChanged({ bus: new MemoryBus() }, tx, [{ user_nid, device_id }]);
        return Promise.resolve();
      });
      for (const chain of chains) chain.changed.add(who);
    };
    let told = 0;
    const tell = async (who: UserId, other: UserId, device: string): Promise<void> => {
      const from = { user_id: who, device_id: undefined };
      told += 1;
      await sendToDevice(toDevices, from, "m.test", `${seed} ${told}`, { [other]: { [device]: { told } } });
      const chain = chains[people.indexOf(other)];
      if (device !== "OTHER") chain?.expected.push(told);
    };
    let compared = 0;
    // What was said, to relate to.
    const said = new Map<string, EventId[]>();
    const relates = (room: string): { "m.relates_to"?: { rel_type: string; event_id: string }; redacts?: EventId } => {
      const events = said.get(room) ?? [];
      const target = events[random(events.length)];
      if (target === undefined) return {};
      if (random(4) === 0) return { redacts: target };
      return { "m.relates_to": { rel_type: ["m.thread", "m.reference", "m.replace"][random(3)] ?? "", event_id: target } };
    };
    for (let round = 0; round < 80; round++) {
      const { room_id } = rooms[random(rooms.length)] ?? { room_id: undefined };
      const who = people[random(people.length)];
      if (room_id === undefined || who === undefined) continue;
      const other = people[random(people.length)] ?? who;
      const drafts = Array.from({ length: 1 + random(4) }, () => {
        switch (random(24)) {
          case 0:
            return member(who, who, "join");
          case 1:
            return member(who, who, "leave");
          case 2:
            return member(who, other, ["invite", "ban", "leave"][random(3)] ?? "invite");
          case 3:
            return state(who, "m.room.topic", { topic: `${random(1000)}` });
          default: {
            const { redacts, ...relation } = relates(room_id);
            const draft = message(who, `${seed} ${round} ${random(1e9)}`);
            if (redacts !== undefined) return { ...draft, type: "m.room.redaction", content: {}, redacts };
            return { ...draft, content: { ...draft.content, "m.new_content": {}, ...relation } };
          }
        }
      });
      const results = await process.owners.submit(room_id, drafts);
      for (const [index, result] of results.entries()) {
        if ("error" in result || drafts[index]?.type !== "m.room.message") continue;
        said.set(room_id, [...(said.get(room_id) ?? []), result.event_id]);
      }
      if (random(3) === 0) {
        const device = ["*", "OTHER", `D${people.indexOf(other)}`, `D${people.indexOf(other)}`][random(4)] ?? "*";
        for (let n = random(5) === 0 ? 120 : 1 + random(3); n > 0; n -= 1) await tell(who, other, device);
        await syncing.services.follower.reached(await logHead(database), 60_000);
      }
      if (random(4) === 0) {
        await changeDevice(other);
        await syncing.services.follower.reached(await logHead(database), 60_000);
      }
      const position = Math.max(0, ...results.map((result) => ("error" in result ? 0 : result.position)));
      await syncing.services.follower.reached(position, 60_000);
      for (const chain of chains) {
        if (random(3) === 0) continue;
        compared += await chain.step(syncing, random(2) === 0 ? 1 + random(3) : 50);
        await chain.checkDevices(process);
      }
    }
    for (const chain of chains) for (let n = 0; n < 1 + told / 100; n += 1) await chain.step(syncing, 50);
    for (const chain of chains) {
      expect(chain.messages, `seed ${seed}: messages to devices`).to.deep.equal(chain.expected);
      expect(await chain.faults(process), `seed ${seed}`).to.deep.equal([]);
    }
    expect(compared, `seed ${seed}: memory answered`).to.be.greaterThan(0);
  });
});

/** Numbers below a bound, always the same for a seed. */
function generator(seed: number): (bound: number) => number {
  let a = seed >>> 0;
  return (bound) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}

/** One client that syncs and keeps what it was told. */
class Chain {
  /** Messages to the device, by number: those that were sent, and those that came. */
  readonly expected: number[] = [];
  readonly messages: unknown[] = [];
  readonly #who: UserId;
  readonly #reader: SyncReader;
  #since: string | undefined;
  readonly #timelines = new Map<string, { ids: string[]; gaps: boolean }>();
  readonly #state = new Map<string, Map<string, string>>();
  readonly #faults: string[] = [];
  /** Users whose devices changed since the last step, whether or not they are to be told of. */
  readonly changed = new Set<string>();
  /** With whom the user shared a room at the last step. */
  #shared: ReadonlySet<string> | undefined;
  #devices: JsonObject = {};

  constructor(who: UserId, reader: SyncReader) {
    this.#who = who;
    this.#reader = reader;
  }

  /** One sync, by the database and, where it can, by memory too: 1 if both answered. */
  async step({ services }: TestSync, limit: number): Promise<number> {
    const token = this.#since === undefined ? undefined : parseToken(this.#since);
    const request: SyncRequest = {
      since: token?.kind === "sync" ? token : undefined,
      resync: false,
      filter: compileSyncFilter({ room: { timeline: { limit } } }),
      fullState: false,
      stateAfter: undefined,
      epoch: services.follower.epochs.at(-1)?.epoch ?? 0,
      now: 0,
    };
    const watched = await services.users.watch(this.#reader.user_nid);
    const fast = await fastSync(services, watched, this.#reader, request);
    services.users.release(watched);
    const slow = await readSync(services, this.#reader, request);
    if (fast !== undefined) expect(JSON.parse(fast.text)).to.deep.equal(JSON.parse(slow.text));
    this.#take(objectAt(JSON.parse(slow.text)));
    return fast === undefined || fast.empty ? 0 : 1;
  }

  #take(body: JsonObject): void {
    this.#since = stringAt(body, "next_batch");
    this.#devices = objectAt(body, "device_lists");
    for (const event of objectsAt(body, "to_device", "events")) this.messages.push(objectAt(event, "content")["told"]);
    for (const section of ["join", "leave"]) {
      for (const [roomId, room] of Object.entries(objectAt(body, "rooms", section))) {
        const part = objectAt(room);
        let known = this.#timelines.get(roomId);
        let state = this.#state.get(roomId);
        if (known === undefined) this.#timelines.set(roomId, (known = { ids: [], gaps: false }));
        if (state === undefined) this.#state.set(roomId, (state = new Map()));
        for (const event of objectsAt(part, "state", "events")) state.set(keyOf(event), stringAt(event, "event_id") ?? "");
        for (const event of objectsAt(part, "timeline", "events")) {
          const id = stringAt(event, "event_id") ?? "";
          if (known.ids.includes(id) && !known.gaps) this.#faults.push(`${id} was told twice`);
          known.ids.push(id);
          if (event["state_key"] !== undefined) state.set(keyOf(event), id);
        }
        if (objectAt(part, "timeline")["limited"] === true) known.gaps = true;
      }
    }
  }

  /** Whether the last answer told of everybody whose devices are to be looked at again, and of nobody else's. */
  async checkDevices({ database }: TestProcess): Promise<void> {
    const rows = await database.read<{ user_id: string }>(
      {
        name: "test_sharing",
        text: `SELECT DISTINCT u.user_id FROM users me JOIN current_state mine ON mine.user_nid = me.nid AND mine.membership = 1
          JOIN current_state other ON other.room_nid = mine.room_nid AND other.membership = 1 JOIN users u ON u.nid = other.user_nid WHERE me.user_id = $1`,
      },
      [this.#who],
    );
    const now = new Set(rows.map(({ user_id }) => user_id));
    const before = this.#shared;
    this.#shared = now;
    const [changed, left] = ["changed", "left"].map((field) => {
      const users = this.#devices[field];
      return new Set(Array.isArray(users) ? users.map(String) : []);
    });
    const due = [...now, this.#who].filter((user) => this.changed.has(user) || (user !== this.#who && before?.has(user) === false));
    this.changed.clear();
    if (before === undefined || changed === undefined || left === undefined) return;
    const fault = (what: string, users: string[]): void => {
      if (users.length > 0) this.#faults.push(`devices of ${users.join()}: ${what}`);
    };
    fault("nobody told of them", due.filter((user) => !changed.has(user)));
    fault("told of though they share no room", [...changed].filter((user) => !now.has(user) && user !== this.#who));
    const gone = [...before].filter((user) => !now.has(user) && user !== this.#who);
    fault("left without a word", gone.filter((user) => !left.has(user)));
    fault("said to have left", [...left].filter((user) => !gone.includes(user)));
  }

  /** What is wrong with what was told, against what the database holds. */
  async faults({ database, services }: TestProcess): Promise<string[]> {
    const nid = (await services.interning.users([this.#who])).get(this.#who) ?? 0;
    for (const membership of await membershipsOfUser(database, nid)) {
      if (membership.membership !== 1) continue;
      const rows = await database.read<{ event_id: string; type: string; state_key: string }>(
        {
          name: "test_current_state",
          text: `SELECT event_id, type, state_key FROM current_state c JOIN events e ON e.nid = c.event_nid
            JOIN state_tuples t ON t.nid = c.tuple_nid WHERE c.room_nid = $1`,
        },
        [membership.room_nid],
      );
      const told = this.#state.get(membership.room_id) ?? new Map<string, string>();
      for (const { event_id, type, state_key } of rows) {
        const held = told.get(`${type} ${state_key}`);
        if (held !== event_id) this.#faults.push(`${membership.room_id} ${type} ${state_key}: ${held} instead of ${event_id}`);
      }
      const timeline = this.#timelines.get(membership.room_id);
      if (timeline === undefined) this.#faults.push(`${membership.room_id} was never told`);
    }
    return this.#faults;
  }
}

function keyOf(event: JsonObject): string {
  return `${String(event["type"])} ${String(event["state_key"])}`;
}
