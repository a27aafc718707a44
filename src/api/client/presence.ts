// Client-server API, "Presence".
import type * as spec from "../../../spec/client/presence.js";
import { forbidden } from "../../errors.js";
import { shareRoom } from "../../storage/presence.js";
import type { Handler } from "../handler.js";

export const getPresence: Handler<typeof spec.getPresence> = async ({ database, interning, presence }, { auth, params }) => {
  const { userId } = params;
  if (userId === auth.user_id) return await presence.get(auth.user_nid);
  const nid = (await interning.findUsers([userId])).get(userId);
  if (nid === undefined || !(await shareRoom(database, auth.user_nid, nid))) {
    throw forbidden("You may see the presence of users with whom you share a room only.");
  }
  return await presence.get(nid);
};

export const setPresence: Handler<typeof spec.setPresence> = async ({ presence }, { auth, params, body }) => {
  if (params.userId !== auth.user_id) throw forbidden("You cannot set the presence of another user.");
  await presence.set(auth.user_nid, body.presence, body.status_msg ?? null);
  return {};
};
