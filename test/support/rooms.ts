// The engine of rooms as one process of a deployment has it, on a database that a test gives.
import { createHash } from "node:crypto";
import { type Clock, systemClock } from "../../src/clock.js";
import { type EventId, parseServerName, parseUserId, type ServerName, type UserId } from "../../src/protocol/identifiers.js";
import { DEFAULT_ROOM_VERSION, type RoomVersion } from "../../src/protocol/room-version.js";
import { signingKey } from "../../src/protocol/signing.js";
import type { RoomDraft } from "../../src/rooms/owner/draft.js";
import { type OwnerTransport, RoomOwners } from "../../src/rooms/owner/owner.js";
import type { RoomServices } from "../../src/rooms/owner/room-services.js";
import { RuleChanges } from "../../src/rooms/owner/rule-changes.js";
import { Committer } from "../../src/storage/committer.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { Interning } from "../../src/storage/interning.js";
import { Numbers } from "../../src/storage/numbers.js";
import { ProcessRegistration } from "../../src/storage/processes.js";

export const SERVER = serverName("example.org");
const KEY = signingKey("ed25519:test", createHash("sha256").update("test").digest());

export function serverName(text: string): ServerName {
  const name = parseServerName(text);
  if (name === undefined) throw new Error(`${text} is no server name`);
  return name;
}

export function user(localpart: string, server: string = SERVER): UserId {
  const id = parseUserId(`@${localpart}:${server}`);
  if (id === undefined) throw new Error(`${localpart} is no localpart`);
  return id;
}

/** One process: its rooms and what they stand on. */
export interface TestProcess extends AsyncDisposable {
  readonly services: RoomServices;
  readonly database: Database;
  readonly owners: RoomOwners;
  readonly registration: ProcessRegistration;
  readonly address: string;
}

/** The processes that a test runs inside its own, by address: how they call each other. */
const processes = new Map<string, TestProcess>();

const transport: OwnerTransport = {
  call: async (address, method, payload) => {
    const handler = processes.get(address)?.owners.methods.get(method);
    if (handler === undefined) throw new Error(`nobody listens at ${address}`);
    // As over the wire.
    const answer: unknown = await handler(JSON.parse(JSON.stringify(payload)));
    return JSON.parse(JSON.stringify(answer)) as unknown;
  },
};

let started = 0;

export async function startProcess(
  address: DatabaseAddress,
  options: { readonly onCommit?: (position: number) => void; /** The time that events get. */ readonly clock?: Clock; /** The memory that rooms may take. */ readonly roomsBytes?: number; /** Hears of rooms with many ends. */ readonly noteEnds?: RoomServices["noteEnds"] } = {},
): Promise<TestProcess> {
  const database = await Database.open({ address, poolSize: 4 });
  const name = `process-${++started}`;
  const registration = await ProcessRegistration.open(database, systemClock, name);
  const services: RoomServices = {
    database,
    committer: new Committer(database, options.onCommit ?? (() => undefined)),
    interning: new Interning(database),
    numbers: new Numbers(database),
    clock: options.clock ?? systemClock,
    ruleChanges: new RuleChanges(),
    askPolicyServer: () => Promise.reject(new Error("nothing is asked from here")),
    noteElsewhere: () => undefined,
    noteEnds: options.noteEnds ?? (() => undefined),
    signingKey: (server) => (server === SERVER ? KEY : undefined),
  };
  const owners = new RoomOwners(services, registration, transport, options.roomsBytes ?? 64 * 1024 * 1024);
  const process: TestProcess = {
    services,
    database,
    owners,
    registration,
    address: name,
    [Symbol.asyncDispose]: async () => {
      processes.delete(name);
      await owners.close();
      await registration.close();
      await database.close();
    },
  };
  processes.set(name, process);
  return process;
}

export function state(sender: UserId, type: string, content: RoomDraft["content"], state_key = ""): RoomDraft {
  return { type, state_key, sender, content };
}

export function member(sender: UserId, target: UserId, membership: string): RoomDraft {
  return state(sender, "m.room.member", { membership }, target);
}

export function message(sender: UserId, body: string, txn_id?: string, device_id = "DEVICE"): RoomDraft {
  return {
    type: "m.room.message",
    sender,
    content: { msgtype: "m.text", body },
    ...(txn_id !== undefined && { transaction: { device_id, txn_id, endpoint: "send" } }),
  };
}

/** A public room of `creator`, as the usual preset makes it. */
export async function createRoom(
  process: TestProcess,
  creator: UserId,
  version: RoomVersion = DEFAULT_ROOM_VERSION,
  joinRule = "public",
): ReturnType<RoomOwners["create"]> {
  return await process.owners.create({
    version,
    creator,
    content: { room_version: version.id, ...(version.implicitCreator ? {} : { creator }) },
    drafts: () => [
      member(creator, creator, "join"),
      state(creator, "m.room.power_levels", {
        ...(version.privilegedCreators ? {} : { users: { [creator]: 100 } }),
        events_default: 0,
        state_default: 50,
      }),
      state(creator, "m.room.join_rules", { join_rule: joinRule }),
      state(creator, "m.room.history_visibility", { history_visibility: "shared" }),
    ],
  });
}

/** Numbers between 0 and 1 from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A draft of anything that happens in rooms: state, members, messages, threads, redactions of `earlier` events. */
export function randomDraft(next: () => number, creator: UserId, earlier: readonly EventId[]): RoomDraft {
  const pick = <Item>(items: readonly Item[]): Item | undefined => items[Math.floor(next() * items.length)];
  const someone = user(`user${Math.floor(next() * 12)}`);
  const target = pick(earlier);
  switch (Math.floor(next() * 10)) {
    case 0:
      return member(someone, someone, "join");
    case 1:
      return member(someone, someone, "leave");
    case 2:
      return member(creator, someone, pick(["invite", "ban", "leave"]) ?? "ban");
    case 3:
      return state(creator, "m.room.topic", { topic: String(next()) });
    case 4:
      return state(creator, "org.example.slot", { value: next() > 0.5 }, `key${Math.floor(next() * 40)}`);
    case 5:
      return state(creator, "m.room.power_levels", { users: { [someone]: 50 }, state_default: 50 });
    case 6:
      if (target !== undefined) return { type: "m.room.redaction", sender: creator, content: {}, redacts: target };
      return message(creator, "nothing to redact");
    case 7:
      if (target !== undefined) {
        return { ...message(creator, "x"), content: { body: "x", "m.relates_to": { rel_type: "m.thread", event_id: target } } };
      }
      return message(creator, "no thread");
    default:
      return message(next() > 0.5 ? creator : someone, String(next()));
  }
}
