// Client-server API, "Getting events for a room" and "Event context".
import type * as spec from "../../../spec/client/room-events.js";
import { RoomEventFilter } from "../../../spec/types/filter.js";
import { parseJson } from "../../protocol/json.js";
import * as history from "../../rooms/views/history.js";
import * as state from "../../rooms/views/state.js";
import { Reply, type Handler } from "../handler.js";
import { check } from "../validation.js";

/** A filter as these operations take it: JSON text. Throws M_NOT_JSON, M_BAD_JSON. */
export function filterOf(text: string | undefined): RoomEventFilter {
  if (text === undefined || text === "") return {};
  return check(RoomEventFilter, "body", parseJson(text, { maxDepth: 20 })) as RoomEventFilter;
}

export const getOneRoomEvent: Handler<typeof spec.getOneRoomEvent> = async (services, { auth, params }) =>
  new Reply(200, await history.roomEvent(services, auth, params.roomId, params.eventId));

export const getRoomStateWithKey: Handler<typeof spec.getRoomStateWithKey> = async (services, { auth, params, query }) => {
  const { roomId, eventType, stateKey } = params;
  return new Reply(200, await state.stateEvent(services, auth, roomId, eventType, stateKey, query.format ?? "content"));
};

export const getRoomState: Handler<typeof spec.getRoomState> = async (services, { auth, params }) =>
  new Reply(200, await state.stateOfRoom(services, auth, params.roomId));

export const getMembersByRoom: Handler<typeof spec.getMembersByRoom> = async (services, { auth, params, query }) =>
  new Reply(200, await state.membersOfRoom(services, auth, params.roomId, query));

export const getJoinedMembersByRoom: Handler<typeof spec.getJoinedMembersByRoom> = async (services, { auth, params }) => ({
  joined: await state.joinedMembers(services, auth, params.roomId),
});

/** A page of more events may be as large as an answer that tells everything. */
const USUAL_PAGE = 100;

export const getRoomEvents: Handler<typeof spec.getRoomEvents> = async (services, { auth, params, query, signal }) => {
  const filter = filterOf(query.filter);
  const page = (): Promise<string> => history.messages(services, auth, params.roomId, { ...query, filter });
  const isLarge = (query.limit ?? filter.limit ?? 0) > USUAL_PAGE;
  return new Reply(200, await (isLarge ? services.sync.largeAnswers.make(page, signal) : page()));
};

export const getEventContext: Handler<typeof spec.getEventContext> = async (services, { auth, params, query }) => {
  const request = { limit: query.limit, filter: filterOf(query.filter) };
  return new Reply(200, await history.eventSurroundings(services, auth, params.roomId, params.eventId, request));
};

export const getEventByTimestamp: Handler<typeof spec.getEventByTimestamp> = async (services, { auth, params, query }) =>
  await history.eventByTimestamp(services, auth, params.roomId, query);
