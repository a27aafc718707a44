// The signing keys of other servers.
import type { ServerName } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Reads, Statement } from "./statement.js";

/** A key of another server. */
export interface ServerKey {
  readonly server_name: ServerName;
  readonly key_id: string;
  readonly public_key: string;
  /** Until when what it signs is to be believed, in milliseconds since 1970. */
  readonly valid_until_ts: number;
  /** When its server retired it: it signs no requests any more, and no events from after that. */
  readonly expired_ts: number | null;
}

/** A server's own, signed statement of its keys. */
export interface ServerKeyDocument {
  readonly server_name: ServerName;
  readonly document: string;
  readonly valid_until_ts: number;
  readonly fetched_ts: number;
}

const KEYS: Statement<ServerKey> = {
  name: "server_keys_of",
  text: `SELECT server_name, key_id, public_key, valid_until_ts, expired_ts FROM server_keys WHERE server_name = ANY ($1::text[])`,
};
const DOCUMENTS: Statement<ServerKeyDocument> = {
  name: "server_key_documents_of",
  text: `SELECT server_name, document, valid_until_ts, fetched_ts FROM server_key_documents WHERE server_name = ANY ($1::text[])`,
};
const STORE_KEYS: Statement = {
  name: "server_keys_store",
  // A key is never revived: once its server has retired it, that stays so.
  text: `INSERT INTO server_keys (server_name, key_id, public_key, valid_until_ts, expired_ts, fetched_ts)
    SELECT server_name, key_id, public_key, valid_until_ts, expired_ts, $6
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
      AS key (server_name, key_id, public_key, valid_until_ts, expired_ts)
    ON CONFLICT (server_name, key_id) DO UPDATE SET
      valid_until_ts = greatest(server_keys.valid_until_ts, excluded.valid_until_ts),
      expired_ts = coalesce(server_keys.expired_ts, excluded.expired_ts),
      fetched_ts = excluded.fetched_ts
    WHERE server_keys.public_key = excluded.public_key`,
};
const STORE_DOCUMENT: Statement = {
  name: "server_key_documents_store",
  text: `INSERT INTO server_key_documents (server_name, document, valid_until_ts, fetched_ts) VALUES ($1, $2, $3, $4)
    ON CONFLICT (server_name) DO UPDATE SET document = excluded.document, valid_until_ts = excluded.valid_until_ts,
      fetched_ts = excluded.fetched_ts`,
};

/** All keys that are stored of these servers. */
export async function serverKeys(reads: Reads, servers: readonly ServerName[]): Promise<ServerKey[]> {
  return await reads.read(KEYS, [servers]);
}

/** The last statements of these servers about their keys. */
export async function serverKeyDocuments(reads: Reads, servers: readonly ServerName[]): Promise<ServerKeyDocument[]> {
  return await reads.read(DOCUMENTS, [servers]);
}

/** Stores keys, and the statement that they come from, if it came from their server itself or a notary that we trust. */
export async function storeServerKeys(
  database: Database,
  keys: readonly ServerKey[],
  document: ServerKeyDocument,
): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query(STORE_KEYS, [
      keys.map(({ server_name }) => server_name),
      keys.map(({ key_id }) => key_id),
      keys.map(({ public_key }) => public_key),
      keys.map(({ valid_until_ts }) => valid_until_ts),
      keys.map(({ expired_ts }) => expired_ts),
      document.fetched_ts,
    ]);
    await tx.query(STORE_DOCUMENT, [document.server_name, document.document, document.valid_until_ts, document.fetched_ts]);
  });
}
