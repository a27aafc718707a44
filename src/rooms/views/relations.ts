// The events that relate to an event, in pages (client-server API, "Relationships API").
import type { EventId, RoomId } from "../../protocol/identifiers.js";
import { relationsOf, type RelationsWanted } from "../../storage/relations.js";
import type { Reads } from "../../storage/statement.js";
import type { RoomContext, RoomUser } from "../context.js";
import { eventTexts } from "./event-page.js";
import { ignoredUsers } from "../ignored-users.js";
import { MAX_LIMIT, type Page, readPage } from "./page.js";
import { type Direction, END, placeOf, START, tokenOf } from "./place.js";
import { requireEvent, requireView, visibleIn } from "./room-view.js";

const DEFAULT_LIMIT = 50;
/** With `recurse`: relations of relations of relations. */
const RECURSION_DEPTH = 3;

export interface RelationsRequest {
  readonly rel_type?: string | undefined;
  readonly event_type?: string | undefined;
  readonly dir?: Direction | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
  readonly recurse?: boolean | undefined;
}

/** A page of the relations of an event: JSON text. Throws M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM for tokens. */
export async function relations(
  context: RoomContext,
  user: RoomUser,
  roomId: RoomId,
  eventId: EventId,
  request: RelationsRequest,
): Promise<string> {
  const { dir = "b", recurse } = request;
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const { read: parent } = await requireEvent(context, reads, view, eventId);
    const from = request.from === undefined ? undefined : await placeOf(reads, view.room.nid, request.from, "from");
    const to = request.to === undefined ? undefined : await placeOf(reads, view.room.nid, request.to, "to");
    const wanted = await wantedOf(context, reads, user, request);
    const limit = Math.min(request.limit ?? DEFAULT_LIMIT, MAX_LIMIT);
    const page: Pick<Page, "shown" | "next"> =
      wanted === undefined
        ? { shown: [], next: undefined }
        : await readPage(
            { dir, from: from ?? (dir === "b" ? END : START), to, limit },
            {
              read: async (place, size) => {
                const nids = await relationsOf(reads, parent.row.nid, dir, place, wanted, size);
                const events = await context.events.get(reads, nids);
                return nids.flatMap((nid) => events.get(nid) ?? []);
              },
              pass: (events) => visibleIn(context, reads, view, events),
            },
          );
    const texts = await eventTexts(context, reads, view, page.shown);
    return (
      `{"chunk":[${texts.join(",")}]` +
      (page.next === undefined ? "" : `,"next_batch":${JSON.stringify(tokenOf(page.next))}`) +
      (request.from === undefined ? "" : `,"prev_batch":${JSON.stringify(request.from)}`) +
      (recurse === undefined ? "}" : `,"recursion_depth":${recurse ? RECURSION_DEPTH : 1}}`)
    );
  });
}

/** What is asked for, by numbers; undefined if nothing of the kind was ever sent. */
async function wantedOf(
  { interning }: RoomContext,
  reads: Reads,
  { user_nid }: RoomUser,
  { rel_type, event_type, recurse }: RelationsRequest,
): Promise<RelationsWanted | undefined> {
  const named = [rel_type, event_type].filter((type) => type !== undefined);
  const nids = await interning.findTypes(named);
  if (named.some((type) => !nids.has(type))) return undefined;
  return {
    relType: rel_type === undefined ? undefined : nids.get(rel_type),
    type: event_type === undefined ? undefined : nids.get(event_type),
    without: await ignoredUsers(interning, reads, user_nid),
    levels: recurse === true ? RECURSION_DEPTH : 1,
  };
}
