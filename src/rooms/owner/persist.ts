// Writes the events of a room: from events that were checked to the rows, the log entries and the fence of one change.
import { redactEvent } from "../../protocol/event-format.js";
import { isState, type RoomEvent, type StateEvent } from "../../protocol/event.js";
import { type EventId, parseUserId, serverNameOf, type ServerName } from "../../protocol/identifiers.js";
import { ownString } from "../../protocol/json.js";
import { membershipIn } from "../../protocol/membership.js";
import { powerLevels } from "../../protocol/power-levels.js";
import { stateTuple } from "../../protocol/state-map.js";
import type { CommitItem } from "../../storage/committer.js";
import { addRelationships, type RelationshipRow } from "../../storage/event-relationships.js";
import { gapsFilled } from "../../storage/gaps.js";
import type { LogEntry } from "../../storage/log-entry.js";
import type { Allotment } from "../../storage/numbers.js";
import { rejudgeEvents, type RejudgedRow } from "../../storage/partial-state.js";
import {
  type AuthChainLinkRow,
  type AuthChainRow,
  type BodyRow,
  type BoundStatement,
  type CurrentStateRow,
  type EventRow,
  type FenceRow,
  FLAGS,
  type MembershipRow,
  MEMBERSHIPS,
  type MissingEventRow,
  type NewRoomRow,
  type RedactionRow,
  type SnapshotRow,
  removeOutliers,
  type TransactionIdRow,
} from "../../storage/room-rows.js";
import { addLateLinks } from "../../storage/auth-chains.js";
import { addPendingRedactions, showRedactions } from "../../storage/pending-redactions.js";
import { addSoftFailedSticky, addStickyEvents, type StickyRow } from "../../storage/sticky-events.js";
import { toText } from "../../storage/text.js";
import { relationshipOf } from "./relation.js";
import type { Extremity, RoomMemory, StateSlot } from "./room-memory.js";
import { advance, snapshotOf, type SnapshotChain } from "./snapshot-chain.js";
import { CountedRows, countMember, isJoin, type RoomCounting } from "./unread-counts.js";

const CREATE = stateTuple("m.room.create", "");
const POWER_LEVELS = stateTuple("m.room.power_levels", "");

const WITHHELD = FLAGS.withheld | FLAGS.withheld_live;

/** The numbers of the strings that a batch uses: everything that it names was interned before. */
export interface InternedNames {
  user(id: string): number;
  type(type: string): number;
  tuple(type: string, stateKey: string): number;
  /** Of those users whom events single out, and who are ours. */
  mentioned(id: string): number | undefined;
}

/** Numbers for the rows of one change: one for each event, and one snapshot and one chain for each state event. */
export interface AllottedNumbers {
  readonly events: Allotment;
  readonly snapshots: Allotment;
  readonly chains: Allotment;
}

/** How an event relates to another one that we have. */
export interface Relation {
  readonly rel_type: string;
  readonly relates_to: number;
  readonly thread_root: number | null;
}

/** An event that passed the rules, and what was found out about it. */
export interface AcceptedEvent {
  readonly event: RoomEvent;
  /** The extremities that its prev_events name. */
  readonly previous: readonly Extremity[];
  /** The state that its auth_events name. */
  readonly auth: readonly StateSlot[];
  readonly relation?: Relation;
  /** The event that it redacts, if it may. */
  readonly redacts?: number;
  readonly transaction?: { readonly key: string; readonly device_id: string; readonly txn_id: string };
}

/** An event with what its row says of it. */
interface EventToAdd {
  readonly event: RoomEvent;
  readonly flags: number;
  /** Whether the live timeline shows it. */
  readonly live: boolean;
  readonly before: SnapshotChain;
  readonly prev_nids: readonly number[];
  readonly auth: readonly StateSlot[];
  readonly replaces: number | undefined;
  readonly relation: Relation | undefined;
  /** Set where it was an outlier until now. */
  readonly outlier?:
    | {
        readonly nid: number;
        readonly slot: StateSlot | undefined;
        /** Whether it was kept without some of what authorises it. */
        readonly isUnlinked: boolean;
      }
    | undefined;
}

/** A redaction that came before the event that it redacts, and what was done with it. */
export interface EarlyRedaction {
  readonly nid: number;
  /** Bits of FLAGS. */
  readonly flags: number;
}

interface ReceivedToAdd extends EventToAdd {
  /** Previous events that we do not have. */
  readonly missing: readonly string[];
  /** The event that it redacts, if it may and we have it. */
  readonly redacts: number | undefined;
  /** Whether it redacts an event that we do not have, or whose place in the room we do not know. */
  readonly redactsLater: boolean;
  /** The redactions of it that came before it and take effect. */
  readonly redactedBy: readonly EarlyRedaction[];
  /** Whether other servers are to have it from us. */
  readonly passOn: boolean;
  /** Whether other events name it as missing. */
  readonly wasMissing: boolean;
}

/** A tuple of the current state that changes otherwise than by one of our events. */
export interface StateChangeRow {
  readonly tupleNid: number;
  readonly type: string;
  readonly state_key: string;
  /** What it holds now; undefined: it is gone. */
  readonly slot: { readonly nid: number; readonly event: RoomEvent } | undefined;
  readonly previous: number | undefined;
}

/**
 * One change of one room in the making. `add` takes events in their order and brings the memory of the room up to date with
 * each; whoever cannot commit the change must forget that memory.
 */
export class RoomChange {
  readonly #memory: RoomMemory;
  readonly #names: InternedNames;
  readonly #numbers: AllottedNumbers;
  readonly #counting: RoomCounting;
  readonly #isLocal: (server: ServerName) => boolean;
  readonly #now: number;
  readonly #isNew: boolean;
  readonly #events: EventRow[] = [];
  readonly #stateJson: BodyRow[] = [];
  readonly #messageJson: BodyRow[] = [];
  readonly #snapshots: SnapshotRow[] = [];
  readonly #chains: AuthChainRow[] = [];
  readonly #links: AuthChainLinkRow[] = [];
  readonly #lateLinks: AuthChainLinkRow[] = [];
  readonly #transactions: TransactionIdRow[] = [];
  readonly #redactions: RedactionRow[] = [];
  readonly #missing: MissingEventRow[] = [];
  readonly #relationships: RelationshipRow[] = [];
  readonly #sticky: StickyRow[] = [];
  readonly #softFailedSticky: StickyRow[] = [];
  readonly #pendingRedactions: { readonly event_id: EventId; readonly by: number }[] = [];
  readonly #shown: { readonly nid: number; readonly ordinal: number | null }[] = [];
  readonly #promoted: number[] = [];
  readonly #found = new Map<EventId, number>();
  readonly #counts = new CountedRows();
  // The last change of a tuple wins: one statement cannot touch a row twice.
  readonly #currentState = new Map<number, CurrentStateRow>();
  readonly #memberships = new Map<number, MembershipRow>();
  readonly #entries: LogEntry[] = [];
  readonly #alongside: BoundStatement[] = [];

  constructor(
    memory: RoomMemory,
    names: InternedNames,
    numbers: AllottedNumbers,
    counting: RoomCounting,
    isLocal: (server: ServerName) => boolean,
    now: number,
  ) {
    this.#memory = memory;
    this.#names = names;
    this.#numbers = numbers;
    this.#counting = counting;
    this.#isLocal = isLocal;
    this.#now = now;
    this.#isNew = memory.revision === 0;
  }

  /** Whether there is nothing to write. */
  get isEmpty(): boolean {
    return this.#events.length === 0;
  }

  /** Adds an event of ours, which follows the extremities of the room (all of them, if it can name so many). */
  add(accepted: AcceptedEvent): void {
    const { event, relation } = accepted;
    const memory = this.#memory;
    const slot = isState(event) ? memory.state.get(stateTuple(event.type, event.state_key)) : undefined;
    const { nid, tupleNid, threadRoot } = this.#addRow({
      event,
      flags: 0,
      live: true,
      before: memory.chain,
      prev_nids: accepted.previous.map((extremity) => extremity.nid),
      auth: accepted.auth,
      replaces: slot?.nid,
      relation,
    });
    if (accepted.transaction !== undefined) {
      const { key, device_id, txn_id } = accepted.transaction;
      const user_nid = this.#names.user(event.sender);
      this.#transactions.push({ key, event_nid: nid, user_nid, device_id: toText(device_id), txn_id: toText(txn_id) });
    }
    const entry: LogEntry = { kind: "event", room_nid: memory.nid, reference: nid };
    if (isState(event) && tupleNid !== null) {
      const member = event.type === "m.room.member" ? parseUserId(event.state_key) : undefined;
      // The user whom a membership concerns is told even where they are not in the room (yet, or any longer).
      this.#entries.push(member === undefined ? entry : { ...entry, user_nid: this.#names.user(member) });
      this.#changeState(event, nid, tupleNid, slot ?? undefined, accepted.auth);
    } else {
      this.#entries.push(entry);
    }
    this.#count(event, nid, threadRoot, slot?.event);
    if (accepted.redacts !== undefined) this.#redact(accepted.redacts, nid);
    else if (event.type === "m.room.redaction" && event.redacts !== undefined) this.#pendingRedactions.push({ event_id: event.redacts, by: nid });
    memory.extremities = [...memory.extremities.filter((end) => !accepted.previous.includes(end)), { nid, event }];
  }

  /** Writes with the change how much is known of the room's state; that is told in the log. */
  noteKnowledge(statement: BoundStatement): void {
    this.#alongside.push(statement);
    this.#entries.push({ kind: "invalidation", room_nid: this.#memory.nid });
  }

  /** Writes how events that we have were judged anew; `accepted` are those of them that count from now on. */
  rejudge(rows: readonly RejudgedRow[], accepted: ReadonlySet<number>): void {
    const room_nid = this.#memory.nid;
    if (rows.length > 0) this.#alongside.push(rejudgeEvents(rows));
    for (const { nid } of rows) this.#entries.push({ kind: "invalidation", room_nid, reference: nid });
    for (const nid of accepted) this.#entries.push({ kind: "history", room_nid, reference: nid });
  }

  /** The change as the committer takes it. The memory's revision is then what the room's will be. */
  item(): CommitItem {
    const memory = this.#memory;
    const room: Omit<NewRoomRow, "room_id" | "version"> & FenceRow = {
      nid: memory.nid,
      revision: memory.revision,
      owner: memory.owner,
      extremities: memory.extremities.map((extremity) => extremity.nid),
      ordinal: memory.ordinal,
      snapshot: snapshotOf(memory.chain),
    };
    memory.revision += 1;
    const statements = [
      ...(this.#promoted.length > 0 ? [removeOutliers(this.#promoted)] : []),
      ...(this.#found.size > 0 ? [gapsFilled(memory.nid, this.#found)] : []),
      ...this.#alongside,
      ...(this.#lateLinks.length > 0 ? [addLateLinks(this.#lateLinks)] : []),
      ...(this.#pendingRedactions.length > 0 ? [addPendingRedactions(memory.nid, this.#pendingRedactions)] : []),
      ...(this.#shown.length > 0 ? [showRedactions(this.#shown)] : []),
      ...(this.#relationships.length > 0 ? [addRelationships(memory.nid, this.#relationships)] : []),
      ...(this.#sticky.length > 0 ? [addStickyEvents(memory.nid, this.#sticky)] : []),
      ...(this.#softFailedSticky.length > 0 ? [addSoftFailedSticky(memory.nid, this.#softFailedSticky)] : []),
    ];
    return {
      rows: {
        rooms: this.#isNew ? [{ ...room, revision: 1, room_id: toText(memory.roomId), version: memory.version.id }] : [],
        fences: this.#isNew ? [] : [room],
        transaction_ids: this.#transactions,
        state_event_json: this.#stateJson,
        message_json: this.#messageJson,
        state_snapshots: this.#snapshots,
        auth_chains: this.#chains,
        auth_chain_links: this.#links,
        missing_events: this.#missing,
        events: this.#events,
        redactions: this.#redactions,
        current_state: [...this.#currentState.values()],
        memberships: [...this.#memberships.values()],
        counts: this.#counts.rows(),
        pushes: this.#counts.pushes(),
      },
      ...(statements.length > 0 && { statements }),
      entries: this.#entries,
    };
  }

  /** The row of an event and its text; a live one takes the next place of the timeline, and of its thread. */
  #addRow({ event, flags, live, before, prev_nids, auth, replaces, relation, outlier }: EventToAdd): {
    readonly nid: number;
    readonly tupleNid: number | null;
    readonly threadRoot: number | null;
  } {
    const memory = this.#memory;
    const nid = outlier?.nid ?? this.#numbers.events.take();
    const tupleNid = isState(event) ? this.#names.tuple(event.type, event.state_key) : null;
    const threadRoot = live ? (relation?.thread_root ?? null) : null;
    if (live) memory.ordinal += 1;
    this.#events.push({
      nid,
      room_nid: memory.nid,
      event_id: toText(event.event_id),
      type_nid: this.#names.type(event.type),
      tuple_nid: tupleNid,
      sender_nid: this.#names.user(event.sender),
      depth: event.depth,
      origin_server_ts: event.origin_server_ts,
      ordinal: live ? memory.ordinal : null,
      flags,
      state_before: (flags & FLAGS.outlier) === 0 ? snapshotOf(before) : null,
      prev_nids,
      auth_nids: auth.map((slot) => slot.nid),
      replaces: replaces ?? null,
      relates_to: relation?.relates_to ?? null,
      rel_type_nid: relation === undefined ? null : this.#names.type(relation.rel_type),
      thread_root: threadRoot,
      thread_ordinal: threadRoot === null ? null : this.#nextInThread(threadRoot),
    });
    const relationship = relationshipOf(event.content);
    if (relationship !== undefined) this.#relationships.push({ child_nid: nid, parent_id: relationship.event_id, rel_type: relationship.rel_type });
    if (live && flags === 0) this.#noteSticky(this.#sticky, event, nid);
    if (flags === FLAGS.soft_failed) {
      this.#noteSticky(this.#softFailedSticky, event, nid);
      if (this.#softFailedSticky.length > 0) memory.hasSoftFailedSticky = true;
    }
    if (outlier === undefined) (tupleNid === null ? this.#messageJson : this.#stateJson).push({ nid, json: event.json });
    memory.known.set(event.event_id, { nid, thread_root: threadRoot, relates_to: relation?.relates_to ?? null });
    return { nid, tupleNid, threadRoot };
  }

  /** Notes until when an event is sticky: whoever says that it happens later than now does not gain by it. */
  #noteSticky(rows: StickyRow[], { origin_server_ts, sticky_duration_ms }: RoomEvent, event_nid: number): void {
    if (sticky_duration_ms === undefined) return;
    const expires_ts = Math.min(this.#now, origin_server_ts) + sticky_duration_ms;
    if (expires_ts > this.#now) rows.push({ event_nid, expires_ts });
  }

  #nextInThread(root: number): number {
    const ordinal = (this.#memory.threads.get(root) ?? 0) + 1;
    this.#memory.threads.set(root, ordinal);
    return ordinal;
  }

  /**
   * Adds an event that came from elsewhere and was judged there: its number. What it does to the room's ends and current
   * state is said by `replaceEnds` and `replaceState` once the whole batch is in.
   */
  addReceived(received: ReceivedToAdd): {
    readonly nid: number;
    readonly slot: StateSlot | undefined;
  } {
    const { event, live } = received;
    const memory = this.#memory;
    const { nid, threadRoot } = this.#addRow(received);
    if (received.outlier !== undefined) this.#promoted.push(nid);
    if (received.wasMissing) this.#found.set(event.event_id, nid);
    for (const event_id of received.missing) {
      this.#missing.push({ room_nid: memory.nid, event_id: toText(event_id), named_by: nid });
    }
    // Neither outliers nor what was rejected, soft-failed or withheld is told to anyone; backfilled history is told as such.
    if (received.flags === 0) {
      const member = event.type === "m.room.member" ? parseUserId(event.state_key) : undefined;
      this.#entries.push({
        kind: live ? "event" : "history",
        room_nid: memory.nid,
        reference: nid,
        ...(live && member !== undefined && { user_nid: this.#names.user(member) }),
      });
    }
    if (live && received.passOn) this.#entries.push({ kind: "server_membership", room_nid: memory.nid, reference: nid });
    // Whoever is in the room at the beginning of the batch is who its events count for.
    if (live) this.#count(event, nid, threadRoot, memory.state.get(stateTuple(event.type, event.state_key ?? ""))?.event);
    if (received.flags === 0 && received.redacts !== undefined) this.#redact(received.redacts, nid);
    if ((received.flags & ~WITHHELD) === 0 && received.redactsLater && event.redacts !== undefined) this.#pendingRedactions.push({ event_id: event.redacts, by: nid });
    const [by] = received.redactedBy;
    if (by !== undefined) this.#redact(nid, by.nid);
    for (const early of received.redactedBy) this.#show(early);
    if (!isState(event)) return { nid, slot: undefined };
    if (received.outlier?.slot !== undefined) {
      const { slot, isUnlinked } = received.outlier;
      // Whoever has it in memory goes by what it named before.
      if (isUnlinked) this.#entries.push({ kind: "invalidation", room_nid: memory.nid, reference: nid });
      if (isUnlinked) for (const { chain, sequence } of received.auth) this.#lateLinks.push({ ...slot, target_chain: chain, target_sequence: sequence });
      return { nid, slot };
    }
    const replaced = received.auth.find(
      (slot) => slot.event.type === event.type && slot.event.state_key === event.state_key,
    );
    return { nid, slot: { nid, event, ...this.#placeInChains(nid, replaced, received.auth) } };
  }

  /** The state after `changes`, as a new snapshot on top of a chain. */
  snapshot(chain: SnapshotChain, changes: ReadonlyMap<number, number>): SnapshotChain {
    const advanced = advance(chain, this.#memory.nid, this.#numbers.snapshots.take(), changes);
    this.#snapshots.push(advanced.row);
    return advanced.chain;
  }

  /** The room's ends and its current state after events from elsewhere; `changes` are what differs from before. */
  replaceState(extremities: readonly Extremity[], chain: SnapshotChain, changes: readonly StateChangeRow[]): void {
    const memory = this.#memory;
    memory.extremities = extremities;
    memory.chain = chain;
    for (const { tupleNid, type, state_key, slot, previous } of changes) {
      // What is not at hand is read again when it is needed.
      memory.state.delete(stateTuple(type, state_key));
      this.#setCurrent(tupleNid, type, state_key, slot, previous);
    }
  }

  /** Counts an event for the members that the room has with it. `before` is the state that it replaces. */
  #count(event: RoomEvent, nid: number, threadRoot: number | null, before: RoomEvent | undefined): void {
    const memory = this.#memory;
    const create = memory.state.get(CREATE)?.event;
    // Nobody of ours was in a room that only now becomes known here: there is nothing to count for.
    if (create === undefined) return;
    const memberEvent = (id: string): RoomEvent | undefined => {
      const user = parseUserId(id);
      return user === undefined ? undefined : memory.state.get(stateTuple("m.room.member", user))?.event;
    };
    this.#counts.add(
      this.#counting,
      {
        levels: powerLevels(memory.version, create, memory.state.get(POWER_LEVELS)?.event),
        member: (id) => {
          const member = memberEvent(id);
          return member !== undefined && membershipIn(member.content) === "join" ? this.#names.mentioned(id) : undefined;
        },
        user: (id) => this.#names.mentioned(id),
        displayName: (id) => ownString(memberEvent(id)?.content ?? {}, "displayname"),
      },
      {
        event,
        nid,
        room_nid: memory.nid,
        ordinal: memory.ordinal,
        thread_root: threadRoot,
        local_sender: this.#isLocal(serverNameOf(event.sender)) ? this.#names.user(event.sender) : undefined,
        joins: isJoin(event, before),
      },
    );
  }

  #changeState(
    event: StateEvent,
    nid: number,
    tupleNid: number,
    previous: StateSlot | undefined,
    auth: readonly StateSlot[],
  ): void {
    const memory = this.#memory;
    memory.chain = this.snapshot(memory.chain, new Map([[tupleNid, nid]]));
    const place = this.#placeInChains(nid, previous, auth);
    memory.state.set(stateTuple(event.type, event.state_key), { nid, event, ...place });
    const member = event.type === "m.room.member" ? parseUserId(event.state_key) : undefined;
    if (member !== undefined) countMember(this.#counting, this.#names.user(member), previous?.event, event);
    this.#setCurrent(tupleNid, event.type, event.state_key, { nid, event }, previous?.nid);
  }

  /** A tuple of the current state holds another event now, or none. */
  #setCurrent(
    tupleNid: number,
    type: string,
    stateKey: string,
    now: { readonly nid: number; readonly event: RoomEvent } | undefined,
    previous: number | undefined,
  ): void {
    const memory = this.#memory;
    const member = type === "m.room.member" ? parseUserId(stateKey) : undefined;
    const membership = member === undefined || now === undefined ? undefined : membershipIn(now.event.content);
    const userNid = member === undefined ? undefined : this.#names.user(member);
    this.#currentState.set(tupleNid, {
      room_nid: memory.nid,
      tuple_nid: tupleNid,
      event_nid: now?.nid ?? null,
      type_nid: this.#names.type(type),
      user_nid: userNid ?? null,
      membership: membership === undefined ? null : MEMBERSHIPS[membership],
    });
    if (member !== undefined && membership !== undefined && now !== undefined && userNid !== undefined && this.#isLocal(serverNameOf(member))) {
      this.#memberships.set(userNid, {
        user_nid: userNid,
        room_nid: memory.nid,
        membership: MEMBERSHIPS[membership],
        event_nid: now.nid,
      });
    }
    this.#entries.push({
      kind: "state_change",
      room_nid: memory.nid,
      tuple_nid: tupleNid,
      ...(now !== undefined && { reference: now.nid }),
      ...(previous !== undefined && { previous }),
      ...(userNid !== undefined && { user_nid: userNid }),
    });
  }

  /**
   * Gives a state event its place in the auth chains: behind the event that it replaces if that authorises it and nothing
   * else follows there, else on a chain of its own; with links to what authorises it on other chains.
   */
  #placeInChains(
    nid: number,
    previous: StateSlot | undefined,
    auth: readonly StateSlot[],
  ): { readonly chain: number; readonly sequence: number } {
    const { tails } = this.#memory;
    const before =
      previous !== undefined && auth.includes(previous) && tails.get(previous.chain) === previous.sequence
        ? previous
        : undefined;
    const chain = before?.chain ?? this.#numbers.chains.take();
    const sequence = (before?.sequence ?? 0) + 1;
    tails.set(chain, sequence);
    this.#chains.push({ event_nid: nid, chain, sequence });
    // One link per chain, to the furthest place; what the event before links to is reached through it.
    const furthest = new Map<number, number>();
    for (const slot of auth) {
      if (slot === before || before?.event.auth_events.includes(slot.event.event_id) === true) continue;
      if (slot.chain !== chain) furthest.set(slot.chain, Math.max(furthest.get(slot.chain) ?? 0, slot.sequence));
    }
    for (const [target_chain, target_sequence] of furthest) {
      this.#links.push({ chain, sequence, target_chain, target_sequence });
    }
    return { chain, sequence };
  }

  /** A redaction that has come into effect is told: what belongs into the live timeline comes there last. */
  #show({ nid, flags }: EarlyRedaction): void {
    if ((flags & FLAGS.withheld) === 0) return;
    const memory = this.#memory;
    const live = (flags & FLAGS.withheld_live) !== 0;
    if (live) memory.ordinal += 1;
    this.#shown.push({ nid, ordinal: live ? memory.ordinal : null });
    // Whoever has it in memory knows it without its place.
    this.#entries.push({ kind: "invalidation", room_nid: memory.nid, reference: nid }, { kind: live ? "event" : "history", room_nid: memory.nid, reference: nid });
  }

  /** The redacted event keeps its text in storage; whoever shows it strips it. What it authorises counts stripped at once. */
  #redact(target: number, by: number): void {
    this.#redactions.push({ nid: target, redacted_by: by });
    this.#counts.uncount(target);
    // Whoever has the event in memory has to read it again.
    this.#entries.push({ kind: "invalidation", room_nid: this.#memory.nid, reference: target });
    for (const [tuple, slot] of this.#memory.state) {
      if (slot?.nid !== target) continue;
      this.#memory.state.set(tuple, { ...slot, event: redactEvent(this.#memory.version, slot.event) });
    }
  }
}
