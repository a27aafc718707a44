// /sync as one process has it, below HTTP: on a process of the engine and streams that tell nothing.
import { systemClock } from "../../src/clock.js";
import { parseDeviceId, type UserId } from "../../src/protocol/identifiers.js";
import { EventCache } from "../../src/rooms/views/event-cache.js";
import { MemoryBus, type Bus } from "../../src/storage/bus.js";
import { LogFollower } from "../../src/storage/log.js";
import { KeysLeft } from "../../src/sync/device-lists.js";
import { CurrentMembers } from "../../src/sync/current-members.js";
import type { SyncReader } from "../../src/sync/sync-request.js";
import { SentMembers } from "../../src/sync/sent-members.js";
import { unreadKey, type SideStreams } from "../../src/ephemeral/side-streams.js";
import type { SyncDependencies } from "../../src/sync/sync.js";
import { Acknowledgements, inboxLoader } from "../../src/sync/to-device.js";
import { TurnLoader } from "../../src/storage/turn-loader.js";
import { WatchedUsers } from "../../src/sync/watched-users.js";
import { LargeAnswers } from "../../src/sync/large-answers.js";
import type { TestProcess } from "./rooms.js";

const QUIET: SideStreams = {
  receipts: () => Promise.resolve(new Map()),
  typing: () => undefined,
  typingChanged: () => [],
  typingSerial: () => 0,
  accountData: () => Promise.resolve({ global: [], rooms: new Map() }),
  presence: () => Promise.resolve([]),
  presenceOf: () => Promise.resolve(new Map()),
  unread: () => Promise.resolve(new Map()),
};

export interface TestSync extends AsyncDisposable {
  readonly services: SyncDependencies;
  reader(user: UserId, device?: string): Promise<SyncReader>;
}

/** Starts what syncs of a process need. */
export async function startSync(process: TestProcess, bus: Bus = new MemoryBus()): Promise<TestSync> {
  const { database, services: rooms } = process;
  const follower = await LogFollower.start(database, bus, systemClock);
  const users = new WatchedUsers(database, follower);
  const events = new EventCache(16 * 1024 * 1024);
  const members = new CurrentMembers(database);
  const keysLeft = new KeysLeft(database);
  const unsubscribe = follower.subscribeToAll(() => {
    events.forgetAll();
    members.forgetAll();
    keysLeft.forgetAll();
  });
  const services: SyncDependencies = {
    ...rooms,
    events,
    follower,
    users,
    members,
    streams: QUIET,
    sentMembers: new SentMembers(),
    keysLeft,
    acknowledgements: new Acknowledgements(database, follower),
    inboxes: inboxLoader(database),
    largeAnswers: new LargeAnswers(),
    unread: {
      whole: new TurnLoader(unreadKey, () => Promise.resolve(new Map())),
      parted: new TurnLoader(unreadKey, () => Promise.resolve(new Map())),
    },
    presences: new TurnLoader((nid) => nid, () => Promise.resolve(new Map())),
    clock: systemClock,
    limits: { perDevice: 1_000, perUser: 1_000 },
  };
  return {
    services,
    reader: async (user, device) => {
      const nids = await rooms.interning.users([user]);
      return { user_id: user, user_nid: nids.get(user) ?? 0, device_id: parseDeviceId(device) };
    },
    async [Symbol.asyncDispose]() {
      unsubscribe();
      users[Symbol.dispose]();
      await follower[Symbol.asyncDispose]();
    },
  };
}
