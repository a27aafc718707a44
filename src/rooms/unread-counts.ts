// Counts the events of a room for its local members, by their push rules (client-server API, "Receiving notifications").
// Whoever has the predefined rules is counted by running numbers; single rows are written only where it is different.
import type { RoomEvent } from "../protocol/event.js";
import { membershipIn } from "../protocol/membership.js";
import type { PowerLevels } from "../protocol/power-levels.js";
import {
  COMPILED_DEFAULTS,
  type CompiledRules,
  compileRules,
  evaluate,
  eventFacts,
  singledOut,
} from "../protocol/push-evaluation.js";
import { PUSH_RULE_KINDS, type PushRule, type PushRuleKind, type PushRuleset, userRules } from "../protocol/push-rules.js";
import type {
  CountedEventRow,
  CountedScopeRow,
  CountExceptionRow,
  CountRows,
  ImpliedReceiptRow,
  RunningNumbers,
} from "../storage/counts.js";
import type { OwnRules } from "../storage/push-rules.js";
import { MAIN_TIMELINE, WHOLE_ROOM } from "../storage/threads.js";

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
  /** The running numbers of scopes: threads by their root, and the main timeline. */
  readonly scopes: { get(thread: number): RunningNumbers | undefined; set(thread: number, numbers: RunningNumbers): unknown };
}

/** A user's rules as they matter in one room; undefined if they are the predefined ones there. */
export function ruledMember(userId: string, { own, changes }: OwnRules, roomId: string): RuledMember | undefined {
  const kept: { [Kind in PushRuleKind]?: readonly PushRule[] } = {};
  for (const kind of PUSH_RULE_KINDS) {
    const rules = (own[kind] ?? []).filter((rule) => rule.enabled && mattersIn(kind, rule, roomId));
    if (rules.length > 0) kept[kind] = rules;
  }
  if (Object.keys(kept).length === 0 && Object.keys(changes).length === 0) return undefined;
  const ruleset: PushRuleset = userRules(kept, new Map(Object.entries(changes)));
  const asksName = PUSH_RULE_KINDS.some((kind) =>
    ruleset[kind].some(({ conditions = [] }) => conditions.some((condition) => condition.kind === "contains_display_name")),
  );
  return { user_id: userId, rules: compileRules(ruleset), asksName };
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
  displayName(userId: string): string | undefined;
}

/** The rows that come of counting events of one room in their order. */
export class CountedRows {
  readonly #events: CountedEventRow[] = [];
  readonly #exceptions: CountExceptionRow[] = [];
  readonly #uncounted: { readonly nid: number }[] = [];
  // One statement cannot touch a row twice: the last one of a key wins.
  readonly #scopes = new Map<number, CountedScopeRow>();
  readonly #receipts = new Map<string, ImpliedReceiptRow>();

  /** Counts an event for everyone and brings the running numbers up to date. */
  add(counting: RoomCounting, room: CountingRoom, counted: EventToCount): void {
    const { event, room_nid, ordinal } = counted;
    const thread = counted.thread_root ?? MAIN_TIMELINE;
    const facts = eventFacts(event, counting.joined, room.levels);
    const usual = evaluate(COMPILED_DEFAULTS, facts);
    const usually = { notify: usual?.notify === true ? 1 : 0, highlight: usual?.highlight === true ? 1 : 0 };
    const different = new Map<number, { readonly user_id: string; readonly rules: CompiledRules }>(counting.members);
    for (const user_id of singledOut(event)) {
      const nid = room.member(user_id);
      if (nid !== undefined && !different.has(nid)) different.set(nid, { user_id, rules: COMPILED_DEFAULTS });
    }
    let exceptions = false;
    for (const [user_nid, { user_id, rules }] of different) {
      // What one sends is read: the receipt that it implies is the sender's exception.
      if (user_id === event.sender) continue;
      const outcome = evaluate(rules, facts, { user_id, displayName: room.displayName(user_id) });
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
    this.#implyReceipt(counted, thread);
  }

  /** An event was redacted: it counts no more. */
  uncount(nid: number): void {
    this.#uncounted.push({ nid });
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

  /**
   * Sending marks as read what is before in the same thread; joining, all of the room. A change of a profile, which goes to
   * all rooms at once, does not.
   */
  #implyReceipt({ event, nid, room_nid, ordinal, local_sender, joins }: EventToCount, scope: number): void {
    if (local_sender === undefined || (event.type === "m.room.member" && !joins)) return;
    const thread = joins ? WHOLE_ROOM : scope;
    const row = { room_nid, user_nid: local_sender, thread, event_nid: nid, ordinal, ts: event.origin_server_ts };
    this.#receipts.set(`${local_sender} ${thread}`, row);
  }
}

/** Keeps up who is in a room and whose own rules count there. `before` is the member event that `after` replaces. */
export function countMember(counting: RoomCounting, userNid: number, before: RoomEvent | undefined, after: RoomEvent): void {
  const was = before !== undefined && membershipIn(before.content) === "join";
  const is = membershipIn(after.content) === "join";
  counting.joined += Number(is) - Number(was);
  const rules = counting.joining.get(userNid);
  if (!is) counting.members.delete(userNid);
  else if (!was && rules !== undefined) counting.members.set(userNid, rules);
}

/** Whether an event brings its sender into the room. `before` is what was the sender's membership. */
export function isJoin(event: RoomEvent, before: RoomEvent | undefined): boolean {
  if (event.type !== "m.room.member" || event.state_key !== event.sender) return false;
  return membershipIn(event.content) === "join" && (before === undefined || membershipIn(before.content) !== "join");
}
