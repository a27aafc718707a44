// What users reported to the administrators.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";
import { toText } from "./text.js";

/** A report: of a room, of an event and its room, or of a user. */
export interface Report {
  readonly reporter_nid: number;
  readonly room_nid?: number;
  readonly event_nid?: number;
  readonly user_nid?: number;
  readonly reason: string | undefined;
  /** From -100, the worst, to 0: older clients say it of events. */
  readonly score?: number | undefined;
}

const ADD: Statement = {
  name: "reports_add",
  text: "INSERT INTO reports (reporter_nid, room_nid, event_nid, user_nid, reason, score) VALUES ($1, $2, $3, $4, $5, $6) RETURNING nid",
};

/** Keeps a report. */
export async function addReport(database: Database, report: Report): Promise<void> {
  const { reporter_nid, room_nid, event_nid, user_nid, reason, score } = report;
  const text = reason === undefined ? null : toText(reason);
  await database.write(ADD, [reporter_nid, room_nid ?? null, event_nid ?? null, user_nid ?? null, text, score ?? null]);
}
