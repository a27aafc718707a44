// Where two clients of a user meet to log one of them in (QR sign-in). In the database, because any process may be asked.
import { randomBytes } from "node:crypto";
import type { AccountContext } from "../accounts/context.js";
import { MatrixError, notFound, tooLarge } from "../errors.js";
import { changeMeeting, closeMeeting, findMeeting, type Meeting, openMeeting } from "../storage/rendezvous.js";

const LIFETIME_MS = 300_000;
const MAX_BYTES = 4096;
const MOST = 10_000;

const gone = (): MatrixError => notFound("Nobody meets here: it was closed, or is over.");

function requireSmall(data: Buffer): void {
  if (data.length > MAX_BYTES) throw tooLarge(`At most ${MAX_BYTES} bytes can be left here.`);
}

/** Opens a place to meet with what is left there first. Throws M_TOO_LARGE, M_LIMIT_EXCEEDED. */
export async function open({ database, clock }: AccountContext, data: Buffer): Promise<{ readonly id: string; readonly version: number; readonly expires_ts: number }> {
  requireSmall(data);
  const id = randomBytes(16).toString("base64url");
  const now = clock.now();
  if (!(await openMeeting(database, id, data, now, now + LIFETIME_MS, MOST))) {
    throw new MatrixError(429, "M_LIMIT_EXCEEDED", "Too many clients are meeting here: try again later.", { extra: { retry_after_ms: LIFETIME_MS / 10 } });
  }
  return { id, version: 1, expires_ts: now + LIFETIME_MS };
}

/** What was left last. Throws M_NOT_FOUND. */
export async function look({ database, clock }: AccountContext, id: string): Promise<Meeting> {
  const found = await findMeeting(database, id, clock.now());
  if (found === undefined) throw gone();
  return found;
}

/**
 * Leaves something else, for who has seen what is there; gives the new version, or undefined if there is something newer.
 * A change that is sent again under the same transaction id is the same. Throws M_NOT_FOUND, M_TOO_LARGE.
 */
export async function leave({ database, clock }: AccountContext, id: string, version: number, data: Buffer, transactionId?: string): Promise<number | undefined> {
  requireSmall(data);
  const known = Number.isInteger(version) && version > 0 && version < 2 ** 31;
  const changed = known ? await changeMeeting(database, id, version, data, transactionId, clock.now()) : undefined;
  if (changed !== undefined) return changed;
  const found = await findMeeting(database, id, clock.now());
  if (found === undefined) throw gone();
  return transactionId !== undefined && found.transaction_id === transactionId ? found.version : undefined;
}

/** Ends it. Throws M_NOT_FOUND. */
export async function close({ database }: AccountContext, id: string): Promise<void> {
  if (!(await closeMeeting(database, id))) throw gone();
}
