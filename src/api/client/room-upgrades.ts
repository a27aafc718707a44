// Client-server API, "Room Upgrades".
import type * as spec from "../../../spec/client/room-upgrades.js";
import { upgradeRoom as upgrade } from "../../rooms/upgrade.js";
import type { Handler } from "../handler.js";
import { unheardRoomId } from "../shadow-ban.js";

export const upgradeRoom: Handler<typeof spec.upgradeRoom> = async (services, { auth, params, body }) => ({
  replacement_room:
    auth.shadow_banned === true ? unheardRoomId(auth, params.roomId, body.new_version) : await upgrade(services, auth, params.roomId, body),
});
