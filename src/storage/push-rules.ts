// Push rules of users who changed any of the predefined ones or added their own.
import type { DefaultRuleChange, PushRuleset } from "../protocol/push-rules.js";
import { lockAccount } from "./account-data.js";
import type { Tx } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText } from "./text.js";

/** What a user has beside the predefined rules. */
export interface OwnRules {
  readonly own: Partial<PushRuleset>;
  /** Changes of predefined rules, by their id. */
  readonly changes: Readonly<Record<string, DefaultRuleChange>>;
}

export const NO_OWN_RULES: OwnRules = { own: {}, changes: {} };

export interface StoredRules {
  readonly user_nid: number;
  readonly user_id: string;
  readonly rules: OwnRules;
}

interface RulesRow {
  readonly user_nid: number;
  readonly user_id: string;
  readonly rules: string;
}

const SELECT = "SELECT push_rules.user_nid, user_id, rules FROM push_rules JOIN users ON users.nid = push_rules.user_nid";

const OF_USERS: Statement<RulesRow> = {
  name: "push_rules_of_users", // push_rules_pkey
  text: `${SELECT} WHERE push_rules.user_nid = ANY($1)`,
};
const OF_ROOM: Statement<RulesRow> = {
  name: "push_rules_of_room", // current_state_membership, push_rules_pkey
  text: `${SELECT} JOIN current_state ON current_state.user_nid = push_rules.user_nid
    WHERE current_state.room_nid = $1 AND current_state.membership = 1`,
};
const OF_ROOM_USERS: Statement<RulesRow> = {
  name: "push_rules_of_room_users", // push_rules_pkey, current_state_user
  text: `${SELECT} JOIN current_state ON current_state.user_nid = push_rules.user_nid
    WHERE current_state.room_nid = $1 AND current_state.membership = 1 AND push_rules.user_nid = ANY($2)`,
};
const CHANGED: Statement<{ rules: string }> = {
  name: "push_rules_changed", // push_rules_pkey
  text: "SELECT rules FROM push_rules WHERE user_nid = $1 AND last_position > $2 AND last_position <= $3",
};
const SET: Statement = {
  name: "push_rules_set",
  text: `INSERT INTO push_rules (user_nid, rules, last_position) VALUES ($1, $2, currval('log_position'))
    ON CONFLICT (user_nid) DO UPDATE SET rules = excluded.rules, last_position = excluded.last_position`,
};

/** They were checked when they were stored. */
function parsed(rules: string): OwnRules {
  return JSON.parse(rules) as OwnRules;
}

function restored(rows: readonly RulesRow[]): StoredRules[] {
  return rows.map(({ user_nid, user_id, rules }) => ({ user_nid, user_id: fromText(user_id), rules: parsed(rules) }));
}

/** The rules of those users who have any of their own. */
export async function rulesOfUsers(reads: Reads, userNids: readonly number[]): Promise<StoredRules[]> {
  return userNids.length === 0 ? [] : restored(await reads.read(OF_USERS, [userNids]));
}

/** The rules of those members of a room who have any of their own; of all of them, or of these. */
export async function rulesOfRoom(reads: Reads, roomNid: number, users?: readonly number[]): Promise<StoredRules[]> {
  return restored(await (users === undefined ? reads.read(OF_ROOM, [roomNid]) : reads.read(OF_ROOM_USERS, [roomNid, users])));
}

/** A user's rules if they changed at a position in (after, upTo]. */
export async function rulesChanged(
  reads: Reads,
  userNid: number,
  range: { readonly after: number; readonly upTo: number },
): Promise<OwnRules | undefined> {
  const [row] = await reads.read(CHANGED, [userNid, range.after, range.upTo]);
  return row && parsed(row.rules);
}

/** A user's rules, which nobody else can change until the transaction ends. */
export async function lockRules(tx: Queryable, userNid: number): Promise<OwnRules> {
  const [, [row]] = await Promise.all([lockAccount(tx, userNid), tx.query(OF_USERS, [[userNid]])]);
  return row === undefined ? NO_OWN_RULES : parsed(row.rules);
}

/** Stores a user's rules at the position that the transaction will take. */
export function storeRules(tx: Tx, userNid: number, rules: OwnRules): void {
  tx.atPosition(SET, [userNid, JSON.stringify(rules)]);
}
