// Events of one room as JSON text for the client that asked.
import type { RoomContext, RoomUser } from "./context.js";
import { eventContext, shownEvent, type ShownEvent } from "./client-event.js";
import type { EventReader } from "./client-event.js";
import type { Reads } from "../storage/statement.js";

/** How a user's device sees events outside /sync. */
function readerOf({ clock }: Pick<RoomContext, "clock">, user: RoomUser): EventReader {
  return { user_nid: user.user_nid, device_id: user.device_id, now: clock.now(), format: "client", fields: undefined };
}

/** The texts of events, in their order, with room ids. */
export async function eventTexts(
  { events, clock }: Pick<RoomContext, "events" | "clock">,
  reads: Reads,
  user: RoomUser,
  shown: readonly ShownEvent[],
): Promise<string[]> {
  const reader = readerOf({ clock }, user);
  const context = await eventContext(
    events,
    reads,
    reader,
    shown.map(({ read }) => read),
  );
  return shown.map((event) => shownEvent(event, reader, context, true));
}
