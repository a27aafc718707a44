// The partitions of the log by position.
import type { Tx } from "./database.js";

/** Positions of one partition; the first ones are in the schema. */
export const PARTITION = 1_000_000;

/** Makes a partition where there is none: that of the positions from `number * PARTITION` on. */
export async function makePartition(tx: Tx, number: number): Promise<void> {
  const [from, to] = [number * PARTITION, (number + 1) * PARTITION];
  await tx.query({ name: "", text: `CREATE TABLE IF NOT EXISTS log_p${number} PARTITION OF log FOR VALUES FROM (${from}) TO (${to})` }, []);
}
