// Pieces of a room's current state as events, for operations that decide by them.
import type { MatrixError } from "../errors.js";
import { notFound } from "../errors.js";
import type { RoomEvent } from "../protocol/event.js";
import type { RoomId } from "../protocol/identifiers.js";
import { membershipIn, type Membership } from "../protocol/membership.js";
import { powerLevels, type PowerLevels } from "../protocol/power-levels.js";
import { roomVersion, type RoomVersion } from "../protocol/room-version.js";
import { stateTuple, type StateTuple } from "../protocol/state-map.js";
import type { Reads } from "../storage/statement.js";
import { currentStateOf } from "../storage/state.js";
import { type RoomNames, roomsById } from "../storage/rooms.js";
import type { RoomContext } from "./context.js";

export const CREATE = stateTuple("m.room.create", "");
export const POWER_LEVELS = stateTuple("m.room.power_levels", "");
export const JOIN_RULES = stateTuple("m.room.join_rules", "");
export const HISTORY_VISIBILITY = stateTuple("m.room.history_visibility", "");

/** A room that we have. */
export interface Room extends RoomNames {
  readonly rules: RoomVersion;
}

/** A room by its id; undefined if we do not have it. */
export async function findRoom(reads: Reads, roomId: RoomId): Promise<Room | undefined> {
  const found = (await roomsById(reads, [roomId])).get(roomId);
  if (found === undefined) return undefined;
  const rules = roomVersion(found.version);
  if (rules === undefined) throw new Error(`room ${roomId} has the unknown version ${found.version}`);
  return { ...found, room_id: roomId, rules };
}

/** A room by its id. Throws `refusal`, by default M_NOT_FOUND, if we do not have it. */
export async function requireRoom(reads: Reads, roomId: RoomId, refusal?: MatrixError): Promise<Room> {
  const room = await findRoom(reads, roomId);
  if (room === undefined) throw refusal ?? notFound("This server does not know this room.");
  return room;
}

/** The current state of a room for some (type, state_key): redacted events as such. */
export async function stateEventsOf(
  { events }: Pick<RoomContext, "events">,
  reads: Reads,
  roomNid: number,
  tuples: readonly StateTuple[],
): Promise<Map<StateTuple, RoomEvent>> {
  const entries = await currentStateOf(reads, roomNid, tuples);
  const found = await events.get(
    reads,
    entries.map(({ event_nid }) => event_nid),
  );
  const state = new Map<StateTuple, RoomEvent>();
  for (const { type, state_key, event_nid } of entries) {
    const event = found.get(event_nid)?.event;
    if (event !== undefined) state.set(stateTuple(type, state_key), event);
  }
  return state;
}

/** The (type, state_key) of a user's membership. */
export function memberTuple(user: string): StateTuple {
  return stateTuple("m.room.member", user);
}

/** A user's membership in a state that was read with `stateEventsOf`. */
export function membershipAmong(state: ReadonlyMap<StateTuple, RoomEvent>, user: string): Membership | undefined {
  const event = state.get(memberTuple(user));
  return event && membershipIn(event.content);
}

/** The power levels in a state that was read with `stateEventsOf`. Throws Error if it has no create event. */
export function powerLevelsAmong(room: Room, state: ReadonlyMap<StateTuple, RoomEvent>): PowerLevels {
  const create = state.get(CREATE);
  if (create === undefined) throw new Error(`room ${room.room_id} has no create event`);
  return powerLevels(room.rules, create, state.get(POWER_LEVELS));
}
