// Client-server API, "Typing Notifications".
import type * as spec from "../../../spec/client/typing.js";
import { tellTyping } from "../../ephemeral/outbound-edus.js";
import { forbidden } from "../../errors.js";
import { membershipInRoom } from "../../storage/memberships.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import type { Handler } from "../handler.js";

export const setTyping: Handler<typeof spec.setTyping> = async (services, { auth, params, body }) => {
  const { database, typing, presence } = services;
  if (params.userId !== auth.user_id) throw forbidden("You cannot type for another user.");
  const membership = await membershipInRoom(database, auth.user_nid, params.roomId);
  if (membership?.membership !== MEMBERSHIPS.join) throw forbidden("You are not in this room.");
  if (auth.shadow_banned === true) return {};
  typing.set(membership.room_nid, auth.user_id, body.typing, body.timeout);
  await tellTyping(services, { room_id: params.roomId, room_nid: membership.room_nid, user_id: auth.user_id }, body.typing);
  if (body.typing) await presence.active(auth.user_nid);
  return {};
};
