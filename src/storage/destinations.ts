// Other servers as those whom we owe something: what it is, and how it stands with them.
import type { ServerName } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import { isDeadProcess } from "./processes.js";
import type { Queryable, Reads, Statement } from "./statement.js";

/** An event that a server is to get. */
export interface OwedEvent {
  readonly destination: ServerName;
  readonly position: number;
  readonly event_nid: number;
}

/** An ephemeral message that a server is to get; of the same kind and key only the latest. */
export interface OwedEdu {
  readonly destination: ServerName;
  readonly position: number;
  readonly edu_type: string;
  readonly key: string;
  /** In the name of which of our servers. */
  readonly origin: ServerName;
  /** JSON text. */
  readonly content: string;
}

/** The kind under which other servers are sent messages to devices. */
export const DIRECT_TO_DEVICE = "m.direct_to_device";
/** Kinds of ephemeral messages that nothing can replace: they are kept for a server however long it is away. */
const KEPT: readonly string[] = [DIRECT_TO_DEVICE];

const SERVERS_BEFORE: Statement<{ event_nid: number; server_name: ServerName }> = {
  name: "destinations_servers_before", // joined_servers_pkey
  text: `SELECT event.nid AS event_nid, joined.server_name
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS event (nid, room_nid, position)
    JOIN joined_servers joined ON joined.room_nid = event.room_nid AND joined.since < event.position
      AND (joined.until IS NULL OR joined.until >= event.position)
    WHERE joined.server_name <> ALL ($4::text[])`,
};
const SERVERS_OF_ROOMS: Statement<{ room_nid: number; server_name: ServerName }> = {
  name: "destinations_servers_of_rooms", // joined_servers_pkey
  text: "SELECT room_nid, server_name FROM joined_servers WHERE room_nid = ANY ($1::bigint[]) AND members > 0 AND server_name <> ALL ($2::text[])",
};
const MISSED_IN_ROOMS: Statement<OwedEvent> = {
  name: "destinations_missed_in_rooms", // room_entries_pkey, joined_servers_pkey, events_position
  // The newest event of ours in each room: what came before it a server asks for itself.
  text: `SELECT j.server_name AS destination, newest.position, newest.nid AS event_nid
    FROM room_entries r CROSS JOIN LATERAL (SELECT e.nid, e.position FROM events e JOIN accounts a ON a.user_nid = e.sender_nid
      WHERE e.room_nid = r.room_nid AND e.ordinal IS NOT NULL AND e.position > r.entered ORDER BY e.position DESC LIMIT 1) newest
    JOIN joined_servers j ON j.room_nid = r.room_nid AND j.server_name = ANY (r.missed) AND j.members > 0
    WHERE r.room_nid = ANY ($1::bigint[]) AND r.phase = 'complete' AND j.server_name <> ALL ($2::text[])`,
};
const OWE_EVENTS: Statement = {
  name: "destinations_owe_events",
  // Whoever was away for too long is brought up to date otherwise.
  text: `INSERT INTO owed_events (destination, position, event_nid)
    SELECT destination, position, event_nid FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS owed (destination, position, event_nid)
    WHERE NOT EXISTS (SELECT FROM destinations d WHERE d.server_name = owed.destination AND d.catch_up_after IS NOT NULL)
    ON CONFLICT DO NOTHING`,
};
const OWE_EDUS: Statement = {
  name: "destinations_owe_edus",
  text: `INSERT INTO owed_edus (destination, edu_type, key, position, origin, content)
    SELECT DISTINCT ON (destination, edu_type, key) destination, edu_type, key, position, origin, content
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[]) AS owed (destination, edu_type, key, position, origin, content)
    WHERE edu_type = ANY ($7::text[])
      OR NOT EXISTS (SELECT FROM destinations d WHERE d.server_name = owed.destination AND d.catch_up_after IS NOT NULL)
    ORDER BY destination, edu_type, key, position DESC
    ON CONFLICT (destination, edu_type, key) DO UPDATE SET position = excluded.position, origin = excluded.origin, content = excluded.content`,
};
const NOTE_DUE: Statement = {
  name: "destinations_note_due",
  text: `INSERT INTO destinations (server_name, owed_position) SELECT DISTINCT server_name, $2::bigint FROM unnest($1::text[]) AS owed (server_name) ORDER BY server_name
    ON CONFLICT (server_name) DO UPDATE SET due = true, owed_position = excluded.owed_position`,
};

/** What servers have to get that were in some rooms without our knowing it, now that these are known whole: the newest of our events. */
export async function eventsMissedInRooms(reads: Queryable, roomNids: readonly number[], ours: readonly ServerName[]): Promise<OwedEvent[]> {
  return roomNids.length === 0 ? [] : await reads.query(MISSED_IN_ROOMS, [roomNids, ours]);
}

/** The servers, other than `ours`, that were in the room of each event before it: event number to servers. */
export async function serversBefore(
  reads: Queryable,
  events: readonly { readonly nid: number; readonly room_nid: number; readonly position: number }[],
  ours: readonly ServerName[],
): Promise<Map<number, ServerName[]>> {
  if (events.length === 0) return new Map();
  const rows = await reads.query(SERVERS_BEFORE, [
    events.map(({ nid }) => nid),
    events.map(({ room_nid }) => room_nid),
    events.map(({ position }) => position),
    ours,
  ]);
  return grouped(rows.map(({ event_nid, server_name }) => [event_nid, server_name]));
}

/** The servers, other than `ours`, that are in each of these rooms now. */
export async function serversOfRooms(
  reads: Queryable,
  rooms: readonly number[],
  ours: readonly ServerName[],
): Promise<Map<number, ServerName[]>> {
  if (rooms.length === 0) return new Map();
  const rows = await reads.query(SERVERS_OF_ROOMS, [rooms, ours]);
  return grouped(rows.map(({ room_nid, server_name }) => [room_nid, server_name]));
}

function grouped(pairs: readonly (readonly [number, ServerName])[]): Map<number, ServerName[]> {
  const groups = new Map<number, ServerName[]>();
  for (const [key, server] of pairs) {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [server]);
    else group.push(server);
  }
  return groups;
}

/** Notes what is owed as of a position. */
export async function owe(tx: Queryable, events: readonly OwedEvent[], edus: readonly OwedEdu[], position: number): Promise<void> {
  if (events.length > 0) {
    await tx.query(OWE_EVENTS, [
      events.map(({ destination }) => destination),
      events.map((event) => event.position),
      events.map(({ event_nid }) => event_nid),
    ]);
  }
  if (edus.length > 0) {
    await tx.query(OWE_EDUS, [
      edus.map(({ destination }) => destination),
      edus.map(({ edu_type }) => edu_type),
      edus.map(({ key }) => key),
      edus.map((edu) => edu.position),
      edus.map(({ origin }) => origin),
      edus.map(({ content }) => content),
      KEPT,
    ]);
  }
  const destinations = [...new Set([...events, ...edus].map(({ destination }) => destination))];
  if (destinations.length > 0) await tx.query(NOTE_DUE, [destinations, position]);
}

/** A server that this process is to send to now. */
export interface ClaimedDestination {
  readonly server_name: ServerName;
  /** Whether it failed when it was tried last, and has not been heard of since. */
  readonly has_failed: boolean;
  readonly failures: number;
  readonly first_failure_ts: number | null;
  readonly catch_up_after: number | null;
  /** Whether what it is sent next was never tried before. */
  readonly is_fresh: boolean;
}

// Our own claim on a server that we do not send to is left over: what was owed could not be looked up.
const FREE = `due AND (claimed_until_ts <= $2 OR (claimed_by = $1 AND server_name <> ALL ($6::text[])) OR ${isDeadProcess("destinations.claimed_by")})`;
// Up to where the log was read for other servers: what comes to be owed later lies behind.
const NOTED = "(SELECT position FROM log_cursors WHERE name = 'federation')";
const CLAIM: Statement<ClaimedDestination> = {
  name: "destinations_claim", // destinations_due
  text: `WITH sound AS (SELECT server_name, open_until FROM destinations WHERE ${FREE} AND retry_ts = 0 LIMIT $4 FOR UPDATE SKIP LOCKED),
    failed AS (SELECT server_name, open_until FROM destinations WHERE ${FREE} AND retry_ts > 0 AND retry_ts <= $2
      ORDER BY retry_ts LIMIT $5 FOR UPDATE SKIP LOCKED)
    UPDATE destinations d SET claimed_by = $1, claimed_until_ts = $3, open_until = coalesce(d.open_until, ${NOTED}),
      -- Whether a server is back is tried with little.
      open_small = CASE WHEN d.open_until IS NULL THEN d.retry_ts > 0 ELSE d.open_small END
    FROM (SELECT * FROM sound UNION ALL SELECT * FROM failed) chosen WHERE d.server_name = chosen.server_name
    RETURNING d.server_name, d.retry_ts > 0 AS has_failed, d.failures, d.first_failure_ts, d.catch_up_after, chosen.open_until IS NULL AS is_fresh`,
};
const NEXT_EVENTS: Statement<{ destination: ServerName; owed_position: number; open_until: number; position: number | null; event_nid: number | null }> = {
  name: "destinations_next_events", // destinations_pkey, owed_events_pkey
  text: `SELECT d.server_name AS destination, d.owed_position, coalesce(d.open_until, 0) AS open_until, owed.position, owed.event_nid FROM unnest($1::text[]) AS given (name)
    JOIN destinations d ON d.server_name = given.name
    LEFT JOIN LATERAL (SELECT position, event_nid FROM owed_events WHERE destination = given.name AND position <= d.open_until
      ORDER BY position, event_nid LIMIT CASE WHEN d.open_small THEN $3::integer ELSE $2::integer END) owed ON true
    ORDER BY d.server_name, owed.position, owed.event_nid`,
};
const NEXT_EDUS: Statement<OwedEdu> = {
  name: "destinations_next_edus", // owed_edus_position
  text: `SELECT owed.* FROM unnest($1::text[]) AS given (name) JOIN destinations d ON d.server_name = given.name
    CROSS JOIN LATERAL (SELECT destination, edu_type, key, position, origin, content FROM owed_edus WHERE destination = given.name AND position <= d.open_until
      ORDER BY position, edu_type, key LIMIT CASE WHEN d.open_small THEN $3::integer ELSE $2::integer END) owed
    ORDER BY owed.destination, owed.position`,
};
const SENT: Statement = {
  name: "destinations_sent", // owed_events_pkey, owed_edus_pkey, destinations_pkey
  // Rows are locked in the order of names, as they are where something comes to be owed. What was replaced meanwhile is owed still.
  text: `WITH events AS (DELETE FROM owed_events o USING unnest($3::text[], $4::bigint[], $5::bigint[]) AS sent (server, position, event_nid)
      WHERE o.destination = sent.server AND o.position = sent.position AND o.event_nid = sent.event_nid),
    edus AS (DELETE FROM owed_edus o USING unnest($6::text[], $7::text[], $8::text[], $9::bigint[]) AS sent (server, edu_type, key, position)
      WHERE o.destination = sent.server AND o.edu_type = sent.edu_type AND o.key = sent.key AND o.position = sent.position),
    held AS (SELECT server_name FROM destinations WHERE server_name = ANY ($1::text[]) ORDER BY server_name FOR UPDATE)
    UPDATE destinations SET failures = 0, first_failure_ts = NULL, retry_ts = 0, claimed_until_ts = $2, open_until = ${NOTED}, open_small = false
    WHERE server_name IN (SELECT server_name FROM held)`,
};
const RELEASE: Statement = {
  name: "destinations_release", // destinations_pkey
  // What came to be owed since it was looked at, or since it was fixed what is sent, keeps it due.
  text: `WITH held AS (SELECT server_name FROM destinations WHERE server_name = ANY ($1::text[]) ORDER BY server_name FOR UPDATE)
    UPDATE destinations d SET claimed_by = NULL, claimed_until_ts = 0, open_until = NULL, due = d.due AND (d.owed_position <> given.position OR d.owed_position > coalesce(d.open_until, 0))
    FROM unnest($1::text[], $2::bigint[]) AS given (name, position) JOIN held ON held.server_name = given.name
    WHERE d.server_name = given.name`,
};
const FAILED: Statement = {
  name: "destinations_failed",
  text: `WITH held AS (SELECT server_name FROM destinations WHERE server_name = ANY ($1::text[]) ORDER BY server_name FOR UPDATE)
    UPDATE destinations d SET failures = failures + 1, first_failure_ts = coalesce(first_failure_ts, $2), retry_ts = given.retry,
      claimed_by = NULL, claimed_until_ts = 0, open_until = CASE WHEN given.unclear THEN d.open_until END
    FROM unnest($1::text[], $3::bigint[], $4::boolean[]) AS given (name, retry, unclear) JOIN held ON held.server_name = given.name WHERE d.server_name = given.name`,
};
const SUSPEND: Statement = {
  name: "destinations_suspend",
  text: `WITH owed AS (DELETE FROM owed_events WHERE destination = $1 RETURNING position),
      gone AS (DELETE FROM owed_edus WHERE destination = $1 AND edu_type <> ALL ($2::text[]))
    UPDATE destinations SET catch_up_after = coalesce((SELECT min(position) - 1 FROM owed), catch_up_after, owed_position), open_until = NULL WHERE server_name = $1`,
};
const GIVE_UP: Statement = {
  name: "destinations_give_up",
  text: "DELETE FROM owed_edus USING destinations d WHERE d.server_name = destination AND d.first_failure_ts < $1",
};
const CATCH_UP: Statement = {
  name: "destinations_catch_up", // joined_servers_server, events_position
  // The newest event of ours in each room that the server is in: what came before it asks for itself.
  text: `WITH missed AS (
      SELECT newest.nid, newest.position FROM joined_servers j
      CROSS JOIN LATERAL (SELECT e.nid, e.position FROM events e JOIN accounts a ON a.user_nid = e.sender_nid
        WHERE e.room_nid = j.room_nid AND e.ordinal IS NOT NULL AND e.position > $2 AND e.position >= j.since
        ORDER BY e.position DESC LIMIT 1) newest
      WHERE j.server_name = $1 AND j.members > 0),
    owed AS (INSERT INTO owed_events (destination, position, event_nid) SELECT $1, position, nid FROM missed ON CONFLICT DO NOTHING)
    UPDATE destinations SET catch_up_after = NULL WHERE server_name = $1`,
};
const WAKE: Statement = {
  name: "destinations_wake",
  text: "UPDATE destinations SET retry_ts = 0 WHERE server_name = ANY ($1::text[]) AND retry_ts > 0",
};
const FAILING: Statement<{ server_name: ServerName }> = {
  name: "destinations_failing", // destinations_due
  text: "SELECT server_name FROM destinations WHERE due AND retry_ts > $1",
};

/** Takes servers to send to, for `holdMs` milliseconds; of those that failed those that wait longest first. */
export async function claimDestinations(
  database: Database,
  process: number,
  now: number,
  holdMs: number,
  limits: { readonly sound: number; readonly failed: number },
  /** Servers that this process sends to. */
  sending: readonly ServerName[],
): Promise<ClaimedDestination[]> {
  return await database.execute(CLAIM, [process, now, now + holdMs, limits.sound, limits.failed, sending]);
}

/** What a server is to get next, the oldest first, and the position up to which that is known. */
export interface Owed {
  readonly owedPosition: number;
  /** With the events it makes out a transaction: the same until it is answered, and never the same again. */
  readonly openUntil: number;
  readonly events: readonly Omit<OwedEvent, "destination">[];
  readonly edus: readonly OwedEdu[];
}

/** What each of some servers is to get next; who is not known is left out. */
export async function nextOwed(
  reads: Reads,
  servers: readonly ServerName[],
  limits: { readonly events: number; readonly edus: number; /** Of either, for a server that failed before. */ readonly few: number },
): Promise<Map<ServerName, Owed>> {
  const next = new Map<ServerName, { owedPosition: number; openUntil: number; events: Omit<OwedEvent, "destination">[]; edus: OwedEdu[] }>();
  for (const { destination, owed_position, open_until, position, event_nid } of await reads.read(NEXT_EVENTS, [servers, limits.events, limits.few])) {
    const owed = next.get(destination) ?? { owedPosition: owed_position, openUntil: open_until, events: [], edus: [] };
    next.set(destination, owed);
    if (position !== null && event_nid !== null) owed.events.push({ position, event_nid });
  }
  for (const edu of await reads.read(NEXT_EDUS, [servers, limits.edus, limits.few])) next.get(edu.destination)?.edus.push(edu);
  return next;
}

/** Notes that servers have got these, the oldest that each was owed; they are held until a time. */
export async function noteSent(
  database: Database,
  sent: readonly { readonly server: ServerName; readonly owed: Pick<Owed, "events" | "edus"> }[],
  until: number,
): Promise<void> {
  const events = sent.flatMap(({ server, owed }) => owed.events.map((event) => ({ ...event, server })));
  const edus = sent.flatMap(({ server, owed }) => owed.edus.map((edu) => ({ ...edu, server })));
  await database.execute(SENT, [
    sent.map(({ server }) => server),
    until,
    events.map(({ server }) => server),
    events.map(({ position }) => position),
    events.map(({ event_nid }) => event_nid),
    edus.map(({ server }) => server),
    edus.map(({ edu_type }) => edu_type),
    edus.map(({ key }) => key),
    edus.map(({ position }) => position),
  ]);
}

/** Lets go of servers to which nothing more was owed as of `owedPosition`. */
export async function releaseDestinations(
  database: Database,
  released: readonly { readonly server: ServerName; readonly owedPosition: number }[],
): Promise<void> {
  await database.execute(RELEASE, [released.map(({ server }) => server), released.map(({ owedPosition }) => owedPosition)]);
}

/**
 * Notes that servers failed, and when to try again; they are let go of. Where it is `unclear` whether they have got what they were sent,
 * that is what they are sent again.
 */
export async function noteFailed(
  database: Database,
  failed: readonly { readonly server: ServerName; readonly retry: number; readonly unclear: boolean }[],
  now: number,
): Promise<void> {
  await database.execute(FAILED, [failed.map(({ server }) => server), now, failed.map(({ retry }) => retry), failed.map(({ unclear }) => unclear)]);
}

/** Keeps only messages to devices for a server any more that is away: it is brought up to date of the rest when it is back. */
export async function suspendDestination(database: Database, server: ServerName): Promise<void> {
  await database.write(SUSPEND, [server, KEPT]);
}

/** Gives up the ephemeral messages, those to devices too, for servers that have been away since before a time. */
export async function giveUpMessages(database: Database, since: number): Promise<void> {
  await database.write(GIVE_UP, [since]);
}

/** Owes a server that was away the newest of what it missed after a position. */
export async function catchUp(tx: Queryable, server: ServerName, after: number): Promise<void> {
  await tx.query(CATCH_UP, [server, after]);
}

/** Lets servers be tried at once. */
export async function wakeDestinations(database: Database, servers: readonly ServerName[]): Promise<void> {
  await database.write(WAKE, [servers]);
}

/** Servers that are left alone for now because they failed. */
export async function failingDestinations(reads: Reads, now: number): Promise<ServerName[]> {
  return (await reads.read(FAILING, [now])).map(({ server_name }) => server_name);
}
