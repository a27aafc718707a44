// Client-server API, "Room Creation".
import type * as spec from "../../../spec/client/create-room.js";
import * as create from "../../rooms/create.js";
import type { Handler } from "../handler.js";

export const createRoom: Handler<typeof spec.createRoom> = async (services, { auth, body }) => ({
  room_id: await create.createRoom(services, auth, body),
});
