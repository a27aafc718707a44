// Account data and room tags (client-server API, "Client Config" and "Room Tagging").
import { badJson, invalidParam, MatrixError, notFound, tooLarge } from "../errors.js";
import type { RoomId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own } from "../protocol/json.js";
import { IGNORED_USERS } from "../rooms/ignored-users.js";
import { accountDataSet, findAccountData, lockAccountData, NO_ROOM, setAccountData } from "../storage/account-data.js";
import type { Committer } from "../storage/committer.js";
import { roomsById } from "../storage/rooms.js";
import { appendToLog, type AccountContext } from "./context.js";

const TAGS = "m.tag";
export const FULLY_READ = "m.fully_read";
export const PUSH_RULES = "m.push_rules";

const MAX_TYPE_BYTES = 255;
const MAX_TAGS = 200;
const MAX_TAG_BYTES = 255;

export interface AccountDataContext extends AccountContext {
  readonly committer: Committer;
}

/** The number of a room, or NO_ROOM if none is named. Throws M_NOT_FOUND for a room that this server does not know. */
async function roomNid({ database }: AccountContext, roomId: RoomId | undefined): Promise<number> {
  if (roomId === undefined) return NO_ROOM;
  const room = (await roomsById(database, [roomId])).get(roomId);
  if (room === undefined) throw notFound("There is no such room.");
  return room.nid;
}

/** Throws 405 M_BAD_JSON for types that the server manages, M_INVALID_PARAM for a type that is too long. */
function requireSettable(type: string): void {
  if (type === FULLY_READ || type === PUSH_RULES) {
    throw new MatrixError(405, "M_BAD_JSON", `"${type}" cannot be set as account data: it has an endpoint of its own.`);
  }
  if (Buffer.byteLength(type) > MAX_TYPE_BYTES) throw invalidParam(`A type may have at most ${MAX_TYPE_BYTES} bytes.`);
}

/**
 * Stores data of the account, or of the account for a room. Throws 405 M_BAD_JSON for what the server manages,
 * M_INVALID_PARAM, M_NOT_FOUND for an unknown room.
 */
export async function putAccountData(
  context: AccountDataContext,
  userNid: number,
  roomId: RoomId | undefined,
  type: string,
  content: JsonObject,
): Promise<void> {
  requireSettable(type);
  const room_nid = await roomNid(context, roomId);
  await context.committer.submit({
    statements: [accountDataSet(userNid, room_nid, type, JSON.stringify(content))],
    entries: [
      { kind: "account_data", user_nid: userNid, ...(room_nid !== NO_ROOM && { reference: room_nid }) },
      // Whom a user ignores is part of what notifies.
      ...(type === IGNORED_USERS ? [{ kind: "push_rule", user_nid: userNid } as const] : []),
    ],
  });
}

/** Deletes data: clients that knew it are told that it is empty now (MSC3391). Throws as putAccountData. */
export async function deleteAccountData(
  context: AccountDataContext,
  userNid: number,
  roomId: RoomId | undefined,
  type: string,
): Promise<void> {
  await putAccountData(context, userNid, roomId, type, {});
}

/** The content of one type as JSON text. Throws M_NOT_FOUND. */
export async function readAccountData(
  context: AccountContext,
  userNid: number,
  roomId: RoomId | undefined,
  type: string,
): Promise<string> {
  const content = await findAccountData(context.database, userNid, await roomNid(context, roomId), type);
  if (content === undefined) throw notFound("There is no account data of this type.");
  return content;
}

function tagsIn(content: string | undefined): Map<string, JsonObject> {
  const parsed: JsonValue = content === undefined ? null : JSON.parse(content);
  const tags = isObject(parsed) ? own(parsed, "tags") : undefined;
  const found = new Map<string, JsonObject>();
  for (const [name, tag] of Object.entries(isObject(tags) ? tags : {})) if (isObject(tag)) found.set(name, tag);
  return found;
}

/** The tags that a user gave a room. Throws M_NOT_FOUND for an unknown room. */
export async function readTags(context: AccountContext, userNid: number, roomId: RoomId): Promise<Record<string, JsonObject>> {
  return Object.fromEntries(tagsIn(await findAccountData(context.database, userNid, await roomNid(context, roomId), TAGS)));
}

/** Gives a room a tag. Throws M_BAD_JSON for an `order` that is no number, M_INVALID_PARAM, M_TOO_LARGE, M_NOT_FOUND. */
export async function putTag(
  context: AccountContext,
  userNid: number,
  roomId: RoomId,
  name: string,
  tag: JsonObject,
): Promise<void> {
  const order = own(tag, "order");
  if (order !== undefined && typeof order !== "number") throw badJson('"order" must be a number.');
  if (Buffer.byteLength(name) > MAX_TAG_BYTES) throw invalidParam(`A tag may have at most ${MAX_TAG_BYTES} bytes.`);
  await changeTags(context, userNid, roomId, (tags) => {
    tags.set(name, tag);
    if (tags.size > MAX_TAGS) throw tooLarge(`A room may have at most ${MAX_TAGS} tags.`);
  });
}

/** Takes a tag from a room, if it has it. Throws M_NOT_FOUND for an unknown room. */
export async function removeTag(context: AccountContext, userNid: number, roomId: RoomId, name: string): Promise<void> {
  await changeTags(context, userNid, roomId, (tags) => tags.delete(name));
}

async function changeTags(
  context: AccountContext,
  userNid: number,
  roomId: RoomId,
  change: (tags: Map<string, JsonObject>) => void,
): Promise<void> {
  const room_nid = await roomNid(context, roomId);
  await context.database.transaction(async (tx) => {
    const before = await lockAccountData(tx, userNid, room_nid, TAGS);
    const tags = tagsIn(before);
    change(tags);
    const content = JSON.stringify({ tags: Object.fromEntries(tags) });
    if (content === before) return;
    setAccountData(tx, userNid, room_nid, TAGS, content);
    appendToLog(context, tx, [{ kind: "account_data", user_nid: userNid, reference: room_nid }]);
  });
}
