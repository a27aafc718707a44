// The signing keys of other servers.
import type { ServerName } from "../protocol/identifiers.js";
import { isObject, own, parseJson } from "../protocol/json.js";
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
const STATEMENTS: Statement<ServerKeyDocument & { readonly key_id: string }> = {
  name: "server_key_statements_of", // server_key_statements_pkey
  text: `SELECT server_name, key_id, document, valid_until_ts, fetched_ts FROM server_key_statements WHERE server_name = ANY ($1::text[])`,
};
/** Keys that are kept of a server, and statements on keys that it does not name any more; longer statements are not kept. */
const MAX_KEYS = 1_000;
const MAX_STATEMENTS = 20;
const MAX_LENGTH = 32 * 1024;

const STORE_KEYS: Statement = {
  name: "server_keys_store",
  // A key is never revived: once its server has retired it, that stays so. Who publishes ever new ones is remembered for the first.
  text: `INSERT INTO server_keys (server_name, key_id, public_key, valid_until_ts, expired_ts, fetched_ts)
    SELECT server_name, key_id, public_key, valid_until_ts, expired_ts, $6
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
      AS key (server_name, key_id, public_key, valid_until_ts, expired_ts)
    WHERE EXISTS (SELECT FROM server_keys k WHERE k.server_name = key.server_name AND k.key_id = key.key_id)
      OR (SELECT count(*) FROM server_keys k WHERE k.server_name = key.server_name) < ${MAX_KEYS}
    ON CONFLICT (server_name, key_id) DO UPDATE SET
      valid_until_ts = greatest(server_keys.valid_until_ts, excluded.valid_until_ts),
      expired_ts = coalesce(server_keys.expired_ts, excluded.expired_ts),
      fetched_ts = excluded.fetched_ts
    WHERE server_keys.public_key = excluded.public_key`,
};
const HELD_DOCUMENT: Statement<ServerKeyDocument> = {
  name: "server_key_documents_held", // server_key_documents_pkey
  text: `${DOCUMENTS.text} FOR UPDATE`,
};
const STORE_STATEMENTS: Statement = {
  name: "server_key_statements_store", // server_key_statements_pkey
  text: `INSERT INTO server_key_statements (server_name, key_id, document, valid_until_ts, fetched_ts)
    SELECT $1, key_id, $3, $4, $5 FROM unnest($2::text[]) AS named (key_id)
    ON CONFLICT (server_name, key_id) DO UPDATE SET document = excluded.document, valid_until_ts = excluded.valid_until_ts, fetched_ts = excluded.fetched_ts
      WHERE server_key_statements.valid_until_ts < excluded.valid_until_ts`,
};
const FORGET_STATEMENTS: Statement = {
  name: "server_key_statements_forget", // server_key_statements_pkey
  // Those that the newest statement names again, and of the rest the oldest.
  text: `DELETE FROM server_key_statements WHERE server_name = $1 AND (key_id = ANY ($2::text[]) OR key_id IN (
      SELECT key_id FROM server_key_statements WHERE server_name = $1 AND key_id <> ALL ($2::text[])
      ORDER BY valid_until_ts DESC, key_id OFFSET ${MAX_STATEMENTS}))`,
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

/** The statements of these servers on keys that their last ones do not name, with the id of such a key. */
export async function serverKeyStatements(reads: Reads, servers: readonly ServerName[]): Promise<(ServerKeyDocument & { readonly key_id: string })[]> {
  return await reads.read(STATEMENTS, [servers]);
}

/** The last statements of these servers about their keys. */
export async function serverKeyDocuments(reads: Reads, servers: readonly ServerName[]): Promise<ServerKeyDocument[]> {
  return await reads.read(DOCUMENTS, [servers]);
}

/**
 * Stores keys, and the statement that they come from. What came from its server itself is the newest; of what a notary that we trust
 * gave that is so which is valid for longest. The statement before is kept for keys that the newest does not name.
 */
export async function storeServerKeys(
  database: Database,
  keys: readonly ServerKey[],
  document: ServerKeyDocument & { readonly direct: boolean },
): Promise<void> {
  const { server_name } = document;
  await database.transaction(async (tx) => {
    await tx.query(STORE_KEYS, [
      keys.map((key) => key.server_name),
      keys.map(({ key_id }) => key_id),
      keys.map(({ public_key }) => public_key),
      keys.map(({ valid_until_ts }) => valid_until_ts),
      keys.map(({ expired_ts }) => expired_ts),
      document.fetched_ts,
    ]);
    const [before] = await tx.query(HELD_DOCUMENT, [[server_name]]);
    const isNewest = before === undefined || document.direct || document.valid_until_ts >= before.valid_until_ts;
    const [newest, older] = isNewest ? [document, before] : [before, document];
    if (isNewest) await tx.query(STORE_DOCUMENT, [server_name, document.document, document.valid_until_ts, document.fetched_ts]);
    const named = keyIdsIn(newest.document);
    const gone = older === undefined || older.document.length > MAX_LENGTH ? [] : keyIdsIn(older.document).filter((id) => !named.includes(id));
    if (older !== undefined && gone.length > 0) {
      await tx.query(STORE_STATEMENTS, [server_name, gone.slice(0, MAX_STATEMENTS), older.document, older.valid_until_ts, older.fetched_ts]);
    }
    if (gone.length > 0 || (isNewest && before?.document !== document.document)) await tx.query(FORGET_STATEMENTS, [server_name, named]);
  });
}

/** The ids of the keys that a statement names. */
function keyIdsIn(document: string): string[] {
  const statement = parseJson(document);
  if (!isObject(statement)) return [];
  return ["verify_keys", "old_verify_keys"].flatMap((name) => {
    const keys = own(statement, name);
    return isObject(keys) ? Object.keys(keys) : [];
  });
}
