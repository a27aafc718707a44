// Users as other providers of identities know them: whose subject is who, logins under way, sessions at providers.
import type { DeviceId, ServerName } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";
import { toText } from "./text.js";

const AT_ONCE = 1000;

const LINK: Statement = {
  name: "external_identities_link",
  text: "INSERT INTO external_ids (server_name, auth_provider, external_id, user_nid) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING user_nid",
};
const BEGIN: Statement = {
  name: "external_logins_begin",
  text: "INSERT INTO external_logins (digest, provider, browser, verifier, nonce, next, expires_ts) VALUES ($1, $2, $3, $4, $5, $6, $7)",
};
const TAKE: Statement<ExternalLogin> = {
  name: "external_logins_take", // external_logins_pkey
  text: `DELETE FROM external_logins WHERE digest = $1 AND provider = $2 AND browser = $3 AND expires_ts > $4
    RETURNING provider, verifier, nonce, next`,
};
const OPEN: Statement<{ nid: number }> = {
  name: "external_sessions_open",
  text: "INSERT INTO external_sessions (provider, subject, sid, user_nid, created_ts) VALUES ($1, $2, $3, $4, $5) RETURNING nid",
};
const NOTE_DEVICE: Statement = {
  name: "external_sessions_note_device",
  text: "UPDATE devices SET external_session = $3 WHERE user_nid = $1 AND device_id = $2",
};
const DEVICES: Statement<{ user_nid: number; device_id: DeviceId }> = {
  name: "external_sessions_devices", // external_sessions_subject or external_sessions_sid, devices_external
  text: `SELECT devices.user_nid, device_id FROM external_sessions JOIN devices ON external_session = nid
    WHERE provider = $1 AND (sid = $2 OR $2::text IS NULL) AND (subject = $3 OR $3::text IS NULL)`,
};
const END: Statement = {
  name: "external_sessions_end",
  text: "DELETE FROM external_sessions WHERE provider = $1 AND (sid = $2 OR $2::text IS NULL) AND (subject = $3 OR $3::text IS NULL)",
};
const EXPIRE_LOGINS: Statement = {
  name: "external_logins_expire", // external_logins_expires
  text: `DELETE FROM external_logins WHERE ctid IN (SELECT ctid FROM external_logins WHERE expires_ts <= $1 LIMIT ${AT_ONCE})`,
};
const EXPIRE_SESSIONS: Statement = {
  name: "external_sessions_expire",
  // external_sessions_created; whatever came about through them is over
  text: `DELETE FROM external_sessions WHERE nid IN (SELECT nid FROM external_sessions WHERE created_ts < $1
      AND NOT EXISTS (SELECT FROM browser_sessions WHERE external_session = nid)
      AND NOT EXISTS (SELECT FROM devices WHERE external_session = nid) LIMIT ${AT_ONCE})`,
};

/** A subject of a provider, as a user of one of our servers. */
export interface ExternalSubject {
  readonly server: ServerName;
  readonly provider: string;
  readonly subject: string;
}

/** Notes who a subject is; false if it is somebody already. */
export async function linkExternalId(tx: Tx, { server, provider, subject }: ExternalSubject, userNid: number): Promise<boolean> {
  return (await tx.query(LINK, [server, provider, toText(subject), userNid])).length > 0;
}

export interface ExternalLogin {
  readonly provider: string;
  readonly verifier: string;
  readonly nonce: string;
  readonly next: string;
}

/** Notes a login that begins, under the digest of its state, for one browser. */
export async function beginExternalLogin(database: Database, digest: Buffer, browser: Buffer, { provider, verifier, nonce, next }: ExternalLogin, expiresTs: number): Promise<void> {
  await database.write(BEGIN, [digest, provider, browser, verifier, nonce, next, expiresTs]);
}

/** The login of a state, which is over with that. */
export async function takeExternalLogin(database: Database, digest: Buffer, provider: string, browser: Buffer, now: number): Promise<ExternalLogin | undefined> {
  return (await database.write(TAKE, [digest, provider, browser, now]))[0];
}

/** Notes that a user is logged in at a provider; gives the number of the session. */
export async function openExternalSession(database: Database, { provider, subject }: ExternalSubject, sid: string | undefined, userNid: number, now: number): Promise<number | undefined> {
  const [row] = await database.write(OPEN, [provider, toText(subject), sid === undefined ? null : toText(sid), userNid, now]);
  return row?.nid;
}

/** Notes that a device was logged in through a session at a provider, or through none. */
export async function noteExternalDevice(tx: Tx, userNid: number, deviceId: DeviceId, session: number | undefined): Promise<void> {
  await tx.query(NOTE_DEVICE, [userNid, deviceId, session ?? null]);
}

/** A session at a provider, or all those of a subject. */
export interface EndedAtProvider {
  readonly provider: string;
  readonly sid: string | undefined;
  readonly subject: string | undefined;
}

const keyOf = ({ provider, sid, subject }: EndedAtProvider): unknown[] => [provider, sid === undefined ? null : toText(sid), subject === undefined ? null : toText(subject)];

/** The devices that were logged in through sessions at a provider. */
export async function externalDevices(database: Database, ended: EndedAtProvider): Promise<{ user_nid: number; device_id: DeviceId }[]> {
  return await database.read(DEVICES, keyOf(ended));
}

/** Forgets sessions at a provider, and the browsers and codes that hang on them. */
export async function endExternalSessions(database: Database, ended: EndedAtProvider): Promise<void> {
  await database.write(END, keyOf(ended));
}

/** Forgets logins that nobody ended, and sessions from before a time that nothing hangs on any more. */
export async function expireExternal(database: Database, now: number, sessionsBefore: number): Promise<void> {
  await database.write(EXPIRE_LOGINS, [now]);
  await database.write(EXPIRE_SESSIONS, [sessionsBefore]);
}
