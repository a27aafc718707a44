// Partitions of the log: made ahead of its head, dropped behind all who still read.
import { logger } from "../log.js";
import type { Database } from "./database.js";
import { makePartition, PARTITION } from "./log-partitions.js";
import { logHead } from "./log.js";
import type { Statement } from "./statement.js";

const log = logger("log");

const AHEAD = 2;
const KEEP_DAYS = 30;
const UPKEEP_LOCK = 0x68616e75;

const PARTITIONS: Statement<{ name: string }> = {
  name: "log_partitions",
  text: "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'log'::regclass",
};
const NOTE_TIME: Statement = {
  name: "log_clock_note",
  text: `INSERT INTO log_clock (position) SELECT $1 WHERE NOT EXISTS (
    SELECT FROM log_clock WHERE at > now() - interval '1 hour') ON CONFLICT DO NOTHING`,
};
const FORGET_TIMES: Statement = {
  name: "log_clock_forget",
  text: `DELETE FROM log_clock WHERE at < now() - make_interval(days => ${KEEP_DAYS + 30})`,
};
const FLOOR: Statement<{ floor: number }> = {
  name: "log_floor",
  text: `SELECT least(
      (SELECT coalesce(max(position), 0) FROM log_clock WHERE at < now() - make_interval(days => ${KEEP_DAYS})),
      (SELECT coalesce(min(position), 9007199254740991) FROM log_cursors)) AS floor`,
};

/**
 * Makes the partitions that the log will soon need and drops those that nobody reads any longer: all positions older than
 * 30 days and behind every cursor. Several processes may do it; one at a time does.
 */
export async function keepLogPartitions(database: Database): Promise<void> {
  const head = await logHead(database);
  await database.write(NOTE_TIME, [head]);
  await database.write(FORGET_TIMES, []);
  const names = new Set((await database.read(PARTITIONS, [])).map((row) => row.name));
  const [row] = await database.read(FLOOR, []);
  const current = Math.floor(head / PARTITION);
  const floor = Math.floor((row?.floor ?? 0) / PARTITION);
  const wanted = Array.from({ length: AHEAD + 1 }, (_, index) => current + index).filter(
    (number) => !names.has(`log_p${number}`),
  );
  const dropped = [...names].filter((name) => {
    const number = Number(/^log_p(\d+)$/.exec(name)?.[1] ?? Number.NaN);
    return number < floor && number < current;
  });
  if (wanted.length === 0 && dropped.length === 0) return;
  await database.transaction(async (tx) => {
    await tx.query({ name: "log_upkeep_lock", text: `SELECT pg_advisory_xact_lock(${UPKEEP_LOCK})` }, []);
    for (const number of wanted) await makePartition(tx, number);
    for (const name of dropped) await tx.query({ name: "", text: `DROP TABLE IF EXISTS ${name}` }, []);
  });
  if (dropped.length > 0) log.info({ dropped: dropped.length }, "old partitions of the log were dropped");
}
