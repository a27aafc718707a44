// Users report rooms, events and other users to the administrators (client-server API, "Reporting Content"). What does not
// exist, or is not for the user to know, is reported in vain and answered alike: nobody learns from it what exists.
import { MatrixError } from "../../errors.js";
import type { EventId, RoomId, UserId } from "../../protocol/identifiers.js";
import { addReport } from "../../storage/reports.js";
import type { RoomContext, RoomUser } from "../context.js";
import { findRoom } from "../current-state.js";
import { requireEvent, requireView } from "../views/room-view.js";

/** Reports a room. */
export async function reportRoom({ database }: RoomContext, user: RoomUser, roomId: RoomId, reason: string | undefined): Promise<void> {
  const room = await findRoom(database, roomId);
  if (room !== undefined) await addReport(database, { reporter_nid: user.user_nid, room_nid: room.nid, reason });
}

/** Reports an event that the user can see in a room that they are in. */
export async function reportEvent(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  eventId: EventId,
  { reason, score }: { readonly reason?: string | undefined; readonly score?: number | undefined },
): Promise<void> {
  const { database } = context;
  const found = await database.snapshot(async (reads) => {
    try {
      const view = await requireView(context, reads, user, roomId);
      return view.joined ? await requireEvent(context, reads, { ...view, ignored: new Set() }, eventId) : undefined;
    } catch (error) {
      if (error instanceof MatrixError) return undefined;
      throw error;
    }
  });
  if (found === undefined) return;
  const { nid: event_nid, room_nid } = found.read.row;
  await addReport(database, { reporter_nid: user.user_nid, room_nid, event_nid, reason, score });
}

/** Reports a user. */
export async function reportUser(
  { database, interning }: RoomContext,
  user: RoomUser,
  reported: UserId,
  reason: string | undefined,
): Promise<void> {
  const user_nid = (await interning.findUsers([reported])).get(reported);
  if (user_nid !== undefined) await addReport(database, { reporter_nid: user.user_nid, user_nid, reason });
}
