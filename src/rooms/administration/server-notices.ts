// Messages of the server to its users, each in a room of their own (client-server API, "Server Notices").
import { MatrixError, notFound } from "../../errors.js";
import { newUserId, type EventId, type RoomId, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { roomVersion } from "../../protocol/room-version.js";
import { accountDataSet } from "../../storage/account-data.js";
import { findAccount } from "../../storage/accounts.js";
import { findNoticeRoom, hasNoticeRoom, noticeRoomInsert } from "../../storage/server-notices.js";
import type { RoomContext } from "../context.js";
import { membershipAmong, memberTuple, stateEventsOf } from "../current-state.js";
import { accepted, type DraftTransaction, type RoomDraft } from "../owner/draft.js";
import { memberProfiles } from "../membership/member-profiles.js";

const TAG = JSON.stringify({ tags: { "m.server_notice": {} } });
/** Readers of notices cannot answer: nobody would hear it. */
const READER = -10;

export interface Notice {
  readonly type: string;
  readonly state_key?: string | undefined;
  readonly content: JsonObject;
}

interface NoticeRoom {
  readonly nid: number;
  readonly room_id: RoomId;
}

/**
 * Tells a user something, in the one room that they have for this; invites them if they are not in it. The same transaction
 * again gives the same event. Throws M_NOT_FOUND for who is no user of ours.
 */
export async function sendServerNotice(
  context: RoomContext,
  userId: UserId,
  { type, state_key, content }: Notice,
  transaction?: DraftTransaction,
): Promise<EventId> {
  const { database, owners, servers } = context;
  const account = servers.isLocal(serverNameOf(userId)) ? await findAccount(database, userId) : undefined;
  if (account === undefined || account.deactivated) throw notFound("There is no such user of this server.");
  const sender = noticeSender(context, userId);
  const room = (await findNoticeRoom(database, account.user_nid)) ?? (await createNoticeRoom(context, sender, account));
  const state = await stateEventsOf(context, database, room.nid, [memberTuple(userId)]);
  const membership = membershipAmong(state, userId);
  const drafts: RoomDraft[] = [];
  if (membership !== "join" && membership !== "invite") drafts.push(await invitation(context, sender, userId));
  drafts.push({ type, sender, content, ...(state_key !== undefined && { state_key }), ...(transaction !== undefined && { transaction }) });
  const results = await owners.submit(room.room_id, drafts);
  return accepted(results.at(-1)).event_id;
}

/** Who speaks for the server of a user: nobody can register names like this one. */
function noticeSender({ config }: RoomContext, userId: UserId): UserId {
  const sender = newUserId(config.server_notices.localpart, serverNameOf(userId));
  if (sender === undefined) throw new Error("server_notices.localpart is no localpart");
  return sender;
}

async function invitation(context: RoomContext, sender: UserId, userId: UserId): Promise<RoomDraft> {
  const profiles = await memberProfiles(context, [userId]);
  return { type: "m.room.member", state_key: userId, sender, content: { ...profiles.get(userId), membership: "invite" } };
}

async function createNoticeRoom(
  context: RoomContext,
  sender: UserId,
  { user_id, user_nid }: { readonly user_id: UserId; readonly user_nid: number },
): Promise<NoticeRoom> {
  const { config, database, owners } = context;
  const { display_name, avatar_url, room_name } = config.server_notices;
  const version = roomVersion(config.rooms.default_version);
  if (version === undefined) throw new Error("rooms.default_version is no room version");
  const event = (type: string, content: JsonObject, state_key = ""): RoomDraft => ({ type, state_key, sender, content });
  const picture = avatar_url === undefined ? {} : { avatar_url };
  const drafts = [
    event("m.room.member", { displayname: display_name, ...picture, membership: "join" }, sender),
    event("m.room.power_levels", {
      users: version.privilegedCreators ? {} : { [sender]: 100 },
      users_default: READER,
      events_default: 0,
      state_default: 50,
    }),
    event("m.room.join_rules", { join_rule: "invite" }),
    event("m.room.history_visibility", { history_visibility: "shared" }),
    event("m.room.guest_access", { guest_access: "forbidden" }),
    event("m.room.name", { name: room_name }),
    ...(avatar_url === undefined ? [] : [event("m.room.avatar", { url: avatar_url })]),
    await invitation(context, sender, user_id),
  ];
  try {
    const { room_id, room_nid } = await owners.create({
      version,
      creator: sender,
      content: { room_version: version.id, "m.federate": false, ...(!version.implicitCreator && { creator: sender }) },
      drafts: () => drafts,
      alongside: ({ room_nid: nid }) => ({
        statements: [noticeRoomInsert(user_nid, nid), accountDataSet(user_nid, nid, "m.tag", TAG)],
        entries: [{ kind: "account_data", user_nid, reference: nid }],
      }),
    });
    return { nid: room_nid, room_id };
  } catch (error) {
    const other = hasNoticeRoom(error) ? await findNoticeRoom(database, user_nid) : undefined;
    if (other === undefined) throw error;
    return other;
  }
}

/** Throws M_CANNOT_LEAVE_SERVER_NOTICE_ROOM if the room is the one in which the user hears from the server. */
export async function requireDeclinable({ database }: Pick<RoomContext, "database">, userNid: number, roomId: RoomId): Promise<void> {
  if ((await findNoticeRoom(database, userNid))?.room_id !== roomId) return;
  throw new MatrixError(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM", "This is where the server tells you what you have to know: you can leave it after joining it.");
}
