// Evaluates push rules: which rule an event meets first and what follows (client-server API, "Push Rules").
import type { RoomEvent } from "./event.js";
import { compileGlob, type Glob, literalGlob, matchesWhole, matchesWords } from "./glob.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "./json.js";
import { notificationLevel, type PowerLevels, userLevel } from "./power-levels.js";
import { parsePath, valueAt } from "./property-path.js";
import { DEFAULT_RULES, OWN_USER_ID, PUSH_RULE_KINDS, type PushCondition, type PushRule, type PushRuleKind, type PushRuleset } from "./push-rules.js";

/** What an event means for one user. */
export interface Notification {
  readonly rule_id: string;
  readonly notify: boolean;
  readonly highlight: boolean;
  readonly tweaks: JsonObject;
  readonly actions: readonly JsonValue[];
}

/** The user whose rules are asked; none for the outcome that all have whom the event does not name. */
export interface Member {
  readonly user_id: string;
  /** In the room; only the deprecated condition contains_display_name asks. */
  readonly displayName?: string | undefined;
  /** Whether they follow the thread that the event is in. */
  readonly follows?: boolean | undefined;
}

/** What conditions look at, prepared once for an event and then asked for many members. */
export interface EventFacts {
  readonly event: RoomEvent;
  readonly memberCount: number;
  readonly levels: PowerLevels;
  readonly inThread: boolean;
  readonly properties: JsonObject;
  /** What was found at paths so far, strings in lower case too: the same few are asked for every member. */
  readonly found: Map<string, Found>;
}

interface Found {
  readonly value: JsonValue | undefined;
  readonly text: string | undefined;
}

function find(facts: EventFacts, key: string): Found {
  const known = facts.found.get(key);
  if (known !== undefined) return known;
  const value = valueAt(facts.properties, parsePath(key));
  const found = { value, text: typeof value === "string" ? value.toLowerCase() : undefined };
  facts.found.set(key, found);
  return found;
}

/** The facts of an event, in a thread or not, in a room that has so many joined members and these levels. */
export function eventFacts(event: RoomEvent, memberCount: number, levels: PowerLevels, inThread = false): EventFacts {
  const { type, sender, room_id, event_id, state_key, origin_server_ts, content, redacts } = event;
  const properties = {
    type,
    sender,
    room_id,
    event_id,
    origin_server_ts,
    content,
    ...(state_key !== undefined && { state_key }),
    ...(redacts !== undefined && { redacts }),
  };
  return { event, memberCount, levels, inThread, properties, found: new Map() };
}

/**
 * The users for whom an event may mean something else by the predefined rules than for everyone: those whom it mentions and
 * whom it invites. For all others without rules of their own one evaluation without member answers.
 */
export function singledOut(event: Pick<RoomEvent, "type" | "content"> & { readonly state_key?: string | undefined }): readonly string[] {
  const mentions = own(event.content, "m.mentions");
  const listed = isObject(mentions) ? own(mentions, "user_ids") : undefined;
  const users = Array.isArray(listed) ? listed.filter((user) => typeof user === "string") : namedInBody(event.content);
  return event.type === "m.room.member" && event.state_key !== undefined ? [...users, event.state_key] : users;
}

const USER_ID = /@[\w.=/+-]+:[a-z0-9.-]*[a-z0-9](?::\d{1,5})?/gi;
const MAX_NAMED = 50;

/** The user ids in the text of a message that does not say whom it mentions, at most 50. */
function namedInBody(content: JsonObject): readonly string[] {
  const body = ownString(content, "body");
  if (body === undefined || !body.includes("@") || own(content, "m.mentions") !== undefined) return [];
  const named = new Set<string>();
  for (const [id] of body.matchAll(USER_ID)) {
    named.add(id);
    if (named.size === MAX_NAMED) break;
  }
  return [...named];
}

type Test = (facts: EventFacts, member: Member | undefined) => boolean;

interface CompiledRule {
  readonly tests: readonly Test[];
  readonly outcome: Notification;
}

/** Rules in the order in which they decide, ready to be asked. */
export type CompiledRules = readonly CompiledRule[];

/** Compiles rules; disabled ones and those with a condition that nobody knows are left out. Never throws. */
export function compileRules(rules: PushRuleset): CompiledRules {
  return PUSH_RULE_KINDS.flatMap((kind) =>
    rules[kind].flatMap((rule) => {
      if (!rule.enabled) return [];
      const tests = testsOf(kind, rule);
      if (tests.includes(undefined)) return [];
      const known = tests.flatMap((test) => test ?? []);
      return [{ tests: known, outcome: outcomeOf(rule) }];
    }),
  );
}

/** The rule of who ignores users: their events mean nothing, whatever other rules say ("Ignoring Users"). */
export function ignoring(users: readonly string[]): CompiledRules {
  if (users.length === 0) return [];
  const ignored = new Set(users);
  const outcome = { rule_id: "", notify: false, highlight: false, tweaks: {}, actions: [] };
  return [{ tests: [({ event }) => ignored.has(event.sender)], outcome }];
}

/** The predefined rules, for everyone who changed nothing. */
export const COMPILED_DEFAULTS: CompiledRules = compileRules(DEFAULT_RULES);

/**
 * What an event means by some rules: the outcome of the first that matches, undefined if none does or if it neither
 * notifies nor highlights. Nobody is notified of their own events.
 */
export function evaluate(rules: CompiledRules, facts: EventFacts, member?: Member): Notification | undefined {
  if (member?.user_id === facts.event.sender) return undefined;
  const outcome = rules.find(({ tests }) => tests.every((test) => test(facts, member)))?.outcome;
  return outcome?.notify || outcome?.highlight ? outcome : undefined;
}

function outcomeOf(rule: PushRule): Notification {
  const tweaks: [string, JsonValue][] = [];
  for (const action of rule.actions) {
    const name = isObject(action) ? ownString(action, "set_tweak") : undefined;
    if (name === undefined || !isObject(action)) continue;
    tweaks.push([name, own(action, "value") ?? (name === "highlight" ? true : null)]);
  }
  const all = Object.fromEntries(tweaks);
  return {
    rule_id: rule.rule_id,
    notify: rule.actions.includes("notify"),
    highlight: own(all, "highlight") === true,
    tweaks: all,
    actions: rule.actions.filter((action) => action !== "dont_notify" && action !== "coalesce"),
  };
}

function testsOf(kind: PushRuleKind, rule: PushRule): (Test | undefined)[] {
  switch (kind) {
    case "content":
      if (rule.pattern === OWN_USER_ID) return [({ event }, member) => member !== undefined && namedInBody(event.content).includes(member.user_id)];
      return [rule.pattern === undefined ? undefined : bodyMatches(compileGlob(rule.pattern))];
    case "room":
      return [(facts) => facts.event.room_id === rule.rule_id];
    case "sender":
      return [(facts) => facts.event.sender === rule.rule_id];
    default:
      return (rule.conditions ?? []).map(compileCondition);
  }
}

function compileCondition(condition: PushCondition): Test | undefined {
  const { key, pattern, value, subscribed } = condition;
  switch (condition.kind) {
    case "event_match":
      return key === undefined || pattern === undefined ? undefined : eventMatch(key, pattern);
    case "event_property_is":
      return key === undefined || !isScalar(value) ? undefined : propertyIs(key, value);
    case "event_property_contains":
      return key === undefined || !isScalar(value) ? undefined : propertyContains(key, value);
    case "contains_display_name":
      return (facts, member) => {
        const name = member?.displayName ?? "";
        return name !== "" && bodyMatches(literalGlob(name))(facts, member);
      };
    case "room_member_count":
      return memberCount(condition.is ?? "");
    case "sender_notification_permission":
      return key === undefined
        ? undefined
        : ({ event, levels }) => userLevel(levels, event.sender) >= notificationLevel(levels, key);
    case "thread_subscription":
    case "io.element.msc4306.thread_subscription":
      return subscribed === undefined ? undefined : ({ inThread }, member) => inThread && (member?.follows === true) === subscribed;
    default:
      return undefined;
  }
}

function eventMatch(key: string, pattern: string): Test {
  if (pattern === OWN_USER_ID) return (facts, member) => member !== undefined && find(facts, key).value === member.user_id;
  const glob = compileGlob(pattern);
  if (key === "content.body") return bodyMatches(glob);
  if (!/[*?]/.test(pattern)) {
    const literal = pattern.toLowerCase();
    return (facts) => find(facts, key).text === literal;
  }
  return (facts) => {
    const { text } = find(facts, key);
    return text !== undefined && matchesWhole(glob, text);
  };
}

function bodyMatches(glob: Glob): Test {
  return (facts) => {
    const { text } = find(facts, "content.body");
    return text !== undefined && matchesWords(glob, text);
  };
}

function isScalar(value: JsonValue | undefined): value is string | number | boolean | null {
  return value === null || typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value);
}

function propertyIs(key: string, value: JsonValue): Test {
  return (facts) => find(facts, key).value === value;
}

function propertyContains(key: string, value: JsonValue): Test {
  return (facts, member) => {
    const list = find(facts, key).value;
    const wanted = value === OWN_USER_ID ? member?.user_id : value;
    return wanted !== undefined && Array.isArray(list) && list.includes(wanted);
  };
}

function memberCount(is: string): Test | undefined {
  const [, operator = "", digits = ""] = /^(==|<|>|<=|>=)?(\d+)$/.exec(is) ?? [];
  if (digits === "") return undefined;
  const number = Number(digits);
  switch (operator) {
    case "<":
      return (facts) => facts.memberCount < number;
    case ">":
      return (facts) => facts.memberCount > number;
    case "<=":
      return (facts) => facts.memberCount <= number;
    case ">=":
      return (facts) => facts.memberCount >= number;
    default:
      return (facts) => facts.memberCount === number;
  }
}
