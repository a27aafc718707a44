// Rooms that nobody of ours may come into.
import { forbidden } from "../../errors.js";
import type { RoomId } from "../../protocol/identifiers.js";
import { isClosed } from "../../storage/admin-rooms.js";
import type { RoomContext } from "../context.js";

/** Throws M_FORBIDDEN for a room that an administrator has blocked or is deleting. */
export async function requireOpenRoom({ database }: Pick<RoomContext, "database">, roomId: RoomId): Promise<void> {
  if (await isClosed(database, roomId)) throw forbidden("This room is blocked on this server.");
}
