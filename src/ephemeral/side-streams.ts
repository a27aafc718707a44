// What /sync shows beside events: each stream says what of it changed in a range of positions.
import type { Reads } from "../storage/statement.js";

/** Positions after `after`, up to and with `upTo`. */
export interface Range {
  readonly after: number;
  readonly upTo: number;
}

/** A client event without id: account data, presence, receipts. `content` is JSON text. */
export interface SideEvent {
  readonly type: string;
  readonly content: string;
  readonly sender?: string;
}

export interface UnreadCounts {
  readonly notification_count: number;
  readonly highlight_count: number;
  /** By thread root, for those that have any. The counts above are then those of the main timeline. */
  readonly threads: ReadonlyMap<string, { readonly notification_count: number; readonly highlight_count: number }>;
}

/** Rooms in which the user may have met others in a range. */
export interface Met {
  /** Where the user came in. */
  readonly fresh: readonly number[];
  /** Where the user was already, and memberships may have changed. */
  readonly changed: readonly number[];
}

export interface SideStreams {
  /** Receipts of rooms as the content of `m.receipt`: JSON text by room; private ones only of the reader. */
  receipts(reads: Reads, rooms: readonly number[], userNid: number, range: Range): Promise<Map<number, string>>;
  /** Who types in a room now, as the content of `m.typing`; undefined if nobody has since this process started. */
  typing(roomNid: number): string | undefined;
  /** The rooms of these in which typing changed after a serial; all that have any for a serial that is not ours. */
  typingChanged(rooms: Iterable<number>, serial: number): number[];
  /** The serial of typing now. */
  typingSerial(): number;
  /** Account data of a user: of the account, and of rooms. Push rules are among the former. */
  accountData(
    reads: Reads,
    userNid: number,
    range: Range,
  ): Promise<{ readonly global: readonly SideEvent[]; readonly rooms: ReadonlyMap<number, readonly SideEvent[]> }>;
  /** Presence of those who share a room with the user, as `m.presence` events: what changed, and that of whom the user met. */
  presence(reads: Reads, userNid: number, range: Range, met: Met): Promise<readonly SideEvent[]>;
  /** Presence of users as it is now, by number; `m.presence` events. */
  presenceOf(reads: Reads, userNids: readonly number[]): Promise<Map<number, SideEvent>>;
  /** Unread counts of (user, room) pairs, by `unreadKey`; `perThread` parts them by thread. Pairs without any may be left out. */
  unread(reads: Reads, pairs: readonly UserRoom[], perThread: boolean): Promise<Map<string, UnreadCounts>>;
}

export interface UserRoom {
  readonly user_nid: number;
  readonly room_nid: number;
}

/** The key of a pair in what `unread` gives. */
export const unreadKey = ({ user_nid, room_nid }: UserRoom): string => `${user_nid} ${room_nid}`;
