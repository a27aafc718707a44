// The full text of rooms: rows that the reader of the log keeps, and how they are searched.
import type { Queryable, Reads, Statement } from "./statement.js";

/** Which property of the content a text is. The numbers are stored: they are never given another meaning. */
export const SEARCH_KEYS = { "content.body": 1, "content.name": 2, "content.topic": 3 } as const;
export type SearchKey = keyof typeof SEARCH_KEYS;

/** A text to be found. */
export interface SearchRow {
  readonly nid: number;
  readonly text_nid: number;
  readonly room_nid: number;
  readonly sender_nid: number;
  /** 0 for what is not in the live timeline. */
  readonly position: number;
  readonly sent_ts: number;
  readonly key: number;
  /** Folded words. */
  readonly words: string;
}

const REMOVE: Statement = { name: "search_remove", text: "DELETE FROM search_index WHERE nid = ANY($1)" };
const REMOVE_BETWEEN: Statement = { name: "search_remove_between", text: "DELETE FROM search_index WHERE nid > $1 AND nid <= $2" };
const REMOVE_ROOMS: Statement = {
  name: "search_remove_rooms", // search_index_room
  text: "DELETE FROM search_index WHERE room_nid = ANY($1)",
};
const ADD: Statement = {
  name: "search_add",
  text: `INSERT INTO search_index (nid, text_nid, room_nid, sender_nid, position, sent_ts, key, document)
    SELECT nid, text_nid, room_nid, sender_nid, position, sent_ts, key, search_document(words)
    FROM json_to_recordset($1::json) AS row (nid bigint, text_nid bigint, room_nid bigint, sender_nid bigint, position bigint,
      sent_ts bigint, key smallint, words text)`,
};

/** Takes the texts of events away and puts new ones there. */
export async function replaceTexts(tx: Queryable, nids: readonly number[], rows: readonly SearchRow[]): Promise<void> {
  await tx.query(REMOVE, [nids]);
  if (rows.length > 0) await tx.query(ADD, [JSON.stringify(rows)]);
}

/** Takes away the texts of all events whose numbers are in (after, upTo]. */
export async function removeTextsBetween(tx: Queryable, after: number, upTo: number): Promise<void> {
  await tx.query(REMOVE_BETWEEN, [after, upTo]);
}

/** Takes away the texts of rooms. */
export async function removeTextsOfRooms(tx: Queryable, rooms: readonly number[]): Promise<void> {
  if (rooms.length > 0) await tx.query(REMOVE_ROOMS, [rooms]);
}

const NEXT_EVENTS: Statement<{ nid: number }> = {
  name: "search_next_events", // events_pkey
  text: "SELECT nid FROM events WHERE nid > $1 ORDER BY nid LIMIT $2",
};

/** The numbers of the next events after one, of all rooms. */
export async function eventsAfter(tx: Queryable, nid: number, limit: number): Promise<number[]> {
  return (await tx.query(NEXT_EVENTS, [nid, limit])).map((row) => row.nid);
}

const HAVING_STATE: Statement<{ room_nid: number }> = {
  name: "search_having_state", // current_state_pkey
  text: "SELECT room_nid FROM current_state WHERE room_nid = ANY($1) AND tuple_nid = $2 AND event_nid IS NOT NULL",
};

/** Those of these rooms whose state has a (type, state_key), by number. */
export async function roomsHaving(reads: Reads, rooms: readonly number[], tuple: number | undefined): Promise<Set<number>> {
  if (tuple === undefined || rooms.length === 0) return new Set();
  return new Set((await reads.read(HAVING_STATE, [rooms, tuple])).map(({ room_nid }) => room_nid));
}

const SET_OPEN: Statement = {
  name: "open_rooms_set",
  text: `WITH closed AS (DELETE FROM open_rooms WHERE room_nid = ANY($1) AND room_nid <> ALL($2))
    INSERT INTO open_rooms SELECT unnest($2::bigint[]) ON CONFLICT DO NOTHING`,
};

/** Notes which of these rooms anybody may join or read. */
export async function setOpenRooms(tx: Queryable, rooms: readonly number[], open: readonly number[]): Promise<void> {
  if (rooms.length > 0) await tx.query(SET_OPEN, [rooms, open]);
}

const CURSOR: Statement<{ position: number }> = {
  name: "search_cursor", // log_cursors_pkey
  text: "SELECT position FROM log_cursors WHERE name = 'search'",
};
const HOLD_CURSOR: Statement = {
  name: "search_hold_cursor",
  text: "SELECT FROM log_cursors WHERE name = 'search' FOR UPDATE",
};

/** How far the reader has come. */
export async function searchPosition(reads: Reads): Promise<number> {
  return (await reads.read(CURSOR, []))[0]?.position ?? 0;
}

/** Keeps the reader waiting until the transaction ends. */
export async function holdSearchReader(tx: Queryable): Promise<void> {
  await tx.query(HOLD_CURSOR, []);
}

/** What is looked for, and where. */
export interface SearchQuery {
  readonly words: string;
  readonly phrases: readonly string[];
  readonly rooms: readonly number[];
  readonly keys: readonly number[];
  readonly senders: readonly number[] | null;
  readonly not_senders: readonly number[];
  /** Only what is older, or as old and of a smaller number. */
  readonly before: { readonly sent_ts: number; readonly nid: number };
}

export interface SearchMatch {
  readonly nid: number;
  readonly text_nid: number;
  readonly room_nid: number;
  readonly sender_nid: number;
  readonly position: number;
  readonly sent_ts: number;
  readonly rank: number;
}

const MATCHES: Statement<SearchMatch> = {
  name: "search_matches", // search_index_document, search_index_newest or search_index_room
  text: "SELECT * FROM search_matches($1, $2, $3, $4, $5, $6, $7, $8, $9)",
};

/** The newest texts that match, newest first. */
export async function searchMatches(reads: Reads, query: SearchQuery, limit: number): Promise<SearchMatch[]> {
  const { words, phrases, rooms, keys, senders, not_senders, before } = query;
  if (rooms.length === 0 || senders?.length === 0) return [];
  return await reads.read(MATCHES, [words, phrases, rooms, keys, senders, not_senders, before.sent_ts, before.nid, limit]);
}

const MATCHING_WORDS: Statement<{ word: string }> = {
  name: "search_matching_words",
  text: `SELECT word FROM unnest($1::text[]) AS word WHERE tsvector_to_array(search_document(word)) && tsvector_to_array(search_document($2))`,
};

/** Those of these folded words that a search for some words finds. */
export async function matchingWords(reads: Reads, words: readonly string[], wanted: string): Promise<string[]> {
  return words.length === 0 ? [] : (await reads.read(MATCHING_WORDS, [words, wanted])).map(({ word }) => word);
}
