// Client-server API, "Server-side key backups".
import type * as spec from "../../../spec/client/key-backup.js";
import * as backup from "../../encryption/key-backup.js";
import { invalidParam, notFound } from "../../errors.js";
import type { BackedUpKey, KeyBackup, KeyCount } from "../../storage/key-backup.js";
import { Reply, type Handler } from "../handler.js";

const changed = ({ keys, changes }: KeyCount): { etag: string; count: number } => ({ etag: String(changes), count: keys });

/** A version as clients see it. */
function shown({ version, algorithm, auth_data, ...count }: KeyBackup): Reply {
  const fields = { algorithm, version: String(version), ...changed(count) };
  return new Reply(200, `{"auth_data":${auth_data},${JSON.stringify(fields).slice(1)}`);
}

/** JSON text of a key. */
function keyText({ first_message_index, forwarded_count, is_verified, session_data }: BackedUpKey): string {
  return `{"first_message_index":${first_message_index},"forwarded_count":${forwarded_count},"is_verified":${is_verified},"session_data":${session_data}}`;
}

/** JSON text of keys by session. */
function sessionsText(keys: readonly BackedUpKey[]): string {
  return `{"sessions":{${keys.map((key) => `${JSON.stringify(key.session_id)}:${keyText(key)}`).join(",")}}}`;
}

export const postRoomKeysVersion: Handler<typeof spec.postRoomKeysVersion> = async (services, { auth, body }) => ({
  version: await backup.createVersion(services, auth.user_nid, body.algorithm, body.auth_data),
});

export const getRoomKeysVersionCurrent: Handler<typeof spec.getRoomKeysVersionCurrent> = async (services, { auth }) =>
  shown(await backup.currentVersion(services, auth.user_nid));

export const getRoomKeysVersion: Handler<typeof spec.getRoomKeysVersion> = async (services, { auth, params }) =>
  shown(await backup.readVersion(services, auth.user_nid, params.version));

export const putRoomKeysVersion: Handler<typeof spec.putRoomKeysVersion> = async (services, { auth, params, body }) => {
  if (body.version !== undefined && body.version !== params.version) throw invalidParam("The body names another version than the path.");
  await backup.updateVersion(services, auth.user_nid, params.version, body.algorithm, body.auth_data);
  return {};
};

export const deleteRoomKeysVersion: Handler<typeof spec.deleteRoomKeysVersion> = async (services, { auth, params }) => {
  await backup.deleteVersion(services, auth.user_nid, params.version);
  return {};
};

export const putRoomKeyBySessionId: Handler<typeof spec.putRoomKeyBySessionId> = async (services, { auth, params, query, body }) => {
  const rooms = { [params.roomId]: { sessions: { [params.sessionId]: body } } };
  return changed(await backup.addKeys(services, auth.user_nid, query.version, rooms));
};

export const putRoomKeysByRoomId: Handler<typeof spec.putRoomKeysByRoomId> = async (services, { auth, params, query, body }) =>
  changed(await backup.addKeys(services, auth.user_nid, query.version, { [params.roomId]: body }));

export const putRoomKeys: Handler<typeof spec.putRoomKeys> = async (services, { auth, query, body }) =>
  changed(await backup.addKeys(services, auth.user_nid, query.version, body.rooms));

export const getRoomKeyBySessionId: Handler<typeof spec.getRoomKeyBySessionId> = async (services, { auth, params, query }) => {
  const selection = { room_id: params.roomId, session_id: params.sessionId };
  const [key] = await backup.readKeys(services, auth.user_nid, query.version, selection);
  if (key === undefined) throw notFound("There is no such key in the backup.");
  return new Reply(200, keyText(key));
};

export const getRoomKeysByRoomId: Handler<typeof spec.getRoomKeysByRoomId> = async (services, { auth, params, query }) =>
  new Reply(200, sessionsText(await backup.readKeys(services, auth.user_nid, query.version, { room_id: params.roomId })));

export const getRoomKeys: Handler<typeof spec.getRoomKeys> = async (services, { auth, query }) => {
  const rooms = new Map<string, BackedUpKey[]>();
  for (const key of await backup.readKeys(services, auth.user_nid, query.version, {})) {
    const ofRoom = rooms.get(key.room_id);
    if (ofRoom === undefined) rooms.set(key.room_id, [key]);
    else ofRoom.push(key);
  }
  const texts = [...rooms].map(([room, keys]) => `${JSON.stringify(room)}:${sessionsText(keys)}`);
  return new Reply(200, `{"rooms":{${texts.join(",")}}}`);
};

export const deleteRoomKeyBySessionId: Handler<typeof spec.deleteRoomKeyBySessionId> = async (services, { auth, params, query }) => {
  const selection = { room_id: params.roomId, session_id: params.sessionId };
  return changed(await backup.deleteKeys(services, auth.user_nid, query.version, selection));
};

export const deleteRoomKeysByRoomId: Handler<typeof spec.deleteRoomKeysByRoomId> = async (services, { auth, params, query }) =>
  changed(await backup.deleteKeys(services, auth.user_nid, query.version, { room_id: params.roomId }));

export const deleteRoomKeys: Handler<typeof spec.deleteRoomKeys> = async (services, { auth, query }) =>
  changed(await backup.deleteKeys(services, auth.user_nid, query.version, {}));
