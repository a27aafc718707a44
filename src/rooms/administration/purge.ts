// Closes rooms for administrators: our users leave, and are led elsewhere if that is wished; then all that is stored of it goes.
import { forbidden, MatrixError } from "../../errors.js";
import { logger } from "../../log.js";
import { parseUserId, type RoomId, type UserId } from "../../protocol/identifiers.js";
import { findAccount } from "../../storage/accounts.js";
import { localMembers } from "../../storage/admin-rooms.js";
import { aliasesOfRoom } from "../../storage/aliases.js";
import { purgeRoom } from "../../storage/room-purge.js";
import { roomsById } from "../../storage/rooms.js";
import type { RoomContext } from "../context.js";
import { createRoom } from "../create.js";
import { joinRoom } from "../membership/membership.js";
import type { ThirdPartyInviteContext } from "../membership/third-party-invite.js";

const log = logger("rooms");

/** How long clients have to hear that they have left before nothing can tell them any more. */
const FAREWELL_MS = 2_000;
/** Members who leave at once. */
const AT_ONCE = 16;

export interface RoomDeletion {
  readonly room_id: RoomId;
  /** Of the room as it was when it was to be deleted. */
  readonly room_nid: number | null;
  readonly purge: boolean;
  /** Whether it is purged also if somebody could not be removed. */
  readonly force_purge: boolean;
  /** Who makes a room that its members are led to. */
  readonly new_room_user_id?: string | undefined;
  readonly room_name: string;
  readonly message: string;
}

export interface DeletionProgress {
  readonly kicked_users: readonly string[];
  readonly failed_to_kick_users: readonly string[];
  readonly local_aliases: readonly string[];
  readonly new_room_id: string | null;
}

export const NOTHING_DONE: DeletionProgress = { kicked_users: [], failed_to_kick_users: [], local_aliases: [], new_room_id: null };

/** Deletes a room as far as that has not been done yet; `note` keeps what has been. Throws MatrixError where it cannot be done. */
export async function deleteRoom(
  context: ThirdPartyInviteContext,
  deletion: RoomDeletion,
  done: DeletionProgress,
  note: (progress: DeletionProgress) => Promise<void>,
): Promise<DeletionProgress> {
  const { database, owners } = context;
  const { room_id, room_nid } = deletion;
  if (room_nid === null) return done;
  let progress = done;
  if ((await roomsById(database, [room_id])).get(room_id)?.nid === room_nid) {
    progress = await leadElsewhere(context, deletion, { ...progress, local_aliases: await aliasesOfRoom(database, room_nid) });
    await note(progress);
    const failed = new Set<string>();
    const members = await localMembers(database, room_nid);
    for (let start = 0; start < members.length; start += AT_ONCE) {
      const some = members.slice(start, start + AT_ONCE).map(({ user_id }) => user_id);
      const drafts = some.map((user) => ({ type: "m.room.member", state_key: user, sender: user, content: { membership: "leave" } }));
      const results = await owners.submit(room_id, drafts);
      const refused = some.filter((_, index) => "error" in (results[index] ?? { error: undefined }));
      // Who left by themselves meanwhile could not be removed any more, and need not be.
      const still = refused.length === 0 ? [] : await localMembers(database, room_nid);
      for (const { user_id } of still) if (refused.includes(user_id)) failed.add(user_id);
      const kicked = [...new Set([...progress.kicked_users, ...some.filter((user) => !failed.has(user))])];
      progress = { ...progress, kicked_users: kicked, failed_to_kick_users: [...failed] };
      await note(progress);
    }
    if (failed.size > 0 && deletion.purge && !deletion.force_purge) {
      throw forbidden("Some users could not be removed: the room was not purged.");
    }
    if (deletion.purge && members.length > 0) await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS));
  }
  if (deletion.purge) await purgeRoom(database, room_nid, () => note(progress));
  return progress;
}

/** Makes the room that members are led to, and brings those who are joined there. */
async function leadElsewhere(context: ThirdPartyInviteContext, deletion: RoomDeletion, progress: DeletionProgress): Promise<DeletionProgress> {
  const creator = await actor(context, parseUserId(deletion.new_room_user_id));
  if (creator === undefined || progress.new_room_id !== null) return progress;
  const new_room_id = await createRoom(context, creator, {
    name: deletion.room_name,
    preset: "public_chat",
    power_level_content_override: { users_default: -10 },
  });
  const [sender, content] = [creator.user_id, { msgtype: "m.text", body: deletion.message }];
  await context.owners.submit(new_room_id, [{ type: "m.room.message", sender, content }]);
  for (const { user_id, membership } of await localMembers(context.database, deletion.room_nid ?? 0)) {
    const user = membership === 1 && user_id !== creator.user_id ? await actor(context, user_id) : undefined;
    if (user === undefined) continue;
    try {
      await joinRoom(context, user, new_room_id);
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error;
      log.info({ room: new_room_id, user: user_id, err: error }, "a member of a closed room could not be led elsewhere");
    }
  }
  return { ...progress, new_room_id };
}

/** A user of ours as somebody who acts in rooms. */
async function actor({ database }: RoomContext, userId: UserId | undefined) {
  const account = userId && (await findAccount(database, userId));
  if (account === undefined || account.deactivated) return undefined;
  const { user_id, user_nid, is_guest } = account;
  return { user_id, user_nid, device_id: undefined, is_guest, is_admin: false };
}
