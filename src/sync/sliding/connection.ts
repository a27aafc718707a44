// Connections of sliding sync and the positions that clients show (MSC4186, "Connections"). What a connection was sent is in
// the database, as a chain of states that never change; the position names the state and the place in the log. Most answers
// only move the place: they write nothing.
import { LRUCache } from "lru-cache";
import type { Clock } from "../../clock.js";
import { MatrixError, unknownToken } from "../../errors.js";
import { formatToken, parseToken, type SyncToken } from "../../rooms/token.js";
import type { Database } from "../../storage/database.js";
import {
  type ConnectionOwner,
  findConnection,
  openConnection,
  type SentRoom,
  storeState,
  touchConnection,
} from "../../storage/sliding-connections.js";

/** A position as clients show it. */
export interface Position {
  readonly connection: number;
  readonly state: number;
  /** Bits of the extensions that tell of the whole account and have begun. */
  readonly begun: number;
  readonly token: SyncToken;
}

const POSITION = /^p(\d{1,15})_(\d{1,15})_(\d{1,3})~(s.+)$/;

/** The text of a position. */
export function formatPosition({ connection, state, begun, token }: Position): string {
  return `p${connection}_${state}_${begun}~${formatToken(token)}`;
}

/** Reads a position; undefined for anything that formatPosition did not write. */
export function parsePosition(text: string): Position | undefined {
  const [, connection, state, begun, rest] = POSITION.exec(text) ?? [];
  const token = rest === undefined ? undefined : parseToken(rest);
  if (token?.kind !== "sync") return undefined;
  return { connection: Number(connection), state: Number(state), begun: Number(begun), token };
}

/** The refusal of a position that is not, or no longer, known: the client has to begin again. */
export const unknownPosition = (): MatrixError =>
  new MatrixError(400, "M_UNKNOWN_POS", "This position is not known here, or not any more: begin without one.");

/** A connection in one of its states. */
export interface Connection {
  /** Undefined where the connection is yet to be written. */
  readonly nid: number | undefined;
  readonly state: number;
  readonly rooms: ReadonlyMap<number, SentRoom>;
}

export const NO_CONNECTION: Connection = { nid: undefined, state: 0, rooms: new Map() };

interface Kept extends Connection {
  readonly owner: { readonly user_nid: number; readonly device_id: string | undefined; readonly conn_id: string };
  /** When its use was last noted, by the monotonic clock. */
  touched: number;
}

/** Rooms in all of the states that are kept in memory. */
const KEPT_ROOMS = 500_000;
/** How long the use of a connection is not noted again. */
const TOUCH_MS = 3_600_000;

/** The connections that this process has met lately. A state never changes, so that none of it can be out of date. */
export class Connections {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #kept = new LRUCache<string, Kept>({ maxSize: KEPT_ROOMS, sizeCalculation: ({ rooms }) => 10 + rooms.size });

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** The connection that a position names. Throws M_UNKNOWN_POS if it is not its owner's, or not kept. */
  async find({ connection, state }: Position, owner: ConnectionOwner): Promise<Connection> {
    const key = `${connection} ${state}`;
    let kept = this.#kept.get(key);
    if (kept === undefined) {
      const found = await this.#database.snapshot((reads) => findConnection(reads, connection, state));
      if (found === undefined) throw unknownPosition();
      kept = { nid: connection, state, rooms: found.rooms, owner: found, touched: Number.NEGATIVE_INFINITY };
      this.#kept.set(key, kept);
    }
    const { user_nid, device_id, conn_id } = kept.owner;
    if (user_nid !== owner.user_nid || device_id !== owner.device_id || conn_id !== owner.conn_id) throw unknownPosition();
    if (this.#clock.monotonic() - kept.touched > TOUCH_MS) {
      if (!(await touchConnection(this.#database, connection))) {
        this.#kept.delete(key);
        throw unknownPosition();
      }
      kept.touched = this.#clock.monotonic();
    }
    return kept;
  }

  /**
   * Writes what an answer sends of rooms; gives the number of the connection and of its state then. Throws M_UNKNOWN_POS if
   * the connection, or the state that the answer was made from, has gone; M_UNKNOWN_TOKEN if the device has.
   */
  async advance(
    from: Connection,
    owner: ConnectionOwner,
    sent: ReadonlyMap<number, SentRoom>,
  ): Promise<{ readonly connection: number; readonly state: number }> {
    const connection = from.nid ?? (await openConnection(this.#database, owner));
    if (connection === undefined) throw unknownToken("This device was deleted: log in again.");
    if (sent.size === 0) return { connection, state: from.state };
    const state = await storeState(this.#database, connection, from.state, sent);
    if (state === undefined) throw unknownPosition();
    const rooms = new Map(from.rooms);
    for (const [room, is] of sent) rooms.set(room, is);
    this.#kept.set(`${connection} ${state}`, { nid: connection, state, rooms, owner, touched: this.#clock.monotonic() });
    return { connection, state };
  }

  /** Forgets everything: the database may have lost what it had. */
  forgetAll(): void {
    this.#kept.clear();
  }
}
