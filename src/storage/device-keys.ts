// Keys of our users' devices: identity keys, one-time and fallback keys.
import type { Database, Tx } from "./database.js";
import type { DeviceKey } from "./devices.js";
import type { Reads, Statement } from "./statement.js";

/** A one-time or fallback key: `key` is canonical JSON. */
export interface StoredKey {
  readonly algorithm: string;
  readonly key_id: string;
  readonly key: string;
}

const FIND: Statement<{ keys: string }> = {
  name: "device_keys_find",
  text: "SELECT keys FROM device_keys WHERE user_nid = $1 AND device_id = $2",
};
const LOCK: Statement = {
  name: "device_keys_lock",
  // Uploads of one device wait for each other; a device that goes takes its keys along.
  text: "SELECT FROM devices WHERE user_nid = $1 AND device_id = $2 FOR NO KEY UPDATE",
};
const SET: Statement = {
  name: "device_keys_set",
  text: `INSERT INTO device_keys (user_nid, device_id, keys) VALUES ($1, $2, $3)
    ON CONFLICT (user_nid, device_id) DO UPDATE SET keys = excluded.keys`,
};
const ADD: Statement = {
  name: "one_time_keys_add",
  // What was claimed and comes once more was claimed; another key may have its name.
  text: `WITH again AS (UPDATE one_time_keys o SET key = added.key, claimed = NULL, nid = DEFAULT
      FROM unnest($3::text[], $4::text[], $5::text[]) AS added (algorithm, key_id, key)
      WHERE o.user_nid = $1 AND o.device_id = $2 AND o.algorithm = added.algorithm AND o.key_id = added.key_id
        AND o.claimed IS NOT NULL AND o.key <> added.key)
    INSERT INTO one_time_keys (user_nid, device_id, algorithm, key_id, key)
    SELECT $1, $2, algorithm, key_id, key FROM unnest($3::text[], $4::text[], $5::text[]) AS added (algorithm, key_id, key)
    ON CONFLICT DO NOTHING`,
};
const OTHERS: Statement<{ key_id: string }> = {
  name: "one_time_keys_others",
  text: `SELECT o.key_id FROM unnest($3::text[], $4::text[], $5::text[]) AS added (algorithm, key_id, key)
    JOIN one_time_keys o ON o.user_nid = $1 AND o.device_id = $2 AND o.algorithm = added.algorithm AND o.key_id = added.key_id
      AND o.key <> added.key AND o.claimed IS NULL LIMIT 1`,
};
const SET_FALLBACK: Statement = {
  name: "fallback_keys_set",
  // The same key again stays as used as it is.
  text: `INSERT INTO fallback_keys AS fallback (user_nid, device_id, algorithm, key_id, key)
    SELECT $1, $2, algorithm, key_id, key FROM unnest($3::text[], $4::text[], $5::text[]) AS added (algorithm, key_id, key)
    ON CONFLICT (user_nid, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, key = excluded.key,
      used = fallback.used AND fallback.key = excluded.key`,
};

/** Keys that are left, by device, as /sync tells them. */
export interface KeyCounts extends DeviceKey {
  /** One-time keys by algorithm. */
  readonly counts: Readonly<Record<string, number>>;
  /** Algorithms whose fallback key was not used yet. */
  readonly unused: readonly string[];
}

const COUNTS: Statement<KeyCounts> = {
  name: "device_keys_counts", // one_time_keys_order, fallback_keys_pkey
  text: `SELECT user_nid, device_id,
      (SELECT coalesce(json_object_agg(algorithm, count ORDER BY algorithm), '{}') FROM (SELECT algorithm, count(*) FROM one_time_keys o
        WHERE o.user_nid = asked.user_nid AND o.device_id = asked.device_id AND claimed IS NULL GROUP BY algorithm) counted) AS counts,
      ARRAY (SELECT algorithm FROM fallback_keys f
        WHERE f.user_nid = asked.user_nid AND f.device_id = asked.device_id AND NOT used ORDER BY algorithm) AS unused
    FROM unnest($1::bigint[], $2::text[]) AS asked (user_nid, device_id)`,
};

/** Lets other uploads for the same device wait; false if there is no such device. */
export async function lockDevice(tx: Tx, { user_nid, device_id }: DeviceKey): Promise<boolean> {
  return (await tx.query(LOCK, [user_nid, device_id])).length > 0;
}

/** The identity keys of a device, JSON text. */
export async function findDeviceKeys(tx: Tx, { user_nid, device_id }: DeviceKey): Promise<string | undefined> {
  return (await tx.query(FIND, [user_nid, device_id]))[0]?.keys;
}

export async function setDeviceKeys(tx: Tx, { user_nid, device_id }: DeviceKey, keys: string): Promise<void> {
  await tx.query(SET, [user_nid, device_id, keys]);
}

const columns = ({ user_nid, device_id }: DeviceKey, keys: readonly StoredKey[]): unknown[] => [
  user_nid,
  device_id,
  keys.map(({ algorithm }) => algorithm),
  keys.map(({ key_id }) => key_id),
  keys.map(({ key }) => key),
];

/** Adds one-time keys. Gives the id of one that is there with another content, if there is any: nothing may be kept then. */
export async function addOneTimeKeys(tx: Tx, device: DeviceKey, keys: readonly StoredKey[]): Promise<string | undefined> {
  const [, others] = await Promise.all([tx.query(ADD, columns(device, keys)), tx.query(OTHERS, columns(device, keys))]);
  return others[0]?.key_id;
}

export async function setFallbackKeys(tx: Tx, device: DeviceKey, keys: readonly StoredKey[]): Promise<void> {
  await tx.query(SET_FALLBACK, columns(device, keys));
}

/** What is left of the keys of devices. */
export async function keyCounts(reads: Reads, devices: readonly DeviceKey[]): Promise<KeyCounts[]> {
  return await reads.read(COUNTS, [devices.map(({ user_nid }) => user_nid), devices.map(({ device_id }) => device_id)]);
}

/** A key that somebody wants. */
export interface WantedKey extends DeviceKey {
  readonly algorithm: string;
}

type GivenKey = WantedKey & StoredKey;

const CLAIM: Statement<GivenKey> = {
  name: "one_time_keys_claim", // one_time_keys_order
  // Of claims at the same time each takes what no other has taken.
  text: `WITH taken AS (SELECT key.nid, key.user_nid, key.device_id, key.algorithm, key.key_id
      FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (user_nid, device_id, algorithm)
      CROSS JOIN LATERAL (SELECT nid, user_nid, device_id, algorithm, key_id FROM one_time_keys o
        WHERE o.user_nid = wanted.user_nid AND o.device_id = wanted.device_id AND o.algorithm = wanted.algorithm AND claimed IS NULL
        ORDER BY nid LIMIT 1 FOR UPDATE SKIP LOCKED) key),
    gone AS (UPDATE one_time_keys o SET claimed = now() FROM taken t WHERE o.user_nid = t.user_nid AND o.device_id = t.device_id
        AND o.algorithm = t.algorithm AND o.key_id = t.key_id
      RETURNING o.user_nid, o.device_id, o.algorithm, o.key_id, o.key)
    SELECT user_nid, device_id, algorithm, key_id, key FROM gone`,
};
const FALLBACK: Statement<GivenKey & { used: boolean }> = {
  name: "fallback_keys_of", // fallback_keys_pkey; in one order, so that two claims do not wait for each other in a circle
  text: `SELECT f.user_nid, f.device_id, f.algorithm, f.key_id, f.key, f.used FROM fallback_keys f
    JOIN unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (user_nid, device_id, algorithm) USING (user_nid, device_id, algorithm)
    ORDER BY f.user_nid, f.device_id, f.algorithm`,
};
const USE_FALLBACK: Statement = {
  name: "fallback_keys_use",
  text: `UPDATE fallback_keys f SET used = true FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS given (user_nid, device_id, algorithm, key_id)
    WHERE f.user_nid = given.user_nid AND f.device_id = given.device_id AND f.algorithm = given.algorithm AND f.key_id = given.key_id AND NOT used`,
};

/**
 * Takes a key for each wish: the oldest one-time key, which nobody gets again, else the fallback key. `changed` are the devices
 * of which /sync tells something else now.
 */
export async function claimKeys(tx: Tx, wanted: readonly WantedKey[]): Promise<{ readonly given: GivenKey[]; readonly changed: DeviceKey[] }> {
  const arrays = (keys: readonly WantedKey[]): unknown[] => [
    keys.map(({ user_nid }) => user_nid),
    keys.map(({ device_id }) => device_id),
    keys.map(({ algorithm }) => algorithm),
  ];
  const taken = await tx.query(CLAIM, arrays(wanted));
  const nameOf = ({ user_nid, device_id, algorithm }: WantedKey): string => `${user_nid} ${algorithm} ${device_id}`;
  const got = new Set(taken.map(nameOf));
  const missing = wanted.filter((key) => !got.has(nameOf(key)));
  const fallbacks = missing.length === 0 ? [] : await tx.query(FALLBACK, arrays(missing));
  const fresh = fallbacks.filter(({ used }) => !used);
  if (fresh.length > 0) await tx.query(USE_FALLBACK, [...arrays(fresh), fresh.map(({ key_id }) => key_id)]);
  return { given: [...taken, ...fallbacks], changed: [...taken, ...fresh] };
}

const EXPIRE: Statement<{ count: number }> = {
  name: "one_time_keys_expire_claimed", // one_time_keys_claimed
  text: `WITH gone AS (DELETE FROM one_time_keys WHERE ctid = ANY (ARRAY (
      SELECT ctid FROM one_time_keys WHERE claimed < now() - interval '7 days' LIMIT 10000)) RETURNING 1)
    SELECT count(*) AS count FROM gone`,
};

/** Forgets keys that were claimed so long ago that no client still sends their upload again; gives how many. */
export async function expireClaimedKeys(database: Database): Promise<number> {
  return (await database.write(EXPIRE, []))[0]?.count ?? 0;
}
