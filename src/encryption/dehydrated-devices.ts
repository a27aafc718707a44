// Dehydrated devices (MSC3814): a device that nobody uses takes messages until a client that knows its secret fetches them.
import type { AccountContext } from "../accounts/context.js";
import { makeDevice } from "../accounts/new-device.js";
import type { Requester } from "../accounts/requester.js";
import { endSessions } from "../accounts/sessions.js";
import { forbidden, invalidParam, notFound, tooLarge } from "../errors.js";
import type { DeviceId } from "../protocol/identifiers.js";
import type { JsonObject } from "../protocol/json.js";
import { lockAccount } from "../storage/account-data.js";
import { type DehydratedDevice, findDehydratedDevice, setDehydratedDevice } from "../storage/dehydrated-devices.js";
import { waitingMessages } from "../storage/to-device.js";
import type { EncryptionContext } from "./context.js";
import { type UploadedKeys, uploadKeys } from "./device-keys.js";

const MAX_DATA_BYTES = 65_536;
/** The most messages of one answer. */
const MOST = 100;

/** A device as a client dehydrates it. */
export interface Dehydrated extends UploadedKeys {
  readonly device_id: DeviceId;
  readonly device_data: JsonObject;
  readonly device_keys: JsonObject;
  readonly initial_device_display_name?: string | undefined;
}

export type DehydratedContext = AccountContext & EncryptionContext;

/**
 * Keeps a dehydrated device in the place of the one that the user had. Throws M_INVALID_PARAM if another device has its id,
 * M_FORBIDDEN if one of the user's own keys has, M_TOO_LARGE, and what the upload of its keys throws: then the device before it stays.
 */
export async function putDehydratedDevice(context: DehydratedContext, user: Requester, device: Dehydrated): Promise<void> {
  const { database, clock } = context;
  const { user_nid, user_id } = user;
  const { device_id, initial_device_display_name: display_name, device_keys, one_time_keys, fallback_keys } = device;
  const device_data = JSON.stringify(device.device_data);
  if (Buffer.byteLength(device_data) > MAX_DATA_BYTES) throw tooLarge(`device_data may have at most ${MAX_DATA_BYTES} bytes.`);
  const before = await findDehydratedDevice(database, user_nid);
  const isNew = await database.transaction((tx) =>
    makeDevice(tx, { user_nid, device_id, display_name, created_ts: clock.now(), ip: undefined }),
  );
  if (!isNew && before?.device_id !== device_id) throw invalidParam("Another device has this id.");
  try {
    await uploadKeys(context, { user_id, user_nid, device_id }, { device_keys, one_time_keys, fallback_keys });
  } catch (error) {
    if (isNew) await endSessions(context, user_nid, [device_id]);
    throw error;
  }
  const replaced = await database.transaction(async (tx) => {
    await lockAccount(tx, user_nid);
    const last = await findDehydratedDevice({ read: (statement, values) => tx.query(statement, values) }, user_nid);
    await setDehydratedDevice(tx, user_nid, { device_id, device_data });
    return last?.device_id;
  });
  if (replaced !== undefined && replaced !== device_id) await endSessions(context, user_nid, [replaced]);
}

/** A user's dehydrated device. Throws M_NOT_FOUND. */
export async function readDehydratedDevice({ database }: AccountContext, userNid: number): Promise<DehydratedDevice> {
  const device = await findDehydratedDevice(database, userNid);
  if (device === undefined) throw notFound("There is no dehydrated device.");
  return device;
}

/** Deletes a user's dehydrated device: its id. Throws M_NOT_FOUND. */
export async function deleteDehydratedDevice(context: AccountContext, userNid: number): Promise<DeviceId> {
  const { device_id } = await readDehydratedDevice(context, userNid);
  await endSessions(context, userNid, [device_id]);
  return device_id;
}

/**
 * Messages to a user's dehydrated device, as JSON texts, from a token on, and the next token. They stay until the device is
 * deleted, so that another client can begin again. Throws M_FORBIDDEN for any other device, M_INVALID_PARAM for the token.
 */
export async function dehydratedEvents(
  { database }: AccountContext,
  userNid: number,
  device: DeviceId,
  token: string | undefined,
): Promise<{ readonly events: readonly string[]; readonly next_batch: string }> {
  if ((await findDehydratedDevice(database, userNid))?.device_id !== device) throw forbidden("This is not your dehydrated device.");
  if (token !== undefined && !/^\d{1,15}$/.test(token)) throw invalidParam('"next_batch" is not a token of this list.');
  const afterNid = Number(token ?? 0);
  const found = await waitingMessages(database, userNid, device, { after: 0, upTo: Number.MAX_SAFE_INTEGER, afterNid, limit: MOST });
  return { events: found.map(({ event }) => event), next_batch: String(found.at(-1)?.nid ?? afterNid) };
}
