// Message bodies by month of arrival: each month begins a new partition at a number above all that were given out.
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";

/** Room for numbers that processes have taken in blocks and not used yet; what is left of it stays unused. */
const GAP = 1_000_000;
const CUT_LOCK = 0x68616e77;

const NEWEST: Statement<{ name: string; bound: string }> = {
  name: "message_partitions_newest",
  text: `SELECT inhrelid::regclass::text AS name, pg_get_expr(relpartbound, inhrelid) AS bound
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'message_json'::regclass AND pg_get_expr(relpartbound, inhrelid) LIKE '%TO (MAXVALUE)'`,
};
const LAST_NUMBER: Statement<{ last: number }> = {
  name: "message_partitions_last_number",
  text: "SELECT last_value AS last FROM event_nids",
};

/**
 * Begins this month's partition, if it has not begun: true if it did. Nothing is copied. The long part, proving that the
 * old partition ends where it will, leaves writers alone; the exchange itself takes a moment.
 */
export async function cutMessagePartition(database: Database, month: string): Promise<boolean> {
  const name = `message_json_${month.replace("-", "")}`;
  if (!/^message_json_\d{6}$/.test(name)) throw new RangeError("a month is written YYYY-MM");
  const session = await database.connect();
  try {
    const { rows } = await session.query<{ locked: boolean }>(`SELECT pg_try_advisory_lock(${CUT_LOCK}) AS locked`);
    const [newest] = await database.read(NEWEST, []);
    if (rows[0]?.locked !== true || newest === undefined || newest.name === name) return false;
    const from = /FROM \((.+)\) TO/.exec(newest.bound)?.[1] ?? "MINVALUE";
    const lower = from === "MINVALUE" ? from : Number(from.replaceAll("'", ""));
    const [number] = await database.read(LAST_NUMBER, []);
    const cut = (number?.last ?? 0) + GAP;
    // The constraint lets PostgreSQL attach the partition again without reading it.
    await session.query(`ALTER TABLE ${newest.name} DROP CONSTRAINT IF EXISTS ends`);
    await session.query(`ALTER TABLE ${newest.name} ADD CONSTRAINT ends CHECK (nid < ${cut}) NOT VALID`);
    await session.query(`ALTER TABLE ${newest.name} VALIDATE CONSTRAINT ends`);
    await session.query("BEGIN");
    await session.query("SET LOCAL lock_timeout = '2s'");
    await session.query(`ALTER TABLE message_json DETACH PARTITION ${newest.name}`);
    await session.query(`ALTER TABLE message_json ATTACH PARTITION ${newest.name} FOR VALUES FROM (${lower}) TO (${cut})`);
    await session.query(`CREATE TABLE ${name} PARTITION OF message_json FOR VALUES FROM (${cut}) TO (MAXVALUE)`);
    await session.query(`SELECT setval('event_nids', greatest(${cut}, last_value)) FROM event_nids`);
    await session.query("COMMIT");
    return true;
  } finally {
    await session.end();
  }
}
