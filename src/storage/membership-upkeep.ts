// Users whose memberships have yet to follow a change of their account.
import { parseUserId, type UserId } from "../protocol/identifiers.js";
import type { Database } from "./database.js";
import type { Queryable, Statement } from "./statement.js";
import { fromText } from "./text.js";

/** A process that has not said for so long that it is still at work is taken for dead. */
const CLAIM = "interval '30 seconds'";

const REQUEST: Statement = {
  name: "membership_upkeep_request",
  text: `INSERT INTO membership_upkeep (user_nid) VALUES ($1)
    ON CONFLICT (user_nid) DO UPDATE SET serial = membership_upkeep.serial + 1`,
};
const TAKE: Statement<{ user_nid: number; serial: number; user_id: string; deactivated: boolean }> = {
  name: "membership_upkeep_take",
  text: `UPDATE membership_upkeep m SET claimed_until = now() + ${CLAIM} FROM users u, accounts a
    WHERE m.user_nid = (SELECT user_nid FROM membership_upkeep WHERE claimed_until < now()
        ORDER BY user_nid LIMIT 1 FOR UPDATE SKIP LOCKED)
      AND u.nid = m.user_nid AND a.user_nid = m.user_nid
    RETURNING m.user_nid, m.serial, u.user_id, a.deactivated_ts IS NOT NULL AS deactivated`,
};
const EXTEND: Statement = {
  name: "membership_upkeep_extend",
  text: `UPDATE membership_upkeep SET claimed_until = now() + ${CLAIM} WHERE user_nid = $1`,
};
const FINISH: Statement = {
  name: "membership_upkeep_finish",
  text: "DELETE FROM membership_upkeep WHERE user_nid = $1 AND serial = $2",
};
const RELEASE: Statement = {
  name: "membership_upkeep_release",
  text: "UPDATE membership_upkeep SET claimed_until = '-infinity' WHERE user_nid = $1 AND serial <> $2",
};

/** Asks for a user's memberships to be brought in line with their account, once the transaction has happened. */
export async function requestMembershipUpkeep(tx: Queryable, userNid: number): Promise<void> {
  await tx.query(REQUEST, [userNid]);
}

export interface UpkeepJob {
  readonly user_nid: number;
  readonly user_id: UserId;
  readonly serial: number;
  readonly deactivated: boolean;
}

/** Takes a user whom no living process is at work on; undefined if there is none. */
export async function takeMembershipUpkeep(database: Database): Promise<UpkeepJob | undefined> {
  const [row] = await database.write(TAKE, []);
  if (row === undefined) return undefined;
  const user_id = parseUserId(fromText(row.user_id));
  if (user_id === undefined) throw new Error(`user ${row.user_nid} has no user id`);
  return { ...row, user_id };
}

/** Says that the process is still at work. */
export async function extendMembershipUpkeep(database: Database, { user_nid }: UpkeepJob): Promise<void> {
  await database.write(EXTEND, [user_nid]);
}

/** Ends the work; if the account was changed again meanwhile, it is to be done again. */
export async function finishMembershipUpkeep(database: Database, { user_nid, serial }: UpkeepJob): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query(FINISH, [user_nid, serial]);
    // A statement of its own: a request that the first one had to wait for is seen only by what begins after it.
    await tx.query(RELEASE, [user_nid, serial]);
  });
}
