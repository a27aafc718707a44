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
  /** Whom the user ignores: the content of "m.ignored_user_list" as JSON text. */
  readonly ignored: string | undefined;
}

interface RulesRow {
  readonly user_nid: number;
  readonly user_id: string;
  readonly rules: string | null;
  readonly ignored: string | null;
}

const IGNORED = "type = 'm.ignored_user_list' AND account_data.room_nid = 0";
const SELECT = `SELECT users.nid AS user_nid, user_id, rules, account_data.content AS ignored FROM users
    LEFT JOIN push_rules ON push_rules.user_nid = users.nid LEFT JOIN account_data ON account_data.user_nid = users.nid AND ${IGNORED}`;
const IN_ROOM = "JOIN current_state USING (user_nid) WHERE current_state.room_nid = $1 AND current_state.membership = 1";
const MEMBERS = `SELECT user_nid FROM push_rules ${IN_ROOM} UNION SELECT user_nid FROM account_data ${IN_ROOM} AND ${IGNORED}`;

const OF_USERS: Statement<RulesRow> = {
  name: "push_rules_of_users", // users_pkey, push_rules_pkey, account_data_pkey
  text: `${SELECT} WHERE users.nid = ANY($1) AND (rules IS NOT NULL OR account_data.content IS NOT NULL)`,
};
const OF_ROOM: Statement<RulesRow> = {
  name: "push_rules_of_room", // current_state_membership, push_rules_pkey, account_data_ignored_users
  text: `${SELECT} WHERE users.nid IN (${MEMBERS})`,
};
const OF_ROOM_USERS: Statement<RulesRow> = {
  name: "push_rules_of_room_users", // push_rules_pkey, account_data_ignored_users, current_state_user
  text: `${SELECT} WHERE users.nid = ANY($2) AND users.nid IN (${MEMBERS})`,
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
  return rows.map(({ user_nid, user_id, rules, ignored }) => ({
    user_nid,
    user_id: fromText(user_id),
    rules: rules === null ? NO_OWN_RULES : parsed(rules),
    ignored: ignored ?? undefined,
  }));
}

/** The rules of those users who have any of their own, or ignore somebody. */
export async function rulesOfUsers(reads: Reads, userNids: readonly number[]): Promise<StoredRules[]> {
  return userNids.length === 0 ? [] : restored(await reads.read(OF_USERS, [userNids]));
}

/** The rules of those members of a room who have any of their own or ignore somebody; of all of them, or of these. */
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
  return row === undefined || row.rules === null ? NO_OWN_RULES : parsed(row.rules);
}

/** Stores a user's rules at the position that the transaction will take. */
export function storeRules(tx: Tx, userNid: number, rules: OwnRules): void {
  tx.atPosition(SET, [userNid, JSON.stringify(rules)]);
}
