// What of our users' profiles is copied into their memberships.
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

export interface ProfileField {
  readonly user_id: string;
  readonly name: "displayname" | "avatar_url";
  /** JSON text. */
  readonly value: string;
}

const OF_USERS: Statement<ProfileField> = {
  name: "member_profiles_of_users", // users_user_id_key, accounts_pkey, profile_fields_pkey
  text: `SELECT u.user_id, p.name, p.value FROM users u
      JOIN accounts a ON a.user_nid = u.nid AND a.deactivated_ts IS NULL
      JOIN profile_fields p ON p.user_nid = u.nid AND p.name IN ('displayname', 'avatar_url')
    WHERE u.user_id = ANY($1)`,
};

/** Names and pictures of our users. */
export async function nameFields(reads: Reads, users: readonly string[]): Promise<ProfileField[]> {
  const rows = users.length === 0 ? [] : await reads.read(OF_USERS, [users.map(toText)]);
  return rows.map((row) => ({ ...row, user_id: fromText(row.user_id) }));
}
