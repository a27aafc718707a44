// How long it is quiet after a mail about a room.
import type { Queryable, Reads, Statement } from "./statement.js";

export interface MailPause {
  readonly room_nid: number;
  readonly sent_ts: number;
  readonly pause_ms: number;
}

const OF_PUSHER: Statement<MailPause> = {
  name: "push_mail_pauses_of_pusher", // push_mail_pauses_pkey
  text: "SELECT room_nid, sent_ts, pause_ms FROM push_mail_pauses WHERE pusher_nid = $1 AND room_nid = ANY($2)",
};
const SET: Statement = {
  name: "push_mail_pauses_set",
  text: `INSERT INTO push_mail_pauses (pusher_nid, room_nid, sent_ts, pause_ms)
    SELECT $1, room_nid, $4, pause_ms FROM unnest($2::bigint[], $3::bigint[]) AS new (room_nid, pause_ms)
    ON CONFLICT (pusher_nid, room_nid) DO UPDATE SET sent_ts = excluded.sent_ts, pause_ms = excluded.pause_ms`,
};

/** The pauses of a pusher that were set for rooms, by room. */
export async function mailPauses(reads: Reads, pusherNid: number, rooms: readonly number[]): Promise<Map<number, MailPause>> {
  return new Map((await reads.read(OF_PUSHER, [pusherNid, rooms])).map((pause) => [pause.room_nid, pause]));
}

/** Notes that a mail about these rooms was sent, and how long the pauses after it are. */
export async function setMailPauses(tx: Queryable, pusherNid: number, sentTs: number, pauses: ReadonlyMap<number, number>): Promise<void> {
  await tx.query(SET, [pusherNid, [...pauses.keys()], [...pauses.values()], sentTs]);
}
