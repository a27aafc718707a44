// Devices and keys of other servers' users: asked for when somebody here wants them, kept for those who share a room with us,
// and followed by what their servers say (server-server API, "Device Management", "End-to-End Encryption").
import { ownKeysChanged } from "../accounts/device-lists.js";
import { FederationError } from "../federation/client.js";
import { logger } from "../log.js";
import { type DeviceId, parseDeviceId, parseUserId, type ServerName, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../protocol/json.js";
import { type CrossSigningKey, removeCrossSigningKeys, setCrossSigningKeys, USAGES } from "../storage/cross-signing.js";
import type { Tx } from "../storage/database.js";
import { logHead } from "../storage/log.js";
import { isInPartialRoom } from "../storage/partial-state.js";
import {
  beginFetch,
  forgetRemoteLists,
  lockRemoteList,
  moveRemoteList,
  noteFailedList,
  putRemoteDevices,
  putRemoteLists,
  remoteDevices,
  type RemoteDevice,
  remoteLists,
  removeRemoteDevice,
  sharingWithUs,
  takeStaleLists,
} from "../storage/remote-device-lists.js";
import { groupBy, mapLimit } from "./collections.js";
import type { EncryptionContext, NumberedUser } from "./context.js";
import { askPersistently } from "./persistent-question.js";
import { ownObject, toldOwnKey } from "./cross-signing.js";
import { shownUsers, type ShownUser } from "./shown-keys.js";
import { flawOfDeviceKeys, keyText, withoutUnsigned } from "./signatures.js";

const log = logger("encryption");

const MAX_BYTES = 16 * 1024 * 1024;
const MAX_DEVICES = 10_000;
const MAX_NAME = 1_000;
const AT_ONCE = 20;
const RESYNC_TIMEOUT_MS = 30_000;
const LOOK_MS = 5_000;
const FIRST_PAUSE_MS = 10_000;
const LONGEST_PAUSE_MS = 3_600_000;

/** What was found of users elsewhere, and why some servers gave no answer. */
export interface RemoteAnswer {
  readonly users: ReadonlyMap<string, NumberedUser & ShownUser>;
  readonly failures: Readonly<Record<string, JsonObject>>;
}

/** A list as a server told it. */
interface ToldList {
  readonly user: NumberedUser;
  readonly stream_id: number | null;
  readonly devices: readonly RemoteDevice[];
  readonly keys: readonly CrossSigningKey[];
}

/** What a client is told of a server that did not answer. */
export function failureOf(error: unknown): JsonObject {
  if (!(error instanceof FederationError)) throw error;
  const status = error.status ?? 503;
  return { status, errcode: error.errcode ?? "M_UNKNOWN", message: `${error.server} could not be asked.` };
}

/** The keys of users of other servers, each server asked once and all at the same time. */
export async function remoteUsers(context: EncryptionContext, users: readonly UserId[], asker: NumberedUser | undefined, timeoutMs: number): Promise<RemoteAnswer> {
  const { database, interning, servers } = context;
  const nids = await interning.users(users);
  const numbered = users.map((user_id) => ({ user_id, user_nid: nids.get(user_id) ?? 0 }));
  const fresh = new Set((await remoteLists(database, numbered.map(({ user_nid }) => user_nid), servers.names)).filter((list) => list.fresh).map(({ user_nid }) => user_nid));
  const known = numbered.filter(({ user_nid }) => fresh.has(user_nid));
  const shown = new Map<number, ShownUser>(await shownUsers(database, known, await remoteDevices(database, [...fresh]), asker));
  const failures: Record<string, JsonObject> = {};
  const missing = groupBy(numbered.filter(({ user_nid }) => !fresh.has(user_nid)), ({ user_id }) => serverNameOf(user_id));
  await mapLimit([...missing], AT_ONCE, async ([server, asked]) => {
    try {
      const told = await askKeys(context, server, asked, timeoutMs);
      for (const [nid, user] of await shownTold(context, told, asker)) shown.set(nid, user);
    } catch (error) {
      failures[server] = failureOf(error);
    }
  });
  const found = numbered.flatMap((user) => {
    const keys = shown.get(user.user_nid);
    return keys === undefined ? [] : [[user.user_id, { ...user, ...keys }] as const];
  });
  return { users: new Map(found), failures };
}

/** What was told as it is shown, with the asker's own signatures. */
async function shownTold({ database }: EncryptionContext, told: readonly ToldList[], asker: NumberedUser | undefined): Promise<Map<number, ShownUser>> {
  return await shownUsers(database, told.map(({ user }) => user), told.flatMap(({ devices }) => devices), asker, told.flatMap(({ keys }) => keys));
}

/** Asks a server for keys of its users, and keeps those of whoever shares a room with us. Throws FederationError. */
async function askKeys(context: EncryptionContext, server: ServerName, users: readonly NumberedUser[], timeoutMs: number): Promise<ToldList[]> {
  const { database, servers } = context;
  const followed = await sharingWithUs(database, users.map(({ user_nid }) => user_nid), servers.names);
  const head = await logHead(database);
  const changes = followed.size === 0 ? new Map<number, number>() : await beginFetch(database, [...followed]);
  const device_keys = Object.fromEntries(users.map(({ user_id }) => [user_id, []]));
  const question = { destination: server, method: "POST", uri: "/_matrix/federation/v1/user/keys/query", body: { device_keys }, maxBytes: MAX_BYTES } as const;
  const answer = await askPersistently(context, question, timeoutMs);
  const told = users.flatMap((user) => {
    const devices = ownObject(ownObject(answer, "device_keys") ?? {}, user.user_id);
    if (devices === undefined) return [];
    const rows = Object.entries(devices).slice(0, MAX_DEVICES).flatMap(([id, keys]) => toldDevice(user, id, keys, nameIn(keys)) ?? []);
    const masters = ownObject(answer, "master_keys") ?? {};
    const selfSigning = ownObject(answer, "self_signing_keys") ?? {};
    return [{ user, stream_id: null, devices: rows, keys: ownKeys(user, ownObject(masters, user.user_id), ownObject(selfSigning, user.user_id)) }];
  });
  const kept = told.filter(({ user }) => changes.has(user.user_nid));
  if (kept.length > 0) await database.transaction((tx) => keepLists(tx, kept, head, changes));
  return told;
}

function ownKeys(user: NumberedUser, master: JsonObject | undefined, selfSigning: JsonObject | undefined): CrossSigningKey[] {
  return [toldOwnKey(master, "master", user), toldOwnKey(selfSigning, "self_signing", user)].filter((key) => key !== undefined);
}

const nameIn = (keys: JsonValue): JsonValue | undefined => (isObject(keys) ? own(ownObject(keys, "unsigned") ?? {}, "device_display_name") : undefined);

/** A device as it is kept; undefined if it is none of the user. */
function toldDevice(user: NumberedUser, id: string, keys: JsonValue | undefined, name: JsonValue | undefined): RemoteDevice | undefined {
  const device_id = parseDeviceId(id);
  const display_name = typeof name === "string" && name.length <= MAX_NAME ? name : null;
  if (device_id === undefined) return undefined;
  if (keys === undefined) return { user_nid: user.user_nid, device_id, keys: null, display_name };
  if (!isObject(keys) || flawOfDeviceKeys(keys) !== undefined) return undefined;
  if (ownString(keys, "user_id") !== user.user_id || ownString(keys, "device_id") !== id) return undefined;
  try {
    return { user_nid: user.user_nid, device_id, keys: keyText(withoutUnsigned(keys)), display_name };
  } catch {
    return undefined;
  }
}

/** Keeps lists, as lost ones if their servers have spoken of them since they were asked. */
async function keepLists(tx: Tx, lists: readonly ToldList[], fetched: number, changes: ReadonlyMap<number, number>): Promise<void> {
  const rows = lists.map(({ user: { user_nid }, stream_id }) => ({ user_nid, stream_id, changes: changes.get(user_nid) ?? 0 }));
  const held = await putRemoteLists(tx, rows, fetched);
  const kept = lists.filter(({ user }) => held.has(user.user_nid));
  await putRemoteDevices(tx, kept.flatMap(({ devices }) => devices));
  const keys = kept.flatMap((list) => list.keys);
  const missing = kept.flatMap(({ user: { user_nid }, keys: own }) =>
    [USAGES.master, USAGES.self_signing].filter((usage) => !own.some((key) => key.usage === usage)).map((usage) => ({ user_nid, usage })),
  );
  await removeCrossSigningKeys(tx, missing);
  if (keys.length > 0) await setCrossSigningKeys(tx, keys);
}

interface FollowedUser extends NumberedUser {
  /** Whether they are known to share a room with us. */
  readonly isThere: boolean;
}

/** The user of whom a server speaks, if that is its own and shares a room with us, or may do so where not all members are known. */
async function followedUser({ database, interning, servers }: EncryptionContext, origin: ServerName, content: JsonObject): Promise<FollowedUser | undefined> {
  const user_id = parseUserId(own(content, "user_id"));
  if (user_id === undefined || serverNameOf(user_id) !== origin) return undefined;
  const known = (await interning.findUsers([user_id])).get(user_id);
  if (known !== undefined && (await sharingWithUs(database, [known], servers.names)).has(known)) return { user_id, user_nid: known, isThere: true };
  if (!(await isInPartialRoom(database, origin))) return undefined;
  const user_nid = known ?? (await interning.users([user_id])).get(user_id);
  return user_nid === undefined ? undefined : { user_id, user_nid, isThere: false };
}

/** Takes `m.device_list_update`. What follows what we have is applied, else the list is asked for again. */
export async function takeDeviceListUpdate(context: EncryptionContext, origin: ServerName, content: JsonObject): Promise<void> {
  const user = await followedUser(context, origin, content);
  const device_id = parseDeviceId(own(content, "device_id"));
  const stream = numberIn(own(content, "stream_id"));
  if (user === undefined || device_id === undefined || stream === undefined) return;
  const { user_nid } = user;
  const prev = own(content, "prev_id");
  const previous = Array.isArray(prev) ? prev.map(numberIn) : [];
  const deleted = own(content, "deleted") === true;
  const device = deleted ? undefined : toldDevice(user, device_id, own(content, "keys"), own(content, "device_display_name"));
  await context.database.transaction(async (tx) => {
    const list = await lockRemoteList(tx, user_nid);
    if (list === undefined) {
      // Nobody here has the list. That somebody has a device who has no keys for it changes nothing for anybody; but of who may be
      // in a room, it is all that their server says before they turn out to be there.
      if (deleted || device?.keys !== null || !user.isThere) ownKeysChanged(context, tx, user_nid);
      return;
    }
    const at = list.stream_id;
    if (!list.stale && at !== null && stream <= at) return;
    const follows = !list.stale && at !== null && previous.length > 0 && previous.every((id) => id !== undefined && id <= at) && (deleted || device !== undefined);
    if (!follows) {
      await moveRemoteList(tx, user_nid, undefined, true);
      if (!list.stale || deleted || device?.keys !== null) ownKeysChanged(context, tx, user_nid);
      return;
    }
    await moveRemoteList(tx, user_nid, stream, false);
    if (device === undefined) await removeRemoteDevice(tx, user_nid, device_id);
    const changed = device === undefined ? 1 : await putRemoteDevices(tx, [device]);
    if (changed > 0) ownKeysChanged(context, tx, user_nid);
  });
}

/** Takes `m.signing_key_update`. */
export async function takeSigningKeyUpdate(context: EncryptionContext, origin: ServerName, content: JsonObject): Promise<void> {
  const user = await followedUser(context, origin, content);
  if (user === undefined) return;
  const keys = ownKeys(user, ownObject(content, "master_key"), ownObject(content, "self_signing_key"));
  await context.database.transaction(async (tx) => {
    const list = await lockRemoteList(tx, user.user_nid);
    if (list !== undefined) {
      await moveRemoteList(tx, user.user_nid, undefined, false);
      if (keys.length > 0) await setCrossSigningKeys(tx, keys);
    }
    ownKeysChanged(context, tx, user.user_nid);
  });
}

function numberIn(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
}

/** Asks for lists again that were lost, also those that another process or a restart left. */
export class DeviceListResync implements AsyncDisposable {
  readonly #context: EncryptionContext;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;

  constructor(context: EncryptionContext) {
    this.#context = context;
    this.#timer = setInterval(() => {
      this.#running ??= this.#look()
        .catch((error: unknown) => log.warn({ err: error }, "device lists could not be asked for again"))
        .finally(() => (this.#running = undefined));
    }, LOOK_MS).unref();
  }

  async #look(): Promise<void> {
    const { database, clock, servers, interning } = this.#context;
    const taken = await takeStaleLists(database, clock.now(), clock.now() + 2 * RESYNC_TIMEOUT_MS, AT_ONCE);
    const nids = taken.map(({ user_nid }) => user_nid);
    const sharing = await sharingWithUs(database, nids, servers.names);
    const names = await interning.userIds(nids);
    const gone = nids.filter((nid) => !sharing.has(nid));
    if (gone.length > 0) await forgetRemoteLists(database, gone);
    await mapLimit(taken.filter(({ user_nid }) => sharing.has(user_nid)), AT_ONCE, async ({ user_nid, failures }) => {
      const user_id = parseUserId(names.get(user_nid));
      if (user_id === undefined) return;
      try {
        await this.#fetch({ user_id, user_nid }, serverNameOf(user_id), failures);
      } catch (error) {
        if (!(error instanceof FederationError)) throw error;
        log.info({ server: error.server, reason: error.message }, "a device list could not be had");
        const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 20)) * (0.8 + 0.4 * Math.random());
        await noteFailedList(database, user_nid, clock.now() + Math.round(pause));
      }
    });
  }

  async #fetch(user: NumberedUser, destination: ServerName, failures: number): Promise<void> {
    const { database, federation, servers } = this.#context;
    const head = await logHead(database);
    const changes = await beginFetch(database, [user.user_nid]);
    const answer = await federation.client.request({
      origin: servers.names[0],
      destination,
      method: "GET",
      uri: `/_matrix/federation/v1/user/devices/${encodeURIComponent(user.user_id)}`,
      timeoutMs: RESYNC_TIMEOUT_MS,
      maxBytes: MAX_BYTES,
    });
    const devices = own(answer, "devices");
    const rows = (Array.isArray(devices) ? devices : []).slice(0, MAX_DEVICES).flatMap((device) => {
      const id = isObject(device) ? ownString(device, "device_id") : undefined;
      return !isObject(device) || id === undefined ? [] : (toldDevice(user, id, own(device, "keys"), own(device, "device_display_name")) ?? []);
    });
    const unique = [...new Map<DeviceId, RemoteDevice>(rows.map((row) => [row.device_id, row])).values()];
    const keys = ownKeys(user, ownObject(answer, "master_key"), ownObject(answer, "self_signing_key"));
    const list = { user, stream_id: numberIn(own(answer, "stream_id")) ?? null, devices: unique, keys };
    await database.transaction(async (tx) => {
      await keepLists(tx, [list], head, changes);
      // Whoever asked in vain meanwhile learns that it can be had now.
      if (failures > 0) ownKeysChanged(this.#context, tx, user.user_nid);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }
}
