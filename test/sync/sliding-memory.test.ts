// Sliding sync from memory: whatever happens, what the log in memory leaves unasked is what the database would not have told.
import { randomInt } from "node:crypto";
import { expect } from "chai";
import { devicesChanged } from "../../src/accounts/device-lists.js";
import { systemClock } from "../../src/clock.js";
import { sendToDevice } from "../../src/encryption/to-device.js";
import { Presence } from "../../src/ephemeral/presence.js";
import { Typing } from "../../src/ephemeral/typing.js";
import { type EventId, parseDeviceId, type UserId } from "../../src/protocol/identifiers.js";
import { sideStreams } from "../../src/push/side-streams.js";
import { parseToken } from "../../src/rooms/token.js";
import { accountDataSet } from "../../src/storage/account-data.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { eventsById } from "../../src/storage/events.js";
import { logHead } from "../../src/storage/log.js";
import type { LogEntry } from "../../src/storage/log-entry.js";
import { forgetRoom } from "../../src/storage/memberships.js";
import { receiptSet } from "../../src/storage/receipts.js";
import type { SentRoom } from "../../src/storage/sliding-connections.js";
import { devicesLoader } from "../../src/storage/to-device.js";
import type { SyncReader } from "../../src/sync/sync-request.js";
import type { Position } from "../../src/sync/sliding/connection.js";
import { readSliding } from "../../src/sync/sliding/read-sliding.js";
import type { SlidingServices } from "../../src/sync/sliding/sliding-reading.js";
import { slidingRequest } from "../../src/sync/sliding/request.js";
import { KnownRoomLists, roomTypes } from "../../src/sync/sliding/room-list.js";
import { objectAt, stringAt } from "../support/json-path.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, startProcess, state, type TestProcess, user } from "../support/rooms.js";
import { startSync, type TestSync } from "../support/sync.js";

const BLIND = { head: -1, allEntries: () => undefined, userEntries: () => undefined, roomEntries: () => undefined };

/** A connection that is kept by hand. */
class Connected {
  readonly #reader: SyncReader;
  readonly #request;
  readonly #rooms = new Map<number, SentRoom>();
  #since: Position | undefined;

  constructor(who: UserId, reader: SyncReader, window: number) {
    this.#reader = reader;
    const enabled = { enabled: true };
    this.#request = (since: string | undefined) =>
      slidingRequest(
        {
          lists: { all: { ranges: [[0, window]], timeline_limit: 3, required_state: [["m.room.member", "$LAZY"], ["m.room.topic", ""]], filters: { not_room_types: ["m.space"] } } },
          extensions: {
            account_data: enabled,
            receipts: enabled,
            e2ee: enabled,
            to_device: since === undefined ? enabled : { ...enabled, since },
            "io.element.msc4308.thread_subscriptions": enabled,
            "org.matrix.msc4354.sticky_events": enabled,
          },
        },
        who,
      );
  }

  #toDevice: string | undefined;

  /** One answer, made with memory and without: whether it told anything. */
  async step(seeing: SlidingServices, blind: SlidingServices, epoch: number): Promise<boolean> {
    const toDevice = this.#toDevice === undefined ? undefined : parseToken(this.#toDevice);
    const read = {
      request: this.#request(this.#toDevice),
      connection: { nid: 1, state: 1, rooms: this.#rooms },
      since: this.#since,
      toDeviceSince: toDevice?.kind === "sync" ? toDevice : undefined,
      epoch,
      now: 0,
    };
    const memory = await readSliding(seeing, this.#reader, read);
    const database = await readSliding(blind, this.#reader, read);
    expect(JSON.parse(`{${memory.text}}`)).to.deep.equal(JSON.parse(`{${database.text}}`));
    expect({ ...memory, text: "" }).to.deep.equal({ ...database, text: "" });
    for (const [room, sent] of memory.sent) this.#rooms.set(room, sent);
    this.#since = { connection: 1, state: 1, begun: memory.begun, token: memory.token };
    this.#toDevice = stringAt(objectAt(JSON.parse(`{${memory.text}}`)), "extensions", "to_device", "next_batch");
    return !memory.empty;
  }
}

describe("sliding sync from memory", () => {
  let process: TestProcess;
  let syncing: TestSync;
  let presence: Presence;
  const typing = new Typing(new MemoryBus(), systemClock, () => {});

  before(async () => {
    process = await startProcess(await freshDatabase());
    syncing = await startSync(process);
    presence = await Presence.start({ database: process.database, bus: new MemoryBus(), clock: systemClock, enabled: false });
  });
  after(async () => {
    typing[Symbol.dispose]();
    await presence[Symbol.asyncDispose]();
    await syncing[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
  });

  it("says what the database says, whatever happens", async function () {
    this.timeout(600_000);
    const seed = randomInt(2 ** 31);
    const { database, committer, interning } = process.services;
    const { follower } = syncing.services;
    const seeing: SlidingServices = {
      ...syncing.services,
      streams: sideStreams({ typing, presence, interning }),
      roomTypes: roomTypes(),
      roomLists: new KnownRoomLists(follower),
    };
    const people = Array.from({ length: 4 }, (_, n) => user(`slider${seed}-${n}`));
    const first = people[0] ?? user("nobody");
    const rooms: { room_id: Awaited<ReturnType<typeof createRoom>>["room_id"]; nid: number; said: EventId[] }[] = [];
    for (let n = 0; n < 5; n++) {
      const { room_id } = await createRoom(process, first);
      const [row] = await database.read<{ nid: number }>({ name: "test_room", text: "SELECT nid FROM rooms WHERE room_id = $1" }, [room_id]);
      rooms.push({ room_id, nid: row?.nid ?? 0, said: [] });
    }
    const nids = await interning.users(people);
    const deviceOf = (n: number): NonNullable<ReturnType<typeof parseDeviceId>> => parseDeviceId(`D${n}`) ?? expect.fail();
    for (const [n, nid] of [...nids.values()].entries()) {
      await database.write({ name: "test_account", text: "INSERT INTO accounts (user_nid, created_ts) VALUES ($1, 0)" }, [nid]);
      await database.write({ name: "test_device", text: "INSERT INTO devices (user_nid, device_id, created_ts) VALUES ($1, $2, 0)" }, [nid, deviceOf(n)]);
    }
    const connections = await Promise.all(people.map(async (who, n) => new Connected(who, await syncing.reader(who, `D${n}`), [2, 20][n % 2] ?? 20)));
    const pick = <T>(of: readonly T[]): T => of[randomInt(of.length)] ?? expect.fail();
    const submit = async (entries: LogEntry[], statements: Parameters<typeof committer.submit>[0]["statements"]): Promise<unknown> =>
      await committer.submit({ entries, statements: statements ?? [] });
    let told = 0;
    let done = 0;
    const happen = async (): Promise<void> => {
      const room = pick(rooms);
      const who = pick(people);
      const other = pick(people);
      const user_nid = nids.get(who) ?? 0;
      done += 1;
      switch (randomInt(16)) {
        case 0:
          await process.owners.submit(room.room_id, [member(who, who, "join")]);
          return;
        case 1:
          await process.owners.submit(room.room_id, [member(who, who, "leave")]);
          return;
        case 2:
          await process.owners.submit(room.room_id, [member(first, other, pick(["invite", "ban", "leave"]))]);
          return;
        case 3:
          await process.owners.submit(room.room_id, [state(who, "m.room.topic", { topic: `${done}` })]);
          return;
        case 4: {
          const event = room.said.at(-1) === undefined ? undefined : (await eventsById(database, [room.said.at(-1) ?? ""])).get(room.said.at(-1) ?? "");
          if (event === undefined) return;
          const receipt = { room_nid: room.nid, user_nid, thread: 0, kind: "m.read", event_nid: event.nid, ordinal: event.ordinal ?? 0, ts: done } as const;
          await submit([{ kind: "receipt", user_nid, room_nid: room.nid }], receiptSet(receipt));
          return;
        }
        case 5:
          await submit([{ kind: "account_data", user_nid }], [accountDataSet(user_nid, 0, "m.direct", JSON.stringify({ [other]: [room.room_id] }))]);
          return;
        case 6:
          await submit([{ kind: "account_data", user_nid, reference: room.nid }], [accountDataSet(user_nid, room.nid, "m.tag", JSON.stringify({ tags: { [done]: {} } }))]);
          return;
        case 7:
          await submit([{ kind: "account_data", user_nid }], [accountDataSet(user_nid, 0, "m.ignored_user_list", JSON.stringify({ ignored_users: { [other]: {} } }))]);
          return;
        case 8:
          await database.transaction((tx) => {
            devicesChanged({ bus: new MemoryBus() }, tx, [{ user_nid, device_id: deviceOf(people.indexOf(who)) }]);
            return Promise.resolve();
          });
          return;
        case 9: {
          const context = { ...process.services, devicesOf: devicesLoader(database), servers: { isLocal: () => true } };
          await sendToDevice(context, { user_id: who, device_id: undefined }, "m.test", `${seed} ${done}`, { [other]: { "*": { done } } });
          return;
        }
        case 10:
          await process.owners.submit(room.room_id, [member(who, who, "leave")]);
          await submit([{ kind: "invalidation", user_nid }], [forgetRoom(user_nid, room.nid)]);
          return;
        case 11: {
          const redacts = room.said.at(-1);
          if (redacts !== undefined) await process.owners.submit(room.room_id, [{ ...message(who, ""), type: "m.room.redaction", content: {}, redacts }]);
          return;
        }
        default: {
          const drafts = Array.from({ length: 1 + randomInt(4) }, () => ({ ...message(who, `${done}`), ...(randomInt(4) === 0 && { sticky_duration_ms: 3_600_000 }) }));
          for (const result of await process.owners.submit(room.room_id, drafts)) if (!("error" in result)) room.said.push(result.event_id);
        }
      }
    };
    for (let round = 0; round < 150; round++) {
      await happen();
      await follower.reached(await logHead(database), 60_000);
      const epoch = follower.epochs.at(-1)?.epoch ?? 0;
      for (const connection of connections) {
        if (randomInt(3) === 0) continue;
        const blind = { ...seeing, follower: BLIND, roomLists: new KnownRoomLists(BLIND) };
        try {
          if (await connection.step(seeing, blind, epoch)) told += 1;
        } catch (error) {
          throw new Error(`seed ${seed}, round ${round}`, { cause: error });
        }
      }
    }
    expect(told).to.be.greaterThan(50);
  });
});
