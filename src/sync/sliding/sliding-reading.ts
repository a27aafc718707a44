// What an answer of sliding sync is read from and made of.
import type { EventReader } from "../../rooms/views/client-event.js";
import type { SyncToken } from "../../rooms/token.js";
import type { SentRoom } from "../../storage/sliding-connections.js";
import type { Reads } from "../../storage/statement.js";
import type { KeysLeft } from "../device-lists.js";
import type { SyncReader, SyncServices } from "../sync-request.js";
import type { Connection, Position } from "./connection.js";
import type { LogMemory, Recent } from "./recent.js";
import type { SlidingRequest } from "./request.js";
import type { KnownRoomLists, RoomListServices } from "./room-list.js";

export interface SlidingServices extends SyncServices, RoomListServices {
  readonly follower: LogMemory;
  readonly roomLists: KnownRoomLists;
  readonly keysLeft: KeysLeft;
}

export interface SlidingRead {
  readonly request: SlidingRequest;
  readonly connection: Connection;
  /** Absent: the beginning of a connection. */
  readonly since: Position | undefined;
  readonly toDeviceSince: SyncToken | undefined;
  readonly epoch: number;
  readonly now: number;
}

export interface SlidingAnswer {
  /** JSON text of the body behind `pos`. */
  readonly text: string;
  /** Nothing happened: a client that waits may wait on. */
  readonly empty: boolean;
  /** What the client has of rooms after this answer, where that is not what it had. */
  readonly sent: ReadonlyMap<number, SentRoom>;
  readonly token: SyncToken;
  readonly begun: number;
}

/** One answer while it is read, inside one snapshot of the database. */
export interface SlidingReading {
  readonly services: SlidingServices;
  readonly reads: Reads;
  readonly reader: SyncReader;
  readonly asked: SlidingRead;
  /** How events are shown. */
  readonly shownTo: EventReader;
  /** The positions of the client and of the answer. */
  readonly after: number;
  readonly upTo: number;
  /** What happened since the client's position, where memory knows that. */
  readonly recent: Recent | undefined;
}
