// Users as other providers of identities know them: whose subject is who, logins under way, sessions at providers.
import type { DeviceId, ServerName, UserId } from "../protocol/identifiers.js";
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

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
    RETURNING provider, verifier, nonce, next, outcome`,
};
const WAITING: Statement<{ nonce: string }> = {
  name: "external_logins_waiting", // external_logins_pkey
  text: "SELECT nonce FROM external_logins WHERE digest = $1 AND provider = $2 AND outcome IS NULL AND expires_ts > $3",
};
const ANSWER: Statement<{ nonce: string }> = {
  name: "external_logins_answer", // external_logins_pkey
  text: "UPDATE external_logins SET outcome = $4 WHERE digest = $1 AND provider = $2 AND outcome IS NULL AND expires_ts > $3 RETURNING nonce",
};
const OPEN: Statement<{ nid: number }> = {
  name: "external_sessions_open",
  text: "INSERT INTO external_sessions (provider, subject, sid, user_nid, created_ts, name_id, name_id_details) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING nid",
};
const FIND_SESSION: Statement<ExternalSession> = {
  name: "external_sessions_find", // external_sessions_pkey
  text: "SELECT provider, subject, sid, name_id, name_id_details FROM external_sessions WHERE nid = $1",
};
const NOTE_DEVICE: Statement = {
  name: "external_sessions_note_device",
  text: "UPDATE devices SET external_session = $3 WHERE user_nid = $1 AND device_id = $2",
};
const DEVICES: Statement<{ user_nid: number; device_id: DeviceId }> = {
  name: "external_sessions_devices", // external_sessions_subject, external_sessions_sid or external_sessions_name_id, devices_external
  text: `SELECT devices.user_nid, device_id FROM external_sessions JOIN devices ON external_session = nid
    WHERE provider = $1 AND (sid = $2 OR $2::text IS NULL) AND (subject = $3 OR $3::text IS NULL) AND (name_id = $4 OR $4::text IS NULL)`,
};
const END: Statement = {
  name: "external_sessions_end",
  text: "DELETE FROM external_sessions WHERE provider = $1 AND (sid = $2 OR $2::text IS NULL) AND (subject = $3 OR $3::text IS NULL) AND (name_id = $4 OR $4::text IS NULL)",
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

const OF_PROVIDER: Statement<Identity> = {
  name: "external_identities_of_provider", // external_ids_pkey
  text: `SELECT server_name, external_id, user_nid, user_id FROM external_ids JOIN accounts USING (user_nid) JOIN users ON nid = user_nid
    WHERE auth_provider = $1 AND (server_name, external_id) > ($2, $3) AND password_hash IS NULL
    ORDER BY server_name, external_id LIMIT ${AT_ONCE}`,
};
const BEGIN_CHECK: Statement<{ provider: string }> = {
  name: "directory_checks_begin",
  text: `INSERT INTO directory_checks AS before (provider, checked_ts) VALUES ($1, $2)
    ON CONFLICT (provider) DO UPDATE SET checked_ts = $2 WHERE before.checked_ts <= $3 RETURNING provider`,
};

/** A user as a provider knows them. */
export interface Identity {
  readonly server_name: ServerName;
  readonly external_id: string;
  readonly user_nid: number;
  readonly user_id: UserId;
}

/** The users without a password of their own whom a provider vouches for, behind one of them: 1,000 at most, in their order. */
export async function identitiesOf(database: Database, provider: string, after: Pick<Identity, "server_name" | "external_id"> | undefined): Promise<Identity[]> {
  const rows = await database.read(OF_PROVIDER, [provider, after?.server_name ?? "", after === undefined ? "" : toText(after.external_id)]);
  return rows.map((row) => ({ ...row, external_id: fromText(row.external_id) }));
}

/** Takes it up to look who is still in a directory; false if somebody did since a time, in milliseconds since 1970. */
export async function beginDirectoryCheck(database: Database, provider: string, now: number, since: number): Promise<boolean> {
  return (await database.write(BEGIN_CHECK, [provider, now, since])).length > 0;
}

export interface ExternalLogin {
  readonly provider: string;
  readonly verifier: string;
  readonly nonce: string;
  readonly next: string;
  /** What the provider has said meanwhile. */
  readonly outcome?: string | null;
}

/** Notes a login that begins, under the digest of its state, for one browser. */
export async function beginExternalLogin(database: Database, digest: Buffer, browser: Buffer, { provider, verifier, nonce, next }: ExternalLogin, expiresTs: number): Promise<void> {
  await database.write(BEGIN, [digest, provider, browser, verifier, nonce, next, expiresTs]);
}

/** The login of a state, which is over with that. */
export async function takeExternalLogin(database: Database, digest: Buffer, provider: string, browser: Buffer, now: number): Promise<ExternalLogin | undefined> {
  return (await database.write(TAKE, [digest, provider, browser, now]))[0];
}

/** The nonce of a login that no provider has answered yet. */
export async function waitingExternalLogin(database: Database, digest: Buffer, provider: string, now: number): Promise<string | undefined> {
  return (await database.read(WAITING, [digest, provider, now]))[0]?.nonce;
}

/** Notes what a provider says to a login; false if it has said something already. */
export async function answerExternalLogin(database: Database, digest: Buffer, provider: string, outcome: string, now: number): Promise<boolean> {
  return (await database.write(ANSWER, [digest, provider, now, outcome])).length > 0;
}

/** What a provider calls a session of a user, and the user in it. */
export interface SessionNames {
  readonly sid: string | undefined;
  readonly nameId?: string | undefined;
  readonly nameIdDetails?: string | undefined;
}

const orNull = (text: string | undefined): string | null => (text === undefined ? null : toText(text));

/** Notes that a user is logged in at a provider; gives the number of the session. */
export async function openExternalSession(database: Database, { provider, subject }: ExternalSubject, names: SessionNames, userNid: number, now: number): Promise<number | undefined> {
  const { sid, nameId, nameIdDetails } = names;
  const [row] = await database.write(OPEN, [provider, toText(subject), orNull(sid), userNid, now, orNull(nameId), orNull(nameIdDetails)]);
  return row?.nid;
}

export interface ExternalSession {
  readonly provider: string;
  readonly subject: string;
  readonly sid: string | null;
  readonly name_id: string | null;
  readonly name_id_details: string | null;
}

/** A session at a provider. */
export async function findExternalSession(database: Database, nid: number): Promise<ExternalSession | undefined> {
  const [row] = await database.read(FIND_SESSION, [nid]);
  if (row === undefined) return undefined;
  const text = (value: string | null): string | null => (value === null ? null : fromText(value));
  return { provider: row.provider, subject: fromText(row.subject), sid: text(row.sid), name_id: text(row.name_id), name_id_details: text(row.name_id_details) };
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
  readonly nameId?: string | undefined;
}

const keyOf = ({ provider, sid, subject, nameId }: EndedAtProvider): unknown[] => [provider, orNull(sid), orNull(subject), orNull(nameId)];

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
