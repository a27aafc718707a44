// The push rules of a user as clients read and change them (client-server API, "Push Rules: API").
import { type AccountContext, appendToLog } from "../accounts/context.js";
import type { Requester } from "../accounts/requester.js";
import { invalidParam, MatrixError, missingParam, notFound, tooLarge } from "../errors.js";
import { isObject, type JsonValue, ownString } from "../protocol/json.js";
import {
  DEFAULT_RULES,
  type DefaultRuleChange,
  PUSH_RULE_KINDS,
  type PushCondition,
  type PushRule,
  type PushRuleKind,
  type PushRuleset,
  userRules,
} from "../protocol/push-rules.js";
import type { RuleChanges } from "../rooms/owner/rule-changes.js";
import { lockRules, NO_OWN_RULES, type OwnRules, rulesOfUsers, storeRules } from "../storage/push-rules.js";
import type { Reads } from "../storage/statement.js";

const MAX_RULES = 2_000;
const MAX_RULE_BYTES = 16_384;

export interface PushRulesContext extends AccountContext {
  readonly ruleChanges: RuleChanges;
}

/** A new rule, or what an old one becomes. */
export interface RuleFields {
  readonly actions: readonly JsonValue[];
  readonly conditions?: readonly PushCondition[] | undefined;
  readonly pattern?: string | undefined;
}

/** Where a rule is put, among the user's own rules of its kind. `before` is the stronger one. */
export interface RulePlace {
  readonly before?: string | undefined;
  readonly after?: string | undefined;
}

/** The rules as their owner sees them. */
export function rulesShown({ own, changes }: OwnRules, userId: string): PushRuleset {
  return userRules(own, new Map(Object.entries(changes)), userId);
}

/** All rules of a user. */
export async function readRules(reads: Reads, { user_nid, user_id }: Requester): Promise<PushRuleset> {
  const [stored] = await rulesOfUsers(reads, [user_nid]);
  return rulesShown(stored?.rules ?? NO_OWN_RULES, user_id);
}

/** One rule of a user. Throws M_NOT_FOUND. */
export async function readRule(reads: Reads, requester: Requester, kind: string, ruleId: string): Promise<PushRule> {
  const rules = await readRules(reads, requester);
  const known = PUSH_RULE_KINDS.find((name) => name === kind);
  const rule = known && rules[known].find(({ rule_id }) => rule_id === ruleId);
  if (rule === undefined) throw notFound("The push rule was not found.");
  return rule;
}

/** Actions are `notify`, what older clients sent for "nothing", and tweaks. Throws M_INVALID_PARAM. */
function requireActions(actions: readonly JsonValue[]): void {
  for (const action of actions) {
    const known = action === "notify" || action === "dont_notify" || action === "coalesce";
    if (!known && (!isObject(action) || ownString(action, "set_tweak") === undefined)) {
      throw invalidParam('An action is "notify" or an object with "set_tweak".');
    }
  }
}

/** The rule that a client asks for. Throws M_INVALID_PARAM, M_MISSING_PARAM. */
function newRule(kind: PushRuleKind, ruleId: string, fields: RuleFields): PushRule {
  if (kind === "postcontent") throw invalidParam("Rules of this kind are the server's.");
  if (ruleId.startsWith(".")) throw invalidParam("Rules whose id starts with a dot are the server's.");
  if (/[/\\]/.test(ruleId)) throw invalidParam("The id of a rule must not have slashes.");
  requireActions(fields.actions);
  const rule = { rule_id: ruleId, default: false, enabled: true, actions: fields.actions };
  const { conditions = [], pattern } = fields;
  if (kind === "content") {
    if (pattern === undefined) throw missingParam('A content rule needs a "pattern".');
    return { ...rule, pattern };
  }
  return kind === "override" || kind === "underride" ? { ...rule, conditions } : rule;
}

/**
 * Adds a rule, enabled and in front of the user's others of its kind unless `place` says where; or changes the one with
 * this id. Throws M_INVALID_PARAM, M_MISSING_PARAM, M_UNKNOWN for a place that is not there, M_TOO_LARGE.
 */
export async function putRule(
  context: PushRulesContext,
  requester: Requester,
  kind: PushRuleKind,
  ruleId: string,
  fields: RuleFields,
  place: RulePlace,
): Promise<void> {
  const added = newRule(kind, ruleId, fields);
  if (Buffer.byteLength(JSON.stringify(added)) > MAX_RULE_BYTES) {
    throw tooLarge(`A push rule may have at most ${MAX_RULE_BYTES} bytes.`);
  }
  await changeRules(context, requester, ({ own, changes }) => {
    const rules = own[kind] ?? [];
    const index = rules.findIndex(({ rule_id }) => rule_id === ruleId);
    const before = rules[index];
    const rule = before === undefined ? added : { ...added, enabled: before.enabled };
    const others = rules.filter(({ rule_id }) => rule_id !== ruleId);
    const neighbour = place.before ?? place.after;
    let at = before === undefined ? 0 : index;
    if (neighbour !== undefined) {
      const found = others.findIndex(({ rule_id }) => rule_id === neighbour);
      if (found < 0) throw new MatrixError(400, "M_UNKNOWN", "The rule named by before or after is none of yours.");
      // What comes before another rule in importance stands in front of it.
      at = place.before === undefined ? found + 1 : found;
    }
    const count = PUSH_RULE_KINDS.reduce((sum, each) => sum + (own[each]?.length ?? 0), 0);
    if (before === undefined && count >= MAX_RULES) {
      throw tooLarge(`A user may have at most ${MAX_RULES} push rules.`);
    }
    return { own: { ...own, [kind]: [...others.slice(0, at), rule, ...others.slice(at)] }, changes };
  });
}

/** Removes one of the user's own rules. Throws M_NOT_FOUND. */
export async function removeRule(context: PushRulesContext, requester: Requester, kind: PushRuleKind, ruleId: string): Promise<void> {
  await changeRules(context, requester, ({ own, changes }) => {
    const rules = own[kind] ?? [];
    const left = rules.filter(({ rule_id }) => rule_id !== ruleId);
    if (left.length === rules.length) throw notFound("The push rule was not found, or it is a predefined one.");
    return { own: { ...own, [kind]: left }, changes };
  });
}

/** Changes whether a rule is in force or what it does. Throws M_NOT_FOUND, M_INVALID_PARAM. */
export async function changeRule(
  context: PushRulesContext,
  requester: Requester,
  kind: PushRuleKind,
  ruleId: string,
  change: DefaultRuleChange,
): Promise<void> {
  requireActions(change.actions ?? []);
  await changeRules(context, requester, ({ own, changes }) => {
    if (DEFAULT_RULES[kind].some(({ rule_id }) => rule_id === ruleId)) {
      const before = Object.hasOwn(changes, ruleId) ? changes[ruleId] : undefined;
      return { own, changes: { ...changes, [ruleId]: { ...before, ...change } } };
    }
    const rules = own[kind] ?? [];
    if (!rules.some(({ rule_id }) => rule_id === ruleId)) throw notFound("The push rule was not found.");
    const { enabled, actions } = change;
    const changed = rules.map((rule) =>
      rule.rule_id === ruleId ? { ...rule, enabled: enabled ?? rule.enabled, actions: actions ?? rule.actions } : rule,
    );
    return { own: { ...own, [kind]: changed }, changes };
  });
}

async function changeRules(context: PushRulesContext, { user_nid }: Requester, change: (rules: OwnRules) => OwnRules): Promise<void> {
  await context.database.transaction(async (tx) => {
    storeRules(tx, user_nid, change(await lockRules(tx, user_nid)));
    appendToLog(context, tx, [{ kind: "push_rule", user_nid }]);
    // The events that rooms of this process count next are judged by the new rules; other processes read it from the log.
    tx.afterCommit(() => context.ruleChanges.note(user_nid));
  });
}
