// Tokens: places in the two orders of events. Clients must not look inside, and we believe nothing we read there.

/** A place in what happened here: the head of the log, as of which a /sync was answered. */
export interface SyncToken {
  readonly kind: "sync";
  /** The history of the database that the position belongs to. */
  readonly epoch: number;
  readonly position: number;
  /** Serial of what is not in the log (typing); other processes and later starts have other serials. */
  readonly ephemeral: number;
  /** Set where messages to the device were left out: the number of the last one that it was shown. */
  readonly toDevice?: number;
}

/**
 * A boundary in the history of a room: just before the event whose history key (depth, then nid) this is. `position` says
 * where in the log that was, for what is asked as of then.
 */
export interface HistoryToken {
  readonly kind: "history";
  readonly depth: number;
  readonly nid: number;
  readonly position: number;
  /** Set where pages that go back are without what arrived later: the sync that the token is of has shown it, or the next will. */
  readonly upTo?: number;
}

/** The text of a token. */
export function formatToken(token: SyncToken | HistoryToken): string {
  const last = token.kind === "sync" ? token.toDevice : token.upTo;
  return (
    (token.kind === "sync" ? `s${token.epoch}_${token.position}_${token.ephemeral}` : `t${token.depth}_${token.nid}_${token.position}`) +
    (last === undefined ? "" : `_${last}`)
  );
}

/** What a position of sliding sync has before the token of a sync that it ends with. */
const CONNECTION = /^p[\d_]{1,64}~(?=s)/;
const TOKEN = /^([st])(\d{1,16})_(\d{1,16})_(\d{1,16})(?:_(\d{1,16}))?$/;

/** Reads a token, or that of a position of sliding sync; undefined for anything that formatToken did not write. */
export function parseToken(text: string): SyncToken | HistoryToken | undefined {
  const match = TOKEN.exec(text.replace(CONNECTION, ""));
  if (match === null) return undefined;
  const numbers = match.slice(2).filter((part) => part !== undefined).map(Number);
  const [first, second, third, last] = numbers;
  if (first === undefined || second === undefined || third === undefined) return undefined;
  if (!numbers.every(Number.isSafeInteger)) return undefined;
  if (match[1] === "s") return { kind: "sync", epoch: first, position: second, ephemeral: third, ...(last !== undefined && { toDevice: last }) };
  return { kind: "history", depth: first, nid: second, position: third, ...(last !== undefined && { upTo: last }) };
}
