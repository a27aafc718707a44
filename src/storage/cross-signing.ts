// Users' own keys, and what was signed with keys.
import type { Tx } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";

/** What a key is for. The numbers are stored. */
export const USAGES = { master: 1, self_signing: 2, user_signing: 3 } as const;
export type Usage = keyof typeof USAGES;

/** A key of a user. */
export interface CrossSigningKey {
  readonly user_nid: number;
  /** A number of USAGES. */
  readonly usage: number;
  readonly public_key: string;
  /** JSON text. */
  readonly key: string;
}

/** A signature that came after the key it is on. */
export interface KeySignature {
  readonly user_nid: number;
  /** The device or the public master key of that user. */
  readonly target: string;
  readonly signer_nid: number;
  readonly key_id: string;
  readonly signature: string;
}

const OF_USERS: Statement<CrossSigningKey> = {
  name: "cross_signing_of_users", // cross_signing_keys_pkey
  text: "SELECT user_nid, usage, public_key, key FROM cross_signing_keys WHERE user_nid = ANY ($1::bigint[])",
};
const SET: Statement = {
  name: "cross_signing_set",
  text: `INSERT INTO cross_signing_keys (user_nid, usage, public_key, key)
    SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[]) AS key
    ON CONFLICT (user_nid, usage) DO UPDATE SET public_key = excluded.public_key, key = excluded.key`,
};
const REMOVE: Statement = {
  name: "cross_signing_remove",
  text: "DELETE FROM cross_signing_keys USING unnest($1::bigint[], $2::smallint[]) AS gone (nid, use) WHERE user_nid = nid AND usage = use",
};
const LOCK: Statement = {
  name: "cross_signing_lock",
  text: "SELECT FROM accounts WHERE user_nid = $1 FOR NO KEY UPDATE",
};
const SIGNATURES: Statement<KeySignature> = {
  name: "cross_signing_signatures", // key_signatures_pkey
  text: `SELECT user_nid, target, signer_nid, key_id, signature FROM key_signatures
    WHERE user_nid = ANY ($1::bigint[]) AND (signer_nid = user_nid OR signer_nid = $2)`,
};
const ADD_SIGNATURES: Statement<{ user_nid: number; target: string }> = {
  name: "cross_signing_add_signatures",
  text: `INSERT INTO key_signatures AS known (user_nid, target, signer_nid, key_id, signature)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS added
    ON CONFLICT (user_nid, target, signer_nid, key_id) DO UPDATE SET signature = excluded.signature WHERE known.signature <> excluded.signature
    RETURNING user_nid, target`,
};
const FORGET_DEVICE: Statement = {
  name: "cross_signing_forget_devices",
  text: `DELETE FROM key_signatures s USING unnest($1::bigint[], $2::text[]) AS device (user_nid, device_id)
    WHERE s.user_nid = device.user_nid AND s.target = device.device_id`,
};

/** The keys of users. */
export async function crossSigningKeys(reads: Reads, userNids: readonly number[]): Promise<CrossSigningKey[]> {
  return userNids.length === 0 ? [] : await reads.read(OF_USERS, [userNids]);
}

const IS_KEY: Statement = {
  name: "cross_signing_is_key", // cross_signing_keys_pkey
  text: "SELECT FROM cross_signing_keys WHERE user_nid = $1 AND public_key = $2",
};

/** Whether this is one of the user's own public keys. */
export async function isCrossSigningKey(tx: Queryable, userNid: number, publicKey: string): Promise<boolean> {
  return (await tx.query(IS_KEY, [userNid, publicKey])).length > 0;
}

/** Lets whoever else changes the keys of one of our users wait. */
export async function lockCrossSigning(tx: Queryable, userNid: number): Promise<void> {
  await tx.query(LOCK, [userNid]);
}

export async function setCrossSigningKeys(tx: Queryable, keys: readonly CrossSigningKey[]): Promise<void> {
  await tx.query(SET, [
    keys.map(({ user_nid }) => user_nid),
    keys.map(({ usage }) => usage),
    keys.map(({ public_key }) => public_key),
    keys.map(({ key }) => key),
  ]);
}

export async function removeCrossSigningKeys(tx: Queryable, keys: readonly Pick<CrossSigningKey, "user_nid" | "usage">[]): Promise<void> {
  if (keys.length > 0) await tx.query(REMOVE, [keys.map(({ user_nid }) => user_nid), keys.map(({ usage }) => usage)]);
}

/** The signatures on keys of users that were made by themselves, or by the asker. */
export async function keySignatures(reads: Reads, userNids: readonly number[], asker: number | undefined): Promise<KeySignature[]> {
  return userNids.length === 0 ? [] : await reads.read(SIGNATURES, [userNids, asker ?? null]);
}

/** Adds signatures, each once; gives which keys they were new for. */
export async function addKeySignatures(tx: Tx, signatures: readonly KeySignature[]): Promise<{ user_nid: number; target: string }[]> {
  return await tx.query(ADD_SIGNATURES, [
    signatures.map(({ user_nid }) => user_nid),
    signatures.map(({ target }) => target),
    signatures.map(({ signer_nid }) => signer_nid),
    signatures.map(({ key_id }) => key_id),
    signatures.map(({ signature }) => signature),
  ]);
}

/** Forgets the signatures on devices, which have gone or have other keys. */
export async function forgetDeviceSignatures(tx: Tx, devices: readonly { readonly user_nid: number; readonly device_id: string }[]): Promise<void> {
  await tx.query(FORGET_DEVICE, [devices.map(({ user_nid }) => user_nid), devices.map(({ device_id }) => device_id)]);
}
