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
  /** Set where sticky events were left out: the place of the last one that was told, in rooms that are not new since. */
  readonly sticky?: { readonly position: number; readonly event_nid: number };
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
  if (token.kind === "history") {
    const { depth, nid, position, upTo } = token;
    return `t${depth}_${nid}_${position}${upTo === undefined ? "" : `_${upTo}`}`;
  }
  const { epoch, position, ephemeral, toDevice, sticky } = token;
  const told = sticky === undefined ? "" : `k${sticky.position}_${sticky.event_nid}`;
  return `s${epoch}_${position}_${ephemeral}${toDevice === undefined ? "" : `_${toDevice}`}${told}`;
}

/** What a position of sliding sync has before the token of a sync that it ends with. */
const CONNECTION = /^p[\d_]{1,64}~(?=s)/;
const TOKEN = /^([st])(\d{1,16})_(\d{1,16})_(\d{1,16})(?:_(\d{1,16}))?(?:k(\d{1,16})_(\d{1,16}))?$/;

/** Reads a token, or that of a position of sliding sync; undefined for anything that formatToken did not write. */
export function parseToken(text: string): SyncToken | HistoryToken | undefined {
  const match = TOKEN.exec(text.replace(CONNECTION, ""));
  if (match === null) return undefined;
  const numbers = match.slice(2).map((part) => (part === undefined ? undefined : Number(part)));
  const [first, second, third, last, place, event] = numbers;
  if (first === undefined || second === undefined || third === undefined) return undefined;
  if (!numbers.every((number) => number === undefined || Number.isSafeInteger(number))) return undefined;
  if (match[1] === "t") return place === undefined ? { kind: "history", depth: first, nid: second, position: third, ...(last !== undefined && { upTo: last }) } : undefined;
  return {
    kind: "sync",
    epoch: first,
    position: second,
    ephemeral: third,
    ...(last !== undefined && { toDevice: last }),
    ...(place !== undefined && event !== undefined && { sticky: { position: place, event_nid: event } }),
  };
}
