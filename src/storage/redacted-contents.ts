// Overwrites the content of redacted events: until then only readers are kept from it, afterwards the database is, too.
import { redactEvent } from "../protocol/event-format.js";
import { storedEvent } from "../protocol/event.js";
import { roomVersion } from "../protocol/room-version.js";
import type { Database } from "./database.js";
import { eventsByNid } from "./events.js";
import type { Statement } from "./statement.js";

const PAGE = 500;

const DUE: Statement<{ event_nid: number }> = {
  name: "redacted_contents_due", // redacted_contents_redacted
  text: `SELECT event_nid FROM redacted_contents WHERE redacted < now() - make_interval(secs => $1)
    ORDER BY redacted LIMIT ${PAGE} FOR UPDATE SKIP LOCKED`,
};
const OVERWRITE: Statement = {
  name: "redacted_contents_overwrite", // the primary keys of both tables of bodies
  text: `WITH new AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS new (nid, json)),
      messages AS (UPDATE message_json SET json = new.json FROM new WHERE message_json.nid = new.nid)
    UPDATE state_event_json SET json = new.json FROM new WHERE state_event_json.nid = new.nid`,
};
const DONE: Statement = {
  name: "redacted_contents_done", // redacted_contents_pkey
  text: "DELETE FROM redacted_contents WHERE event_nid = ANY ($1::bigint[])",
};

/**
 * Leaves of events that were redacted `graceSeconds` ago only what the redaction algorithm of their room version keeps
 * (room versions, "Redactions"); how many, at most 500. What makes them those events (ids, hashes, signatures) stays, so that
 * other servers still accept them. Throws if a stored event cannot be read.
 */
export async function overwriteRedacted(database: Database, graceSeconds: number): Promise<number> {
  return await database.transaction(async (tx) => {
    const due = (await tx.query(DUE, [graceSeconds])).map(({ event_nid }) => event_nid);
    if (due.length === 0) return 0;
    const rows = await eventsByNid({ read: (statement, values) => tx.query(statement, values) }, due);
    const nids: number[] = [];
    const texts: string[] = [];
    for (const { nid, event_id, version: id, json } of rows.values()) {
      const version = roomVersion(id);
      if (version === undefined) throw new Error(`event ${event_id} is of a room of the unknown version ${id}`);
      nids.push(nid);
      texts.push(redactEvent(version, storedEvent(version, event_id, json)).json);
    }
    await tx.query(OVERWRITE, [nids, texts]);
    await tx.query(DONE, [due]);
    return due.length;
  });
}
