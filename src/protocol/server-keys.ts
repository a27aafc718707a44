// What servers publish about their signing keys (server-server API, "Retrieving server keys").
import { parseServerName, type ServerName } from "./identifiers.js";
import { isObject, type JsonObject, own, ownString } from "./json.js";
import { signaturesBy, type SigningKey, signJson, verifyJson } from "./signing.js";

/** A key that a server signs with now, or, with `expired_ts`, one that it has retired. */
export interface PublishedKey {
  readonly id: string;
  readonly publicKey: string;
  readonly expired_ts?: number;
}

/** A server's statement of its keys. */
export interface KeyDocument {
  readonly server_name: ServerName;
  readonly valid_until_ts: number;
  readonly keys: readonly PublishedKey[];
}

/** Longer than this no statement of keys is believed (server-server API, `valid_until_ts`). */
const LONGEST_VALIDITY_MS = 7 * 24 * 3_600_000;

/**
 * The statement of one of our servers, valid until a time in milliseconds, signed with the key that signs now. Throws as canonicalJson.
 */
export function keyDocument(server: ServerName, current: SigningKey, retired: readonly PublishedKey[], validUntil: number): JsonObject {
  const old = retired.flatMap(({ id, publicKey, expired_ts }) =>
    expired_ts === undefined ? [] : [[id, { key: publicKey, expired_ts }] as const],
  );
  return signJson(
    {
      server_name: server,
      verify_keys: { [current.id]: { key: current.publicKey } },
      old_verify_keys: Object.fromEntries(old),
      valid_until_ts: validUntil,
    },
    server,
    current,
  );
}

/**
 * Reads another server's statement, received at `now`; undefined if it is malformed, of another server than `expected`, or not signed with one of
 * the keys that it names as current. Its validity ends after seven days at most.
 */
export function readKeyDocument(document: JsonObject, expected: ServerName, now: number): KeyDocument | undefined {
  const server_name = parseServerName(own(document, "server_name"));
  const valid_until_ts = own(document, "valid_until_ts");
  const current = own(document, "verify_keys");
  const retired = own(document, "old_verify_keys");
  if (server_name !== expected || typeof valid_until_ts !== "number" || !isObject(current)) return undefined;
  const keys = new Map<string, PublishedKey>();
  for (const id of retired !== undefined && isObject(retired) ? Object.keys(retired) : []) {
    const entry = isObject(retired) ? own(retired, id) : undefined;
    if (!isObject(entry)) continue;
    const [publicKey, expired_ts] = [ownString(entry, "key"), own(entry, "expired_ts")];
    if (publicKey !== undefined && typeof expired_ts === "number") keys.set(id, { id, publicKey, expired_ts });
  }
  for (const id of Object.keys(current)) {
    const entry = own(current, id);
    const publicKey = isObject(entry) ? ownString(entry, "key") : undefined;
    if (publicKey !== undefined && id.startsWith("ed25519:")) keys.set(id, { id, publicKey });
  }
  const signed = [...signaturesBy(document, server_name).keys()].some((id) => {
    const key = keys.get(id);
    return key !== undefined && key.expired_ts === undefined && verifyJson(document, server_name, id, key.publicKey);
  });
  if (!signed) return undefined;
  return { server_name, valid_until_ts: Math.min(valid_until_ts, now + LONGEST_VALIDITY_MS), keys: [...keys.values()] };
}
