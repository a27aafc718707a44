// A space and the rooms right below it, as another server is told of them (server-server API, "GET /hierarchy").
import { notFound } from "../../errors.js";
import type { RoomId, ServerName } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import type { RoomContext } from "../context.js";
import { CHILD, childrenAmong, childState, isSuggested } from "./space-children.js";
import { type RoomSummary, type SummarisedRoom, summariesForServer } from "./summary.js";

/** Children of one space that are told of. */
const MAX_CHILDREN = 100;

type Told = RoomSummary & { readonly children_state: readonly JsonObject[] };

export interface HierarchyForServer {
  readonly room: Told;
  readonly children: readonly Told[];
  readonly inaccessible_children: readonly RoomId[];
}

/**
 * A room and those that it names, as far as we are in them and somebody of the asking server may look at or join them. Throws
 * M_NOT_FOUND.
 */
export async function hierarchyForServer(context: RoomContext, server: ServerName, roomId: RoomId, suggestedOnly: boolean): Promise<HierarchyForServer> {
  return await context.database.snapshot(async (reads) => {
    const root = (await summariesForServer(context, reads, server, [roomId], [CHILD])).shown.get(roomId);
    if (root === undefined) throw notFound("There is no such room that your server may know of.");
    const told = ({ summary, further }: SummarisedRoom): Told => {
      const events = summary.room_type === "m.space" ? further.filter(({ event }) => event.type === CHILD) : [];
      const children = childrenAmong(events).filter((child) => !suggestedOnly || isSuggested(child));
      return { ...summary, children_state: children.slice(0, MAX_CHILDREN).map(childState) };
    };
    const room = told(root);
    const ids = childrenOf(root, suggestedOnly);
    const { shown, hidden } = await summariesForServer(context, reads, server, ids, [CHILD]);
    return {
      room,
      children: ids.flatMap((id) => shown.get(id) ?? []).map(told),
      inaccessible_children: ids.filter((id) => hidden.has(id)),
    };
  });
}

function childrenOf({ summary, further }: SummarisedRoom, suggestedOnly: boolean): RoomId[] {
  if (summary.room_type !== "m.space") return [];
  const children = childrenAmong(further.filter(({ event }) => event.type === CHILD));
  const wanted = children.filter((child) => !suggestedOnly || isSuggested(child));
  return [...new Set(wanted.map(({ roomId }) => roomId))].slice(0, MAX_CHILDREN);
}
