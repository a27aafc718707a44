// One room as its summary shows it to who may not be in it, of this server or of others (client-server API, "GET /room_summary").
import { notFound } from "../../errors.js";
import { type RoomId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import type { Membership } from "../../protocol/membership.js";
import type { RoomContext, RoomUser } from "../context.js";
import { remoteTree } from "./remote-hierarchy.js";
import { serversToAsk } from "../membership/remote-membership.js";
import { mayKnowRemote, membershipFor, membershipsByRoom, type RoomSummary, summaries } from "./summary.js";

/**
 * The summary of a room, with the reader's membership if it is known who reads. Rooms that none of ours is in are asked for at other
 * servers. Throws M_NOT_FOUND, also for rooms that the reader may not know of.
 */
export async function roomSummary(
  context: RoomContext,
  user: RoomUser | undefined,
  roomId: RoomId,
  via: readonly ServerName[],
): Promise<RoomSummary & { readonly membership?: Membership }> {
  const { memberships, shown, hidden } = await context.database.snapshot(async (reads) => {
    const memberships = await membershipsByRoom(reads, user);
    return { memberships, ...(await summaries(context, reads, memberships, [roomId])) };
  });
  const here = shown.get(roomId);
  const own = membershipFor(user, memberships, roomId);
  if (here !== undefined && !here.outdated) return { ...here.summary, ...own };
  // Who does not say who they are makes us ask nobody.
  if (user !== undefined && !hidden.has(roomId)) {
    const tree = await remoteTree(context, serverNameOf(user.user_id), roomId, serversToAsk(context, roomId, via), false);
    if (tree !== undefined && mayKnowRemote(tree.summary, memberships)) return { ...tree.summary, ...own };
  }
  if (here === undefined) throw notFound("There is no such room that you may know of.");
  return { ...here.summary, ...own };
}
