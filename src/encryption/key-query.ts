// Whose devices have which keys, wherever the users are (client-server API, "POST /keys/query"; server-server API, "POST
// /user/keys/query", "GET /user/devices").
import { invalidParam } from "../errors.js";
import { parseUserId, type ServerName, serverNameOf, type UserId } from "../protocol/identifiers.js";
import type { JsonObject } from "../protocol/json.js";
import { deviceStreams } from "../storage/device-lists.js";
import type { EncryptionContext, NumberedUser } from "./context.js";
import { remoteUsers } from "./remote-device-lists.js";
import { shownLocalUsers, type ShownUser, withName } from "./shown-keys.js";

const MAX_USERS = 10_000;
const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 30_000;

/** Device ids by user; an empty list stands for all. */
export type AskedDevices = Readonly<Record<string, readonly string[]>>;

export interface FoundKeys {
  readonly device_keys: Record<string, Record<string, JsonObject>>;
  readonly master_keys: Record<string, JsonObject>;
  readonly self_signing_keys: Record<string, JsonObject>;
  readonly user_signing_keys: Record<string, JsonObject>;
}

/** How long a client lets us ask other servers, in milliseconds. */
export const timeoutOf = (asked: number | undefined): number => Math.max(1, Math.min(asked ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS));

/** The users that a body names. Throws M_INVALID_PARAM for what is no user id, and for too many. */
export function namedUsers(named: Readonly<Record<string, unknown>>): UserId[] {
  const names = Object.keys(named);
  if (names.length > MAX_USERS) throw invalidParam(`At most ${MAX_USERS} users can be asked for at once.`);
  return names.map((name) => {
    const user = parseUserId(name);
    if (user === undefined) throw invalidParam(`${JSON.stringify(name)} is no user id.`);
    return user;
  });
}

/** Those of some users whom we know and whose server is one of these, with their keys. */
async function localUsers(context: EncryptionContext, users: readonly UserId[], asker: NumberedUser | undefined): Promise<Map<string, NumberedUser & ShownUser>> {
  const { database, interning } = context;
  const nids = await interning.findUsers(users);
  const numbered = [...nids].map(([user_id, user_nid]) => ({ user_id, user_nid }));
  const shown = await shownLocalUsers(database, numbered, asker);
  return new Map(numbered.flatMap((user) => {
    const keys = shown.get(user.user_nid);
    return keys === undefined ? [] : [[user.user_id, { ...user, ...keys }] as const];
  }));
}

/** Keys of users here and elsewhere as one of our users sees them, and which servers gave no answer. */
export async function keysOfUsers(
  context: EncryptionContext,
  users: readonly UserId[],
  asker: NumberedUser,
  timeoutMs: number,
): Promise<{ readonly users: ReadonlyMap<string, NumberedUser & ShownUser>; readonly failures: Readonly<Record<string, JsonObject>> }> {
  const isOurs = (user: UserId): boolean => context.servers.isLocal(serverNameOf(user));
  const others = users.filter((user) => !isOurs(user));
  const [local, remote] = await Promise.all([
    localUsers(context, users.filter(isOurs), asker),
    others.length === 0 ? { users: new Map<string, NumberedUser & ShownUser>(), failures: {} } : remoteUsers(context, others, asker, timeoutMs),
  ]);
  return { users: new Map([...local, ...remote.users]), failures: remote.failures };
}

/** Keys in the form of answers; names of devices only if they are to be seen. */
function found(asked: AskedDevices, users: ReadonlyMap<string, ShownUser>, named: boolean): FoundKeys {
  const keys: FoundKeys = { device_keys: {}, master_keys: {}, self_signing_keys: {}, user_signing_keys: {} };
  for (const [user, { devices, master_key, self_signing_key, user_signing_key }] of users) {
    const wanted = new Set(asked[user] ?? []);
    const shown = devices.filter(({ device_id }) => wanted.size === 0 || wanted.has(device_id));
    keys.device_keys[user] = Object.fromEntries(
      shown.flatMap((device) => (device.keys === undefined ? [] : [[device.device_id, withName(device.keys, named ? device.display_name : undefined)]])),
    );
    if (master_key !== undefined) keys.master_keys[user] = master_key;
    if (self_signing_key !== undefined) keys.self_signing_keys[user] = self_signing_key;
    if (user_signing_key !== undefined) keys.user_signing_keys[user] = user_signing_key;
  }
  return keys;
}

/** Answers a client. Throws M_INVALID_PARAM. */
export async function queryKeys(
  context: EncryptionContext,
  asker: NumberedUser,
  asked: AskedDevices,
  timeoutMs: number | undefined,
): Promise<FoundKeys & { readonly failures: Readonly<Record<string, JsonObject>> }> {
  const { users, failures } = await keysOfUsers(context, namedUsers(asked), asker, timeoutOf(timeoutMs));
  return { ...found(asked, users, true), failures };
}

/** Answers another server that asks one of ours. Throws M_INVALID_PARAM. */
export async function queryKeysForServer(context: EncryptionContext, ours: ServerName, asked: AskedDevices): Promise<Omit<FoundKeys, "user_signing_keys">> {
  const users = namedUsers(asked).filter((user) => serverNameOf(user) === ours);
  const { user_signing_keys: _none, ...keys } = found(asked, await localUsers(context, users, undefined), context.config.federation.device_names);
  return keys;
}

/** All devices of one of our users for another server; undefined if there is no such user. */
export async function devicesForServer(context: EncryptionContext, userId: UserId): Promise<JsonObject | undefined> {
  const user = (await localUsers(context, [userId], undefined)).get(userId);
  if (user === undefined) return undefined;
  const stream = (await deviceStreams(context.database, [user.user_nid])).get(user.user_nid);
  const named = context.config.federation.device_names;
  const devices = user.devices.flatMap(({ device_id, keys, display_name }) =>
    keys === undefined ? [] : [{ device_id, keys, ...(named && display_name !== undefined && { device_display_name: display_name }) }],
  );
  return {
    user_id: userId,
    stream_id: stream?.stream_id ?? 0,
    devices,
    ...(user.master_key !== undefined && { master_key: user.master_key }),
    ...(user.self_signing_key !== undefined && { self_signing_key: user.self_signing_key }),
  };
}
