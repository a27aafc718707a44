// Push rules: their kinds and the predefined ones (client-server API, "Push Rules").
import type { JsonValue } from "./json.js";

/** In the order in which they decide. Rules of `postcontent` are about threads and none but predefined (MSC4306). */
export const PUSH_RULE_KINDS = ["override", "content", "postcontent", "room", "sender", "underride"] as const;
export type PushRuleKind = (typeof PUSH_RULE_KINDS)[number];

export interface PushCondition {
  readonly kind: string;
  readonly key?: string | undefined;
  readonly pattern?: string | undefined;
  readonly is?: string | undefined;
  readonly value?: JsonValue | undefined;
  readonly subscribed?: boolean | undefined;
}

export interface PushRule {
  readonly rule_id: string;
  readonly default: boolean;
  readonly enabled: boolean;
  readonly actions: readonly JsonValue[];
  /** Of `override`, `postcontent` and `underride` rules. */
  readonly conditions?: readonly PushCondition[] | undefined;
  /** Of `content` rules. */
  readonly pattern?: string | undefined;
}

/** Rules of each kind, the one that decides first in front. */
export type PushRuleset = { readonly [Kind in PushRuleKind]: readonly PushRule[] };

/** Stands for the owner's user id in rules that are the same for everyone. */
export const OWN_USER_ID = "\0own user id";

const match = (key: string, pattern: string): PushCondition => ({ kind: "event_match", key, pattern });
const is = (key: string, value: JsonValue): PushCondition => ({ kind: "event_property_is", key, value });
const sound = (value: string): JsonValue => ({ set_tweak: "sound", value });
const HIGHLIGHT: JsonValue = { set_tweak: "highlight" };
const follows = (subscribed: boolean): PushCondition => ({ kind: "io.element.msc4306.thread_subscription", subscribed });
const TWO_MEMBERS: PushCondition = { kind: "room_member_count", is: "2" };

function rule(
  rule_id: string,
  conditions: readonly PushCondition[],
  actions: readonly JsonValue[],
  enabled = true,
): PushRule {
  return { rule_id, default: true, enabled, conditions, actions };
}

const MASTER = rule(".m.rule.master", [], [], false);

// Polls, whose rules are not specified yet (MSC3930).
const POLL = "org.matrix.msc3381.poll";
const pollRule = (name: string): string => `.org.matrix.msc3930.rule.poll_${name}`;

/** The predefined rules ("Predefined Rules"), the owner's id left open. */
export const DEFAULT_RULES: PushRuleset = {
  override: [
    MASTER,
    rule(".m.rule.suppress_notices", [match("content.msgtype", "m.notice")], []),
    rule(
      ".m.rule.invite_for_me",
      [match("type", "m.room.member"), match("content.membership", "invite"), match("state_key", OWN_USER_ID)],
      ["notify", sound("default")],
    ),
    rule(".m.rule.member_event", [match("type", "m.room.member")], []),
    rule(
      ".m.rule.is_user_mention",
      [{ kind: "event_property_contains", key: "content.m\\.mentions.user_ids", value: OWN_USER_ID }],
      ["notify", sound("default"), HIGHLIGHT],
    ),
    rule(
      ".m.rule.is_room_mention",
      [is("content.m\\.mentions.room", true), { kind: "sender_notification_permission", key: "room" }],
      ["notify", HIGHLIGHT],
    ),
    rule(".m.rule.tombstone", [match("type", "m.room.tombstone"), match("state_key", "")], ["notify", HIGHLIGHT]),
    rule(".m.rule.reaction", [match("type", "m.reaction")], []),
    rule(".m.rule.room.server_acl", [match("type", "m.room.server_acl"), match("state_key", "")], []),
    rule(".m.rule.suppress_edits", [is("content.m\\.relates_to.rel_type", "m.replace")], []),
    rule(pollRule("response"), [match("type", `${POLL}.response`)], []),
    // Clients that decide for themselves about what is encrypted switch it on (MSC4028).
    rule(".org.matrix.msc4028.encrypted_event", [match("type", "m.room.encrypted")], ["notify"], false),
  ],
  // A rule of our own: bots and bridges still write ids without saying whom they mention.
  content: [{ rule_id: ".org.hansa.rule.contains_user_id", default: true, enabled: true, actions: ["notify", sound("default"), HIGHLIGHT], pattern: OWN_USER_ID }],
  // What nobody was named in counts for those who follow its thread, whatever they set for the room (MSC4306). That it counts for nobody
  // else is for users to switch on whose clients follow threads for them: those of today's specification do not, and would miss all.
  postcontent: [
    rule(".io.element.msc4306.rule.unsubscribed_thread", [follows(false)], [], false),
    rule(".io.element.msc4306.rule.subscribed_thread", [follows(true)], ["notify", sound("default")]),
  ],
  room: [],
  sender: [],
  underride: [
    rule(".m.rule.call", [match("type", "m.call.invite")], ["notify", sound("ring")]),
    rule(
      ".m.rule.encrypted_room_one_to_one",
      [TWO_MEMBERS, match("type", "m.room.encrypted")],
      ["notify", sound("default")],
    ),
    rule(".m.rule.room_one_to_one", [TWO_MEMBERS, match("type", "m.room.message")], ["notify", sound("default")]),
    rule(".m.rule.message", [match("type", "m.room.message")], ["notify"]),
    rule(".m.rule.encrypted", [match("type", "m.room.encrypted")], ["notify"]),
    rule(pollRule("start_one_to_one"), [TWO_MEMBERS, match("type", `${POLL}.start`)], ["notify", sound("default")]),
    rule(pollRule("start"), [match("type", `${POLL}.start`)], ["notify"]),
    rule(pollRule("end_one_to_one"), [TWO_MEMBERS, match("type", `${POLL}.end`)], ["notify", sound("default")]),
    rule(pollRule("end"), [match("type", `${POLL}.end`)], ["notify"]),
  ],
};

/** What a user changed of a predefined rule. */
export interface DefaultRuleChange {
  readonly enabled?: boolean | undefined;
  readonly actions?: readonly JsonValue[] | undefined;
}

/**
 * A user's rules: the predefined ones with the user's changes, and the user's own in front of them, `.m.rule.master` alone
 * before those. With a user id the predefined rules name it, as clients see them; without, they stay as they are, which
 * is what `compileRules` takes.
 */
export function userRules(
  own: Partial<PushRuleset>,
  changes: ReadonlyMap<string, DefaultRuleChange>,
  user?: string,
): PushRuleset {
  const merged = (kind: PushRuleKind): readonly PushRule[] => {
    const defaults = DEFAULT_RULES[kind].map((predefined) => {
      const { enabled = predefined.enabled, actions = predefined.actions } = changes.get(predefined.rule_id) ?? {};
      const conditions = predefined.conditions?.map((condition) => named(condition, user));
      const pattern = predefined.pattern === OWN_USER_ID ? (user ?? OWN_USER_ID) : predefined.pattern;
      return { ...predefined, enabled, actions, conditions, pattern };
    });
    const first = kind === "override" ? 1 : 0;
    return [...defaults.slice(0, first), ...(own[kind] ?? []), ...defaults.slice(first)];
  };
  return {
    override: merged("override"),
    content: merged("content"),
    postcontent: merged("postcontent"),
    room: merged("room"),
    sender: merged("sender"),
    underride: merged("underride"),
  };
}

function named(condition: PushCondition, user: string | undefined): PushCondition {
  if (user === undefined) return condition;
  if (condition.pattern === OWN_USER_ID) return { ...condition, pattern: user };
  return condition.value === OWN_USER_ID ? { ...condition, value: user } : condition;
}
