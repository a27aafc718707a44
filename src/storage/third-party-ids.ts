// Third-party identifiers of our users.
import type { ServerName, UserId } from "../protocol/identifiers.js";
import type { ThirdPartyId } from "../protocol/third-party-ids.js";
import type { Database, Tx } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText } from "./text.js";

export interface AddedId extends ThirdPartyId {
  readonly validated_at: number;
  readonly added_at: number;
}

const LIST: Statement<AddedId> = {
  name: "third_party_ids_list", // third_party_ids_user
  text: `SELECT medium, address, validated_ts AS validated_at, added_ts AS added_at FROM third_party_ids
    WHERE user_nid = $1 ORDER BY added_ts, medium, address`,
};
const OWNER: Statement<{ user_id: string }> = {
  name: "third_party_ids_owner", // third_party_ids_pkey
  text: `SELECT user_id FROM third_party_ids JOIN users ON users.nid = user_nid
    WHERE server_name = $1 AND medium = $2 AND address = $3`,
};
const ADD: Statement = {
  name: "third_party_ids_add",
  // Who has it already keeps it, and may validate it again.
  text: `INSERT INTO third_party_ids (server_name, medium, address, user_nid, validated_ts, added_ts) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (server_name, medium, address) DO UPDATE SET validated_ts = excluded.validated_ts
      WHERE third_party_ids.user_nid = excluded.user_nid
    RETURNING user_nid`,
};
const DELETE: Statement = {
  name: "third_party_ids_delete", // third_party_ids_user
  text: "DELETE FROM third_party_ids WHERE user_nid = $1 AND medium = $2 AND address = $3",
};

/** Those of a user, oldest first. */
export async function listThirdPartyIds(database: Database, userNid: number): Promise<AddedId[]> {
  return await database.read(LIST, [userNid]);
}

/** The user of one of our servers who has this one. */
export async function ownerOfThirdPartyId(
  database: Database,
  server: ServerName,
  { medium, address }: ThirdPartyId,
): Promise<UserId | undefined> {
  const [row] = await database.read(OWNER, [server, medium, address]);
  return row && (fromText(row.user_id) as UserId);
}

/** Gives a user of a server a third-party identifier; false if another user of that server has it. */
export async function addThirdPartyId(
  tx: Tx,
  owner: { readonly user_nid: number; readonly server: ServerName },
  { medium, address, validated_at, added_at }: AddedId,
): Promise<boolean> {
  return (await tx.query(ADD, [owner.server, medium, address, owner.user_nid, validated_at, added_at])).length > 0;
}

export async function deleteThirdPartyId(tx: Tx, userNid: number, { medium, address }: ThirdPartyId): Promise<void> {
  await tx.query(DELETE, [userNid, medium, address]);
}
