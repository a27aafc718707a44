// Events of one room as JSON text for the client that asked.
import type { Reads } from "../../storage/statement.js";
import { aggregationsOf } from "./aggregations.js";
import { eventContext, shownEvent, type EventReader, type ShownEvent } from "./client-event.js";
import type { RoomContext } from "../context.js";
import type { RoomView } from "./room-view.js";

/** How the viewer's device sees events outside /sync. */
export function readerOf({ clock }: Pick<RoomContext, "clock">, { user, joined, ignored }: RoomView): EventReader {
  const { user_id, user_nid, device_id } = user;
  return { user_id, user_nid, device_id, joined: () => joined, ignored, now: clock.now(), format: "client", fields: undefined };
}

/** The texts of events with their aggregations, in their order, with room ids. */
export async function eventTexts(
  services: Pick<RoomContext, "events" | "clock" | "interning">,
  reads: Reads,
  view: RoomView,
  shown: readonly ShownEvent[],
): Promise<string[]> {
  const reader = readerOf(services, view);
  const events = shown.map(({ read }) => read);
  const aggregations = await aggregationsOf(services, reads, reader, events);
  const context = await eventContext(services.events, reads, reader, events, aggregations);
  return shown.map((event) => shownEvent(event, reader, context, true));
}
