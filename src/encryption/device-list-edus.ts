// What other servers are told of our users' devices and keys (server-server API, "Device Management", "End-to-End Encryption"):
// each change of a device under a number that names the one before, so that who missed one asks for the whole list.
import type { LocalServers } from "../config.js";
import { type DeviceId, parseDeviceId, parseUserId, type ServerName, serverNameOf } from "../protocol/identifiers.js";
import type { OwedEdu } from "../storage/destinations.js";
import { deviceStreams, type DeviceStream, listsMissedBy, listsMissedInRooms, newlySharingServers, streamId, TOLD_CHANGES } from "../storage/device-lists.js";
import type { Interning } from "../storage/interning.js";
import type { PositionedEntry } from "../storage/log-entry.js";
import { serversSharing } from "../storage/presence.js";
import type { Queryable, Reads } from "../storage/statement.js";
import { groupBy } from "./collections.js";
import type { NumberedUser } from "./context.js";
import { shownLocalUsers, type ShownUser } from "./shown-keys.js";

export interface DeviceEduContext {
  readonly servers: LocalServers;
  readonly interning: Pick<Interning, "userIds">;
  readonly config: { readonly federation: { readonly device_names: boolean } };
}

export const DEVICE_LIST_UPDATE = "m.device_list_update";
export const SIGNING_KEY_UPDATE = "m.signing_key_update";
/** As many devices are told to a server that comes to share a room. */
const TOLD_DEVICES = 100;

/** A message of our user before it is known to whom it goes. */
type UserEdu = Omit<OwedEdu, "destination"> & { readonly user_nid: number };

const readsOf = (tx: Queryable): Reads => ({ read: (statement, values) => tx.query(statement, values) });

/** What follows from entries of the log: for the servers that share a room with those who changed, or that came to. */
export async function deviceListEdus(context: DeviceEduContext, tx: Queryable, entries: readonly PositionedEntry[]): Promise<OwedEdu[]> {
  const { servers } = context;
  const changes = entries.flatMap(({ kind, user_nid, device, position }) => (kind === "device_list" && user_nid !== undefined ? [{ user_nid, device, position }] : []));
  const joins = entries.flatMap(({ kind, user_nid, room_nid, position, reference }) =>
    kind === "state_change" && user_nid !== undefined && room_nid !== undefined && reference !== undefined ? [{ user_nid, room_nid, position }] : [],
  );
  const met = await newlySharingServers(tx, joins, servers.names);
  // A room's members are known whole: what its servers missed until now.
  const completed = entries.flatMap(({ kind, room_nid, reference }) => (kind === "invalidation" && room_nid !== undefined && reference === undefined ? [room_nid] : []));
  const missed = await listsMissedInRooms(tx, completed, servers.names);
  const nids = [...new Set([...changes, ...met, ...missed].map(({ user_nid }) => user_nid))];
  if (nids.length === 0) return [];
  const about = await shown(context, tx, nids);
  const sharing = await serversSharing(readsOf(tx), [...new Set(changes.map(({ user_nid }) => user_nid))], servers.names);
  const targets = groupBy(sharing, ({ user_nid }) => user_nid);
  const told = changeEdus(context, changes, about);
  const owed = told.flatMap((edu) => (targets.get(edu.user_nid) ?? []).map(({ server_name }) => forServer(edu, server_name)));
  const introduced = met.flatMap(({ user_nid, server_name }) => {
    const user = about.get(user_nid);
    return user === undefined ? [] : introduction(context, user, joins.findLast((join) => join.user_nid === user_nid)?.position ?? 0).map((edu) => forServer(edu, server_name));
  });
  const madeUp = missed.flatMap(({ user_nid, server_name, position }) => {
    const user = about.get(user_nid);
    return user === undefined ? [] : [...introduction(context, user, position), ...signingKeys(user, position)].map((edu) => forServer(edu, server_name));
  });
  return [...introduced, ...madeUp, ...owed];
}

/** What a server has to be told that was away: the lists that changed after a position, as they are now. */
export async function missedDeviceLists(context: DeviceEduContext, tx: Queryable, server: ServerName, after: number): Promise<OwedEdu[]> {
  const about = await shown(context, tx, await listsMissedBy(tx, server, after));
  return [...about.values()].flatMap((user) => [...introduction(context, user, after), ...signingKeys(user, after)].map((edu) => forServer(edu, server)));
}

function forServer({ user_nid: _user, ...edu }: UserEdu, destination: ServerName): OwedEdu {
  return { ...edu, destination };
}

interface ToldUser extends NumberedUser, ShownUser {
  readonly origin: ServerName;
  readonly stream: DeviceStream | undefined;
}

/** Those of some users who are ours, with all that is told of them. */
async function shown({ servers, interning }: DeviceEduContext, tx: Queryable, nids: readonly number[]): Promise<Map<number, ToldUser>> {
  const names = await interning.userIds(nids);
  const users = [...names].flatMap(([user_nid, name]) => {
    const user_id = parseUserId(name);
    return user_id === undefined || !servers.isLocal(serverNameOf(user_id)) ? [] : [{ user_id, user_nid, origin: serverNameOf(user_id) }];
  });
  if (users.length === 0) return new Map();
  const reads = readsOf(tx);
  const [keys, streams] = await Promise.all([shownLocalUsers(reads, users, undefined), deviceStreams(reads, users.map(({ user_nid }) => user_nid))]);
  return new Map(
    users.flatMap((user) => {
      const own = keys.get(user.user_nid);
      return own === undefined ? [] : [[user.user_nid, { ...user, ...own, stream: streams.get(user.user_nid) }] as const];
    }),
  );
}

/** Changes one by one. What was changed again meanwhile is told with that: who has not heard of it then asks for the list. */
function changeEdus(
  context: DeviceEduContext,
  changes: readonly { readonly user_nid: number; readonly device: string | undefined; readonly position: number }[],
  about: ReadonlyMap<number, ToldUser>,
): UserEdu[] {
  return [...groupBy(changes, ({ user_nid }) => user_nid)].flatMap(([user_nid, all]) => {
    const user = about.get(user_nid);
    if (user === undefined) return [];
    const own = all.findLast(({ device }) => device === undefined);
    const { stream } = user;
    const latest = all.filter(({ device, position }) => device !== undefined && position === stream?.stream_position);
    const devices = latest.flatMap(({ device }) => parseDeviceId(device) ?? []);
    const edus = devices.slice(-TOLD_CHANGES).map((device_id, index) => {
      const id = streamId(stream?.stream_position ?? 0, index);
      // Of more than are told, the first to be told names one that nobody has heard of.
      const before = index > 0 || devices.length > TOLD_CHANGES ? id - 1 : (stream?.previous ?? 0);
      return deviceEdu(context, user, device_id, id, before > 0 ? [before] : [], stream?.stream_position ?? 0);
    });
    return own === undefined ? edus : [...edus, ...signingKeys(user, own.position)];
  });
}

/** All devices under the number at which the list stands: who has a list that is not as new asks for it. */
function introduction(context: DeviceEduContext, user: ToldUser, position: number): UserEdu[] {
  return user.devices.slice(0, TOLD_DEVICES).map(({ device_id }) => deviceEdu(context, user, device_id, user.stream?.stream_id ?? 0, [], position));
}

function deviceEdu({ config }: DeviceEduContext, user: ToldUser, device_id: DeviceId, stream_id: number, prev_id: readonly number[], position: number): UserEdu {
  const { user_id, user_nid, origin } = user;
  const device = user.devices.find((each) => each.device_id === device_id);
  const named = config.federation.device_names && device?.display_name !== undefined;
  const content = JSON.stringify({
    user_id,
    device_id,
    stream_id,
    prev_id,
    ...(device === undefined && { deleted: true }),
    ...(device?.keys !== undefined && { keys: device.keys }),
    ...(named && { device_display_name: device.display_name }),
  });
  return { user_nid, origin, position, edu_type: DEVICE_LIST_UPDATE, key: `${user_id} ${device_id}`, content };
}

function signingKeys({ user_id, user_nid, origin, master_key, self_signing_key }: ToldUser, position: number): UserEdu[] {
  if (master_key === undefined) return [];
  const content = JSON.stringify({ user_id, master_key, ...(self_signing_key !== undefined && { self_signing_key }) });
  return [{ user_nid, origin, position, edu_type: SIGNING_KEY_UPDATE, key: user_id, content }];
}
