// Messages from device to device, which are in no room: sent once, kept until the device has them (client-server API,
// "Send-to-Device messaging"; server-server API, "Send-to-device messaging").
import { hash, randomBytes } from "node:crypto";
import type { LocalServers } from "../config.js";
import { badJson, invalidParam, tooLarge } from "../errors.js";
import { type DeviceId, parseUserId, type ServerName, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../protocol/json.js";
import type { Committer } from "../storage/committer.js";
import type { Interning } from "../storage/interning.js";
import type { LogEntry } from "../storage/log-entry.js";
import type { DevicesOf, LocalMessage, RemoteMessages } from "../storage/to-device.js";
import { transactionKey } from "../storage/transaction-ids.js";

export interface ToDeviceContext {
  readonly devicesOf: DevicesOf;
  readonly committer: Committer;
  readonly interning: Interning;
  readonly servers: Pick<LocalServers, "isLocal">;
}

/** Who sends; without a device where an application service acts for a user. */
interface SendingDevice {
  readonly user_id: UserId;
  readonly device_id: DeviceId | undefined;
}

/** Contents by user and device; `*` stands for all devices of the user. */
export type Messages = Readonly<Record<string, Readonly<Record<string, JsonObject>>>>;

const ALL_DEVICES = "*";
const MAX_TYPE_BYTES = 255;
/** One message: as much as an event in a room. */
const MAX_EVENT_BYTES = 65_536;
/** What one call may send, wildcards written out. */
const MAX_MESSAGES = 10_000;
const MAX_BYTES = 16 * 1024 * 1024;
/** From this size on what a server is sent is parted: others refuse larger ones, and with them all behind. */
const EDU_BYTES = 49_152;
const MAX_MESSAGE_ID_BYTES = 255;

/**
 * Sends messages to devices; the same transaction id of the same device again does nothing. Who does not exist is left out.
 * Throws M_BAD_JSON for what is no user id, M_INVALID_PARAM, and 413 M_TOO_LARGE for a message or a call that is too large.
 */
export async function sendToDevice(
  context: ToDeviceContext,
  { user_id, device_id }: SendingDevice,
  type: string,
  txnId: string,
  messages: Messages,
): Promise<void> {
  if (Buffer.byteLength(type) > MAX_TYPE_BYTES) throw invalidParam(`A type may have at most ${MAX_TYPE_BYTES} bytes.`);
  const odd = Object.keys(messages).find((user) => parseUserId(user) === undefined);
  if (odd !== undefined) throw badJson(`${JSON.stringify(odd)} is no user id.`);
  const key = transactionKey(user_id, device_id ?? "", `sendToDevice/${type}`, txnId);
  await deliver(context, { key, sender: user_id, type }, messages);
}

/**
 * Takes the content of `m.direct_to_device` of another server; the same message id again does nothing. What is malformed, of
 * somebody else's user or not for ours is dropped. Throws 413 M_TOO_LARGE for more than a client could send.
 */
export async function receiveToDevice(context: ToDeviceContext, origin: ServerName, content: JsonObject): Promise<void> {
  const sender = parseUserId(own(content, "sender"));
  const type = ownString(content, "type");
  const id = ownString(content, "message_id");
  const told = own(content, "messages");
  if (sender === undefined || serverNameOf(sender) !== origin || type === undefined || id === undefined || !isObject(told)) return;
  if (Buffer.byteLength(type) > MAX_TYPE_BYTES || Buffer.byteLength(id) > MAX_MESSAGE_ID_BYTES) return;
  const messages: Record<string, Record<string, JsonObject>> = {};
  for (const [user, devices] of Object.entries(told)) {
    const userId = parseUserId(user);
    if (userId === undefined || !isObject(devices) || !context.servers.isLocal(serverNameOf(userId))) continue;
    messages[userId] = Object.fromEntries(Object.entries(devices).flatMap(([device, each]) => (isObject(each) ? [[device, each]] : [])));
  }
  await deliver(context, { key: hash("sha256", JSON.stringify([origin, id]), "hex"), sender, type }, messages);
}

interface Envelope {
  /** Under which it is sent once. */
  readonly key: string;
  readonly sender: UserId;
  readonly type: string;
}

async function deliver(context: ToDeviceContext, envelope: Envelope, messages: Messages): Promise<void> {
  const local = await localMessages(context, envelope, messages);
  const remote = remoteMessages(context, envelope, messages);
  if (local.length + remote.length === 0) return;
  const bytes = [...local.map(({ event }) => event), ...remote.map(({ content }) => content)].reduce((sum, text) => sum + text.length, 0);
  if (local.length > MAX_MESSAGES || bytes > MAX_BYTES) throw tooLarge("These are too many messages for one call.");
  const devices = new Map(local.map(({ user_nid, device_id }) => [`${user_nid} ${device_id}`, { user_nid, device: device_id }]));
  const entries: LogEntry[] = [
    ...[...devices.values()].map((device) => ({ kind: "to_device", ...device }) as const),
    ...[...new Set(remote.map(({ destination }) => destination))].map((destination) => ({ kind: "to_device", destination }) as const),
  ];
  await context.committer.submit({ toDevice: { key: envelope.key, local, remote }, entries });
}

/** Messages to those devices of our users that exist. Throws M_TOO_LARGE. */
async function localMessages({ devicesOf, interning, servers }: ToDeviceContext, { sender, type }: Envelope, messages: Messages): Promise<LocalMessage[]> {
  const ours = Object.keys(messages).filter((user) => {
    const id = parseUserId(user);
    return id !== undefined && servers.isLocal(serverNameOf(id));
  });
  const nids = await interning.findUsers(ours);
  const devices = new Map(await Promise.all([...nids.values()].map(async (nid) => [nid, await devicesOf.load(nid)] as const)));
  const found: LocalMessage[] = [];
  for (const [user, user_nid] of nids) {
    for (const [device, content] of Object.entries(messages[user] ?? {})) {
      const event = JSON.stringify({ type, sender, content });
      requireSmall(event);
      for (const device_id of devices.get(user_nid) ?? []) {
        if (device === ALL_DEVICES || device === device_id) found.push({ user_nid, device_id, event });
      }
    }
  }
  return found;
}

/** Messages to other servers, parted where they are large. Throws M_TOO_LARGE. */
function remoteMessages({ servers }: ToDeviceContext, { sender, type }: Envelope, messages: Messages): RemoteMessages[] {
  // Lists, because a device may have the name of something that every object has.
  const parts = new Map<ServerName, { bytes: number; messages: Map<string, [device: string, content: JsonObject][]> }[]>();
  for (const [user, devices] of Object.entries(messages)) {
    const id = parseUserId(user);
    if (id === undefined || servers.isLocal(serverNameOf(id))) continue;
    const destination = serverNameOf(id);
    const all = parts.get(destination) ?? [];
    parts.set(destination, all);
    for (const [device, content] of Object.entries(devices)) {
      const text = JSON.stringify(content);
      requireSmall(text);
      const bytes = text.length + user.length + device.length;
      let part = all.at(-1);
      if (part === undefined || part.bytes + bytes > EDU_BYTES) all.push((part = { bytes: 0, messages: new Map() }));
      part.bytes += bytes;
      const theirs = part.messages.get(user) ?? [];
      part.messages.set(user, theirs);
      theirs.push([device, content]);
    }
  }
  return [...parts].flatMap(([destination, all]) =>
    all.map((part) => {
      const message_id = randomBytes(16).toString("hex");
      const ofUsers = Object.fromEntries([...part.messages].map(([user, devices]) => [user, Object.fromEntries(devices)]));
      const content = JSON.stringify({ sender, type, message_id, messages: ofUsers });
      return { destination, message_id, origin: serverNameOf(sender), content };
    }),
  );
}

function requireSmall(text: string): void {
  if (Buffer.byteLength(text) > MAX_EVENT_BYTES) throw tooLarge(`A message to a device may have at most ${MAX_EVENT_BYTES} bytes.`);
}
