// Counts the events of a room for its local members, by their push rules (client-server API, "Receiving notifications").
// Whoever has the predefined rules is counted by running numbers; single rows are written only where it is different.
import type { RoomEvent } from "../../protocol/event.js";
import type { UserId } from "../../protocol/identifiers.js";
import { membershipIn } from "../../protocol/membership.js";
import type { PowerLevels } from "../../protocol/power-levels.js";
import {
  COMPILED_DEFAULTS,
  type CompiledRules,
  compileRules,
  evaluate,
  type EventFacts,
  eventFacts,
  ignoring,
  type Notification,
  singledOut,
} from "../../protocol/push-evaluation.js";
import { PUSH_RULE_KINDS, type PushRule, type PushRuleKind, type PushRuleset, userRules } from "../../protocol/push-rules.js";
import type {
  CountedEventRow,
  CountedScopeRow,
  CountExceptionRow,
  CountRows,
  ImpliedReceiptRow,
  RunningNumbers,
} from "../../storage/counts.js";
import type { StoredRules } from "../../storage/push-rules.js";
import type { PushRow } from "../../storage/room-rows.js";
import { MAIN_TIMELINE, WHOLE_ROOM } from "../../storage/threads.js";
import { ignoredUsersIn } from "../ignored-users.js";
import type { ThreadFollowers } from "./thread-followers.js";

/** A member whose rules say something else in this room than the predefined ones. */
export interface RuledMember {
  readonly user_id: string;
  readonly rules: CompiledRules;
  /** Whether the rules ask for the member's display name. */
  readonly asksName: boolean;
}

/** What a room's events are counted with. */
export interface RoomCounting {
  /** Members in the room, of all servers. */
  joined: number;
  readonly members: Map<number, RuledMember>;
  /** Rules of users who may be joining: they count from when they are in. */
  joining: ReadonlyMap<number, RuledMember>;
  /** Members with pushers. */
  readonly pushed: Map<number, UserId>;
  /** Users with pushers who may be joining, or are invited: whether they shall come is something to be told of. */
  pushedJoining: ReadonlyMap<number, UserId>;
  /** The running numbers of scopes: threads by their root, and the main timeline. */
  readonly scopes: { get(thread: number): RunningNumbers | undefined; set(thread: number, numbers: RunningNumbers): unknown };
  /** Who follows threads. */
  readonly followers: ThreadFollowers;
}

/** A user's rules as they matter in one room; undefined if they are the predefined ones there, and nobody is ignored. */
export function ruledMember({ user_id, rules: { own, changes }, ignored: list }: StoredRules, roomId: string): RuledMember | undefined {
  const ignored = [...ignoredUsersIn(list)];
  const kept: { [Kind in PushRuleKind]?: readonly PushRule[] } = {};
  for (const kind of PUSH_RULE_KINDS) {
    const rules = (own[kind] ?? []).filter((rule) => rule.enabled && mattersIn(kind, rule, roomId));
    if (rules.length > 0) kept[kind] = rules;
  }
  if (Object.keys(kept).length === 0 && Object.keys(changes).length === 0 && ignored.length === 0) return undefined;
  const ruleset: PushRuleset = userRules(kept, new Map(Object.entries(changes)));
  const asksName = PUSH_RULE_KINDS.some((kind) =>
    ruleset[kind].some(({ conditions = [] }) => conditions.some((condition) => condition.kind === "contains_display_name")),
  );
  return { user_id, rules: [...ignoring(ignored), ...compileRules(ruleset)], asksName };
}

/** False for rules that name another room: most users who have rules of their own have muted some room or other. */
function mattersIn(kind: PushRuleKind, rule: PushRule, roomId: string): boolean {
  if (kind === "room") return rule.rule_id === roomId;
  return !(rule.conditions ?? []).some(
    ({ kind: condition, key, pattern = "" }) =>
      condition === "event_match" && key === "room_id" && !/[*?]/.test(pattern) && pattern.toLowerCase() !== roomId.toLowerCase(),
  );
}

/** An event and its place. */
export interface EventToCount {
  readonly event: RoomEvent;
  readonly nid: number;
  readonly room_nid: number;
  readonly ordinal: number;
  /** The root of the thread it is in; null for the main timeline. */
  readonly thread_root: number | null;
  /** The sender, if it is one of our users. */
  readonly local_sender: number | undefined;
  /** The sender was not in the room before. */
  readonly joins: boolean;
}

/** What counting asks of the room as it is with the event. */
export interface CountingRoom {
  readonly levels: PowerLevels;
  /** The number of a local user who is in the room. */
  member(userId: string): number | undefined;
  /** The number of a local user who need not be in the room. */
  user(userId: string): number | undefined;
  displayName(userId: string): string | undefined;
}

/** Tells a gateway the unread count and nothing else. */
const UNREAD_ONLY = { event_nid: null, thread: MAIN_TIMELINE, ordinal: 0, tweaks: "{}" } as const;

/** The rows that come of counting events of one room in their order. */
export class CountedRows {
  readonly #events: CountedEventRow[] = [];
  readonly #exceptions: CountExceptionRow[] = [];
  readonly #uncounted: { readonly nid: number }[] = [];
  // One statement cannot touch a row twice: the last one of a key wins.
  readonly #scopes = new Map<number, CountedScopeRow>();
  readonly #receipts = new Map<string, ImpliedReceiptRow>();
  readonly #pushes: PushRow[] = [];

  /** Counts an event for everyone and brings the running numbers up to date. */
  add(counting: RoomCounting, room: CountingRoom, counted: EventToCount): void {
    const { event, room_nid, ordinal } = counted;
    const thread = counted.thread_root ?? MAIN_TIMELINE;
    const facts = eventFacts(event, counting.joined, room.levels, counted.thread_root !== null);
    const followers = counted.thread_root === null ? undefined : counting.followers.of(counted.thread_root);
    const usual = evaluate(COMPILED_DEFAULTS, facts);
    const usually = { notify: usual?.notify === true ? 1 : 0, highlight: usual?.highlight === true ? 1 : 0 };
    const different = new Map<number, { readonly user_id: string; readonly rules: CompiledRules }>(counting.members);
    for (const user_id of singledOut(event)) {
      const nid = room.member(user_id);
      if (nid !== undefined && !different.has(nid)) different.set(nid, { user_id, rules: COMPILED_DEFAULTS });
    }
    const outcomes = new Map<number, Notification | undefined>();
    for (const [user_nid, { user_id, rules }] of different) {
      // What one sends is read: the receipt that it implies is the sender's exception.
      if (user_id === event.sender) continue;
      outcomes.set(user_nid, evaluate(rules, facts, { user_id, displayName: room.displayName(user_id), follows: followers?.has(user_nid) }));
    }
    if (followers !== undefined && followers.size > 0) {
      const following = evaluate(COMPILED_DEFAULTS, facts, { user_id: "", follows: true });
      for (const [user_nid, { user_id, joined }] of followers) {
        if (joined && user_id !== event.sender && !different.has(user_nid)) outcomes.set(user_nid, following);
      }
    }
    let exceptions = false;
    for (const [user_nid, outcome] of outcomes) {
      const notify = (outcome?.notify === true ? 1 : 0) - usually.notify;
      const highlight = (outcome?.highlight === true ? 1 : 0) - usually.highlight;
      if (notify === 0 && highlight === 0) continue;
      exceptions = true;
      this.#exceptions.push({ room_nid, user_nid, thread, ordinal, notify, highlight });
    }
    const counts = usually.notify + usually.highlight > 0;
    if (counts || exceptions) {
      const before = counting.scopes.get(thread) ?? { notified: 0, highlighted: 0 };
      const notified = before.notified + usually.notify;
      const highlighted = before.highlighted + usually.highlight;
      counting.scopes.set(thread, { notified, highlighted });
      this.#scopes.set(thread, { room_nid, thread, last_ordinal: ordinal, notified, highlighted });
      if (counts) {
        const flags = { notifies: usually.notify > 0, highlights: usually.highlight > 0 };
        this.#events.push({ room_nid, thread, ordinal, ...flags, notified, highlighted });
      }
    }
    const readBySender = this.#implyReceipt(counted, thread);
    for (const [user_nid, user_id] of counting.pushed) {
      if (user_id === event.sender) {
        if (readBySender) this.#pushes.push({ ...UNREAD_ONLY, user_nid, room_nid });
      } else this.#push(user_nid, counted, outcomes.has(user_nid) ? outcomes.get(user_nid) : usual);
    }
    this.#pushInvite(counting, room, counted, facts);
  }

  /** An event was redacted: it counts no more. */
  uncount(nid: number): void {
    this.#uncounted.push({ nid });
  }

  /** What is owed to pushers so far. */
  pushes(): readonly PushRow[] {
    return this.#pushes;
  }

  /** The rows so far. */
  rows(): CountRows {
    return {
      counted_events: this.#events,
      counted_scopes: [...this.#scopes.values()],
      count_exceptions: this.#exceptions,
      implied_receipts: [...this.#receipts.values()],
      uncounted_events: this.#uncounted,
    };
  }

  #push(user_nid: number, { nid, room_nid, thread_root, ordinal }: EventToCount, outcome: Notification | undefined): void {
    if (outcome?.notify !== true) return;
    const thread = thread_root ?? MAIN_TIMELINE;
    this.#pushes.push({ user_nid, room_nid, event_nid: nid, thread, ordinal, tweaks: JSON.stringify(outcome.tweaks) });
  }

  /** Invited users are told, too, though nothing counts for them before they are in. */
  #pushInvite(counting: RoomCounting, room: CountingRoom, counted: EventToCount, facts: EventFacts): void {
    const { event } = counted;
    if (event.type !== "m.room.member" || event.state_key === undefined || membershipIn(event.content) !== "invite") return;
    const user_nid = room.user(event.state_key);
    const user_id = user_nid === undefined ? undefined : counting.pushedJoining.get(user_nid);
    if (user_nid === undefined || user_id === undefined) return;
    const rules = counting.joining.get(user_nid)?.rules ?? COMPILED_DEFAULTS;
    this.#push(user_nid, counted, evaluate(rules, facts, { user_id }));
  }

  /**
   * Sending marks as read what is before in the same thread; joining, all of the room. A change of a profile, which goes to
   * all rooms at once, does not. Says whether it did.
   */
  #implyReceipt({ event, nid, room_nid, ordinal, local_sender, joins }: EventToCount, scope: number): boolean {
    if (local_sender === undefined || (event.type === "m.room.member" && !joins)) return false;
    const thread = joins ? WHOLE_ROOM : scope;
    const row = { room_nid, user_nid: local_sender, thread, event_nid: nid, ordinal, ts: event.origin_server_ts };
    this.#receipts.set(`${local_sender} ${thread}`, row);
    return true;
  }
}

/** Keeps up who is in a room and whose own rules count there. `before` is the member event that `after` replaces. */
export function countMember(counting: RoomCounting, userNid: number, before: RoomEvent | undefined, after: RoomEvent): void {
  const was = before !== undefined && membershipIn(before.content) === "join";
  const is = membershipIn(after.content) === "join";
  counting.joined += Number(is) - Number(was);
  const rules = counting.joining.get(userNid);
  const pushed = counting.pushedJoining.get(userNid);
  if (was !== is) counting.followers.noteMember(userNid, is);
  if (!is) {
    counting.members.delete(userNid);
    counting.pushed.delete(userNid);
  } else if (!was) {
    if (rules !== undefined) counting.members.set(userNid, rules);
    if (pushed !== undefined) counting.pushed.set(userNid, pushed);
  }
}

/** Whether an event brings its sender into the room. `before` is what was the sender's membership. */
export function isJoin(event: RoomEvent, before: RoomEvent | undefined): boolean {
  if (event.type !== "m.room.member" || event.state_key !== event.sender) return false;
  return membershipIn(event.content) === "join" && (before === undefined || membershipIn(before.content) !== "join");
}
