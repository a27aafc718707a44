// What is asked of a sync, by whom, and what it answers (client-server API, "Syncing").
import type { SideStreams } from "../ephemeral/side-streams.js";
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import type { EventReader } from "../rooms/views/client-event.js";
import type { SyncToken } from "../rooms/token.js";
import type { VisibilityServices } from "../rooms/views/visibility.js";
import type { Database } from "../storage/database.js";
import type { Reads } from "../storage/statement.js";
import type { SentMembers } from "./sent-members.js";
import type { SyncFilter } from "./sync-filter.js";

export interface SyncServices extends VisibilityServices {
  readonly database: Database;
  readonly streams: SideStreams;
  readonly sentMembers: SentMembers;
}

export interface SyncReader {
  readonly user_id: UserId;
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
}

/** What a client calls the state at the end of a timeline that it asked for instead of the state at its start. */
export type StateAfter = "state_after" | "org.matrix.msc4222.state_after";

export interface SyncRequest {
  /** Absent: an initial sync. */
  readonly since: SyncToken | undefined;
  /** The client's token is of a history that this database has lost: everything is told again, rooms that were left too. */
  readonly resync: boolean;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
  readonly stateAfter: StateAfter | undefined;
  readonly epoch: number;
  readonly now: number;
}

export interface SyncAnswer {
  /** JSON text of the whole body. */
  readonly text: string;
  /** Nothing happened: a client that waits may wait on. */
  readonly empty: boolean;
  readonly next: SyncToken;
}

/** One answer while it is read, inside one snapshot of the database. */
export interface SyncReading {
  readonly services: SyncServices;
  readonly reads: Reads;
  readonly reader: SyncReader;
  readonly request: SyncRequest;
  /** How events are shown. */
  readonly shownTo: EventReader;
  /** The positions of the token and of the answer. */
  readonly after: number;
  readonly upTo: number;
  /** The log knows what happened since the token. */
  readonly logReachesBack: boolean;
}
