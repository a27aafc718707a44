// What goes with an account when it ends. Whoever adds a table of what users have set for themselves adds it here.
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";

const DELETIONS: readonly Statement[] = [
  { name: "ended_account_data", text: "DELETE FROM account_data WHERE user_nid = $1" },
  { name: "ended_account_cross_signing_keys", text: "DELETE FROM cross_signing_keys WHERE user_nid = $1" },
  { name: "ended_account_key_signatures", text: "DELETE FROM key_signatures WHERE user_nid = $1 OR signer_nid = $1" },
  { name: "ended_account_signed_users", text: "DELETE FROM signed_users WHERE signer_nid = $1" },
  { name: "ended_account_filters", text: "DELETE FROM filters WHERE user_nid = $1" },
  { name: "ended_account_pushers", text: "DELETE FROM pushers WHERE user_nid = $1" },
  { name: "ended_account_push_rules", text: "DELETE FROM push_rules WHERE user_nid = $1" },
  {
    name: "ended_account_receipts", // memberships_pkey, then receipts_pkey
    text: `DELETE FROM receipts USING memberships
      WHERE memberships.user_nid = $1 AND receipts.room_nid = memberships.room_nid AND receipts.user_nid = $1`,
  },
  { name: "ended_account_third_party_ids", text: "DELETE FROM third_party_ids WHERE user_nid = $1" },
  { name: "ended_account_user_tokens", text: "DELETE FROM user_tokens WHERE user_nid = $1" },
  // Browsers, codes and devices go by themselves; whom a provider knows stays, so that it makes no other account of them.
  { name: "ended_account_external_sessions", text: "DELETE FROM external_sessions WHERE user_nid = $1" },
];
const ERASED: Statement<{ user_nid: number }> = {
  name: "ended_account_erased", // accounts_erased
  text: "SELECT user_nid FROM accounts WHERE erased",
};

/** Deletes what an account had set, said it had read, and was known by. */
export async function deleteBelongings(tx: Tx, userNid: number): Promise<void> {
  await Promise.all(DELETIONS.map((statement) => tx.query(statement, [userNid])));
}

/** Users who have ended their accounts and asked for their messages to be hidden. */
export async function erasedUsers(database: Database): Promise<Set<number>> {
  return new Set((await database.read(ERASED, [])).map(({ user_nid }) => user_nid));
}
