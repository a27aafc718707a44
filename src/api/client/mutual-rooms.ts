// Client-server API, "Mutual rooms".
import type * as spec from "../../../spec/client/mutual-rooms.js";
import { mutualRooms } from "../../rooms/directory/mutual-rooms.js";
import type { Handler } from "../handler.js";

export const getMutualRooms: Handler<typeof spec.getMutualRooms> = async (services, { auth, query }) => {
  const page = await mutualRooms(services, auth, query.user_id, query.from ?? query.batch_token);
  return page.next_batch === undefined ? page : { ...page, next_batch_token: page.next_batch };
};
