// What a room's owner is given of other servers' events, and what becomes of them; both travel between processes as JSON.
import { type RoomEvent, storedEvent } from "../../protocol/event.js";
import type { EventId, RoomId, ServerName } from "../../protocol/identifiers.js";
import { type RoomVersion, roomVersion } from "../../protocol/room-version.js";
import type { StateTuple } from "../../protocol/state-map.js";

/** An event whose format, hashes and signatures were checked where it came in. */
export interface ReceivedEvent {
  readonly event: RoomEvent;
  /**
   * `live`: new here; `history`: from before what we had; `outlier`: only for what refers to it. Whether the rules allow them is
   * found out when they are written.
   */
  readonly as: "live" | "history" | "outlier";
  /** The state before it, where that does not follow from previous events that we have. */
  readonly stateBefore?: ReadonlyMap<StateTuple, EventId>;
  /** It came in through us: the other servers of the room have it from us. */
  readonly passOn?: boolean;
  /** Kept as what it says, since the room's rules cannot be asked: only where nothing else depends on it. */
  readonly unjudged?: boolean;
  /** Our own way into the room: what we knew of its ends and state counts no longer. */
  readonly entry?: boolean;
  /** With `entry`: others of ours are in the room, of which a part is known: what they did goes on beside it. */
  readonly beside?: boolean;
  /** With `entry`: the state before it was given without all of its memberships, and these servers are in the room. */
  readonly partial?: { readonly servers: readonly ServerName[] };
}

/** What became of a received event. All but the first two are kept for what refers to them, and shown to nobody. */
export type Outcome = "live" | "history" | "soft_failed" | "rejected" | "outlier" | "rejected_outlier";

/** What became of events that were written now, by their ids; those that we had, and those that cannot be judged yet, are left out. */
export interface Received {
  /** 0 if there was nothing to write. */
  readonly position: number;
  readonly outcomes: ReadonlyMap<EventId, Outcome>;
}

interface WireEvents {
  readonly room_id: RoomId;
  readonly version: string;
  readonly events: readonly (Omit<ReceivedEvent, "event" | "stateBefore"> & {
    readonly event_id: EventId;
    readonly json: string;
    readonly stateBefore?: readonly (readonly [StateTuple, EventId])[];
  })[];
}

/** Received events as JSON, for the process that owns their room. */
export function receivedToJson(version: RoomVersion, roomId: RoomId, received: readonly ReceivedEvent[]): WireEvents {
  const events = received.map(({ event, stateBefore, ...rest }) => ({
    ...rest,
    event_id: event.event_id,
    json: event.json,
    ...(stateBefore !== undefined && { stateBefore: [...stateBefore] }),
  }));
  return { room_id: roomId, version: version.id, events };
}

/** Received events out of another process's JSON. */
export function receivedFromJson(json: unknown): { readonly roomId: RoomId; readonly received: ReceivedEvent[] } {
  const { room_id, version: id, events } = json as WireEvents;
  const version = roomVersion(id);
  if (version === undefined) throw new Error("another process knows a room version that this one does not");
  const received = events.map(({ event_id, json: text, stateBefore, ...rest }) => ({
    ...rest,
    event: storedEvent(version, event_id, text),
    ...(stateBefore !== undefined && { stateBefore: new Map(stateBefore) }),
  }));
  return { roomId: room_id, received };
}

interface WireOutcomes {
  readonly position: number;
  readonly outcomes: readonly (readonly [EventId, Outcome])[];
}

/** What became of events as JSON, for the process that asked. */
export function outcomesToJson({ position, outcomes }: Received): WireOutcomes {
  return { position, outcomes: [...outcomes] };
}

/** What became of events out of another process's JSON. */
export function outcomesFromJson(json: unknown): Received {
  const { position, outcomes } = json as WireOutcomes;
  return { position, outcomes: new Map(outcomes) };
}
