// Dehydrated devices: the one of each user that takes messages while no other does.
import type { DeviceId } from "../protocol/identifiers.js";
import type { Queryable, Reads, Statement } from "./statement.js";

export interface DehydratedDevice {
  readonly device_id: DeviceId;
  /** JSON text. */
  readonly device_data: string;
}

const FIND: Statement<DehydratedDevice> = {
  name: "dehydrated_devices_find",
  text: "SELECT device_id, device_data FROM dehydrated_devices WHERE user_nid = $1",
};
const SET: Statement = {
  name: "dehydrated_devices_set",
  text: `INSERT INTO dehydrated_devices (user_nid, device_id, device_data) VALUES ($1, $2, $3)
    ON CONFLICT (user_nid) DO UPDATE SET device_id = excluded.device_id, device_data = excluded.device_data`,
};

/** A user's dehydrated device. */
export async function findDehydratedDevice(reads: Reads, userNid: number): Promise<DehydratedDevice | undefined> {
  const [row] = await reads.read(FIND, [userNid]);
  return row;
}

/** Makes a device of a user the dehydrated one, in the place of another. */
export async function setDehydratedDevice(tx: Queryable, userNid: number, { device_id, device_data }: DehydratedDevice): Promise<void> {
  await tx.query(SET, [userNid, device_id, device_data]);
}
