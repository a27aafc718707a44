// Client-server API, "Server Side Search".
import type * as spec from "../../../spec/client/search.js";
import { searchRoomEvents } from "../../rooms/views/search.js";
import { Reply, type Handler } from "../handler.js";

export const search: Handler<typeof spec.search> = async (services, { auth, query, body }) => {
  const { room_events } = body.search_categories;
  if (room_events === undefined) return { search_categories: {} };
  const found = await searchRoomEvents(services, auth, room_events, query.next_batch);
  return new Reply(200, `{"search_categories":{"room_events":${found}}}`);
};
