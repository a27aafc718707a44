// A room as a client needs it to begin with, in one answer (client-server API, "Room previews": GET …/initialSync).
import type { RoomId } from "../../protocol/identifiers.js";
import { membershipIn } from "../../protocol/membership.js";
import { accountDataChanged } from "../../storage/account-data.js";
import { isPublished } from "../../storage/room-directory.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import type { RoomContext, RoomUser } from "../context.js";
import { eventTexts } from "./event-page.js";
import { firstPlace, historyPage } from "./history.js";
import { tokenOf } from "./place.js";
import { requireView, type RoomView, viewedState } from "./room-view.js";

const MESSAGES = 20;
const MOST_MESSAGES = 1_000;
const EVER = { after: 0, upTo: Number.MAX_SAFE_INTEGER };

/**
 * A room's latest messages, its state and what the user keeps for it, for its members, for who has left it (as of then), and
 * for anybody if the world may read it: JSON text. Throws M_FORBIDDEN.
 */
export async function roomInitialSync(context: RoomContext, user: RoomUser, roomId: RoomId, limit = MESSAGES): Promise<string> {
  return await context.database.snapshot(async (reads) => {
    const view = await requireView(context, reads, user, roomId);
    const from = await firstPlace(reads, view, { dir: "b", filter: {} });
    const page = await historyPage(context, reads, view, { dir: "b", from, limit: Math.min(limit, MOST_MESSAGES) }, {});
    const state = await context.events.get(reads, (await viewedState(context, reads, view)).values());
    const shown = page.shown.toReversed();
    const texts = await eventTexts(context, reads, view, [
      ...shown,
      ...[...state.values()].map((read) => ({ read, membership: undefined })),
    ]);
    const messages = texts.splice(0, shown.length);
    const data = (await accountDataChanged(reads, user.user_nid, EVER)).filter(({ room_nid }) => room_nid === view.room.nid);
    const published = await isPublished(reads, serverNameOf(user.user_id), view.room.nid);
    const start = page.next === undefined ? "" : `"start":${JSON.stringify(tokenOf(page.next))},`;
    const membership = membershipOf(view);
    return (
      `{"room_id":${JSON.stringify(roomId)}${membership === undefined ? "" : `,"membership":"${membership}"`}` +
      `,"messages":{${start}"end":${JSON.stringify(tokenOf(from))},"chunk":[${messages.join(",")}]}` +
      `,"state":[${texts.join(",")}],"visibility":"${published ? "public" : "private"}"` +
      `,"account_data":[${data.map(({ type, content }) => `{"type":${JSON.stringify(type)},"content":${content}}`).join(",")}]}`
    );
  });
}

/** The membership that the viewer has, as far as it lets them look: none for who only passes by. */
function membershipOf({ joined, leftBy }: RoomView): string | undefined {
  return joined ? "join" : leftBy && membershipIn(leftBy.event.content);
}
