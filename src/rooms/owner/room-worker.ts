// The one writer of one room: takes the drafts that wait, checks and builds them in their order, and commits them together.
import { randomBytes } from "node:crypto";
import { forbidden, MatrixError, notFound, unknownError } from "../../errors.js";
import { authEventTuples, authorisingTuples } from "../../protocol/auth-events.js";
import { authorise, mayRedact } from "../../protocol/authorisation.js";
import { buildEvent, referenceHashOf } from "../../protocol/event-format.js";
import { MAX_PREV_EVENTS, type RoomEvent, storedEvent } from "../../protocol/event.js";
import { logger } from "../../log.js";
import { type EventId, parseEventId, parseUserId, type ServerName, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import { type Membership, membershipIn } from "../../protocol/membership.js";
import { namedLevel, powerLevels, userLevel } from "../../protocol/power-levels.js";
import { singledOut } from "../../protocol/push-evaluation.js";
import { stateTuple, type StateTuple } from "../../protocol/state-map.js";
import type { CommitItem } from "../../storage/committer.js";
import { eventsById, type StoredEvent } from "../../storage/events.js";
import { serversInRoom } from "../../storage/joined-servers.js";
import { lastThreadOrdinals, MAIN_TIMELINE } from "../../storage/threads.js";
import { eventsSentUnder, transactionKey } from "../../storage/transaction-ids.js";
import { completeState } from "./complete-state.js";
import type { DraftResult, RoomDraft } from "./draft.js";
import { type AcceptedEvent, type AllottedNumbers, type InternedNames, type Relation, RoomChange } from "./persist.js";
import { isSignedByPolicy, isSubjectToPolicy, POLICY, type PolicyServer, policyServerOf } from "./policy.js";
import { persistReceived } from "./received.js";
import type { Received, ReceivedEvent } from "./received-event.js";
import { relationOf } from "./relation.js";
import { eventsOf, loadCounting, loadScopes, loadState, type RoomMemory } from "./room-memory.js";
import type { RoomServices } from "./room-services.js";
import { judgeSoftFailedSticky } from "./soft-failed-sticky.js";
import type { RoomCounting } from "./unread-counts.js";

/** The room's memory can no longer be trusted: it must be loaded again before anything is tried again. */
export class RoomLostError extends Error {
  override name = "RoomLostError";
}

interface Job {
  readonly drafts: readonly RoomDraft[];
  /** What is to be done alone, between changes of drafts. */
  readonly alone?: () => Promise<void>;
  readonly resolve: (results: DraftResult[]) => void;
  readonly reject: (error: unknown) => void;
}

const CREATE = stateTuple("m.room.create", "");
const POWER_LEVELS = stateTuple("m.room.power_levels", "");
/** More ends of a room's history than branches that talk past each other for a moment make. */
export const MANY_ENDS = 10;
/** Drafts of one change. */
const MAX_DRAFTS = 200;
const MAX_WAITING_DRAFTS = 5_000;
/** The drafts of one change wait no longer for a policy server, one after another; those left may be tried again. */
const POLICY_MS = 6_000;
/** Received events about which a policy server is asked at the same time. */
const POLICY_AT_ONCE = 10;
/** Devices and transaction ids that a worker remembers; beyond it the table's key tells. */
const MAX_REMEMBERED = 2_000;

/** What drafts refer to, found before any is built. */
interface Prepared {
  readonly names: InternedNames;
  readonly numbers: AllottedNumbers;
  readonly counting: RoomCounting;
  readonly targets: ReadonlyMap<string, StoredEvent>;
  /** Other servers may have events of the room that we do not have. */
  readonly shared: boolean;
}

const log = logger("rooms");

/** The result of a draft before its position is known. */
type Outcome = { readonly event_id: EventId } | DraftResult;

export class RoomWorker {
  readonly memory: RoomMemory;
  readonly #services: RoomServices;
  #queue: Job[] = [];
  #waiting = 0;
  #running: Promise<void> | undefined;
  #lost = false;
  readonly #devices = new Set<string>();
  readonly #sent = new Map<string, { readonly event_id: EventId; readonly position: number }>();

  constructor(memory: RoomMemory, services: RoomServices) {
    this.memory = memory;
    this.#services = services;
  }

  get isIdle(): boolean {
    return this.#running === undefined;
  }

  /**
   * Adds drafts to the room, each on its own: the result of each. Throws RoomLostError where the room must be loaded again
   * and nothing of these drafts has happened; what the committer throws where that is not known.
   */
  submit(drafts: readonly RoomDraft[]): Promise<DraftResult[]> {
    if (this.#lost) return Promise.reject(new RoomLostError("the room was lost before"));
    if (this.#waiting + drafts.length > MAX_WAITING_DRAFTS) {
      return Promise.reject(new MatrixError(429, "M_LIMIT_EXCEEDED", "Too much is being sent to this room.", {
        extra: { retry_after_ms: 1_000 },
      }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ drafts, resolve, reject });
      this.#waiting += drafts.length;
      this.#running ??= this.#run();
    });
  }

  /** Judges and adds events that came from elsewhere: what became of them. Throws as `submit`. */
  async receive(events: readonly ReceivedEvent[]): Promise<Received> {
    if (this.#lost) throw new RoomLostError("the room was lost before");
    let received: Received = { position: 0, outcomes: new Map() };
    const signed = await this.#underPolicy(events);
    await this.#alone(async () => {
      received = await persistReceived(this.memory, this.#services, signed);
    });
    if (events.some(({ event, as }) => as === "live" && event.state_key !== undefined)) this.#stateChanged();
    const ends = this.memory.extremities.length;
    if (ends > MANY_ENDS) this.#services.noteEnds(this.memory.roomId, ends);
    return received;
  }

  /** Sticky events that were not allowed may be now. Nobody waits for that. */
  #stateChanged(): void {
    if (this.memory.hasSoftFailedSticky === false || this.#lost) return;
    this.#alone(() => judgeSoftFailedSticky(this.memory, this.#services)).catch((error: unknown) => log.warn({ err: error, room: this.memory.roomId }, "sticky events could not be judged again"));
  }

  async #alone(alone: () => Promise<void>): Promise<void> {
    await new Promise<DraftResult[]>((resolve, reject) => {
      this.#queue.push({ drafts: [], alone, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Received events, with the signatures of the room's policy server where they lack one and it gives it ("Validating Policy Server
   * signatures"). It is asked before the events' turn comes: nobody else in the room waits for it.
   */
  async #underPolicy(events: readonly ReceivedEvent[]): Promise<readonly ReceivedEvent[]> {
    const { memory } = this;
    const isJudged = ({ event, as, entry }: ReceivedEvent): boolean => as === "live" && entry !== true && isSubjectToPolicy(event);
    if (!events.some(isJudged)) return events;
    const { database, askPolicyServer } = this.#services;
    if (!memory.state.has(POLICY)) await this.#alone(() => loadState(database, memory, [POLICY]));
    const policy = policyServerOf(memory.state.get(POLICY)?.event);
    if (policy === undefined) return events;
    const { nid: room_nid, version } = memory;
    const until = performance.now() + POLICY_MS;
    const signed: ReceivedEvent[] = [];
    for (let start = 0; start < events.length; start += POLICY_AT_ONCE) {
      const asked = events.slice(start, start + POLICY_AT_ONCE).map(async (received) => {
        const { event } = received;
        if (!isJudged(received) || performance.now() > until || isSignedByPolicy(version, event, policy)) return received;
        try {
          return { ...received, event: await askPolicyServer({ room_nid, version, event, policy }) };
        } catch (error) {
          // What it says against the event is not what the event is dropped for: it is hidden.
          if (error instanceof MatrixError) return received;
          throw error;
        }
      });
      signed.push(...(await Promise.all(asked)));
    }
    return signed;
  }

  /** Puts the whole state of a room of which a part was known, or gives that up: whether all that it takes is here. Throws as `submit`. */
  async complete(giveUp: boolean): Promise<boolean> {
    if (this.#lost) throw new RoomLostError("the room was lost before");
    let complete = false;
    await this.#alone(async () => {
      complete = await completeState(this.memory, this.#services, giveUp);
    });
    return complete;
  }

  /** Waits for what is under way. */
  async drain(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      let drafts = 0;
      const cut = this.#queue.findIndex((job, index) => {
        drafts += job.drafts.length;
        return index > 0 && (drafts > MAX_DRAFTS || job.alone !== undefined || this.#queue[0]?.alone !== undefined);
      });
      const jobs = this.#queue.splice(0, cut < 0 ? this.#queue.length : cut);
      for (const job of jobs) this.#waiting -= job.drafts.length;
      try {
        await jobs[0]?.alone?.();
        const results = await this.#process(jobs.flatMap((job) => job.drafts));
        let start = 0;
        for (const job of jobs) job.resolve(results.slice(start, (start += job.drafts.length)));
      } catch (error) {
        // Whatever went wrong, the memory may be ahead of the database.
        this.#lost = true;
        for (const job of jobs) job.reject(error);
        for (const job of this.#queue.splice(0)) job.reject(new RoomLostError("the room was lost", { cause: error }));
      }
    }
    this.#running = undefined;
  }

  async #process(drafts: readonly RoomDraft[]): Promise<DraftResult[]> {
    if (drafts.length === 0) return [];
    const keys = drafts.map(keyOf);
    await this.#findSent(drafts, keys);
    const prepared = await this.#prepare(drafts);
    const change = this.#change(prepared);
    const underKey = new Map<string, Outcome>();
    const outcomes: Outcome[] = [];
    let policyUntil: number | undefined;
    for (const [index, draft] of drafts.entries()) {
      const key = keys[index];
      let outcome: Outcome | undefined = key === undefined ? undefined : (this.#sent.get(key) ?? underKey.get(key));
      if (outcome === undefined) {
        // What a policy server refuses must not be what the next event follows: so they are asked one after another.
        const policy = isSubjectToPolicy(draft) ? policyServerOf(this.memory.state.get(POLICY)?.event) : undefined;
        if (policy === undefined) outcome = this.#attempt(draft, prepared, change, key);
        else {
          policyUntil ??= performance.now() + POLICY_MS;
          outcome =
            performance.now() < policyUntil
              ? await this.#attemptUnder(policy, draft, prepared, change, key)
              : { error: unknownError(503, "The room's policy server is slow: try again.") };
        }
        if (key !== undefined) underKey.set(key, outcome);
      }
      outcomes.push(outcome);
    }
    if (change.isEmpty) return outcomes.map((outcome) => settled(outcome, 0));
    const position = await this.#services.committer.submit(change.item());
    if (drafts.some(({ state_key }) => state_key !== undefined)) this.#stateChanged();
    for (const [key, outcome] of underKey) {
      if (!("error" in outcome)) remember(this.#sent, key, { event_id: outcome.event_id, position });
    }
    return outcomes.map((outcome) => settled(outcome, position));
  }

  /**
   * Creates the room out of its first events, all of them or none: throws the refusal of the first that is refused.
   * `alongside` is what is written in the same transaction.
   */
  async create(create: RoomEvent, drafts: readonly RoomDraft[], alongside: CommitItem | undefined): Promise<number> {
    const prepared = await this.#prepare([create, ...drafts]);
    const change = this.#change(prepared);
    const verdict = authorise(this.memory.version, create, new Map());
    if (!verdict.allowed) throw forbidden(`The room cannot be created: ${verdict.reason}.`);
    change.add({ event: create, previous: [], auth: [] });
    for (const draft of drafts) {
      const outcome = this.#attempt(draft, prepared, change);
      if ("error" in outcome) throw outcome.error;
    }
    const { rows, entries } = change.item();
    return await this.#services.committer.submit({
      ...(rows !== undefined && { rows }),
      statements: alongside?.statements ?? [],
      entries: [...entries, ...(alongside?.entries ?? [])],
    });
  }

  #change({ names, numbers, counting }: Prepared): RoomChange {
    return new RoomChange(this.memory, names, numbers, counting, this.#isLocal, this.#services.clock.now());
  }

  /**
   * Transaction ids of devices that send here for the first time since the room was loaded are looked up; those of later
   * sends are remembered. What slips through meets the table's key, and comes back here in a room that was loaded again.
   */
  async #findSent(drafts: readonly RoomDraft[], keys: readonly (string | undefined)[]): Promise<void> {
    const unknown = keys.filter((key, index) => {
      const draft = drafts[index];
      return key !== undefined && !this.#devices.has(`${draft?.sender} ${draft?.transaction?.device_id}`);
    });
    if (unknown.length === 0) return;
    for (const { key, event_id, position } of await eventsSentUnder(this.#services.database, unknown.filter((key) => key !== undefined))) {
      remember(this.#sent, key, { event_id, position });
    }
    if (this.#devices.size > MAX_REMEMBERED) this.#devices.clear();
    for (const { sender, transaction } of drafts) {
      if (transaction !== undefined) this.#devices.add(`${sender} ${transaction.device_id}`);
    }
  }

  /** Reads everything that the drafts need, at once; nothing if all of it is known. */
  async #prepare(drafts: readonly (RoomDraft | RoomEvent)[]): Promise<Prepared> {
    const { database, interning, numbers } = this.#services;
    const memory = this.memory;
    const tuples = new Set<StateTuple>([CREATE, POWER_LEVELS, POLICY]);
    const stateTuples = new Set<StateTuple>();
    const users = new Set<string>();
    const types = new Set<string>();
    const targetIds = new Set<string>();
    for (const draft of drafts) {
      for (const tuple of authorisingTuples(memory.version, draft)) tuples.add(tuple);
      users.add(draft.sender);
      types.add(draft.type);
      if (draft.state_key !== undefined) {
        stateTuples.add(stateTuple(draft.type, draft.state_key));
        if (draft.type === "m.room.member" && parseUserId(draft.state_key) !== undefined) users.add(draft.state_key);
      }
      if (draft.redacts !== undefined) targetIds.add(draft.redacts);
      const relation = relationOf(draft.content);
      if (relation !== undefined) {
        types.add(relation.rel_type);
        if (!memory.known.has(relation.event_id)) targetIds.add(relation.event_id);
      }
    }
    const { counting, mentioned } = await this.#prepareCounting(drafts);
    for (const id of mentioned) tuples.add(stateTuple("m.room.member", id));
    for (const { user_id, asksName } of [...counting.members.values(), ...counting.joining.values()]) {
      if (asksName) tuples.add(stateTuple("m.room.member", user_id));
    }
    const states = drafts.filter((draft) => draft.state_key !== undefined).length;
    const [userNids, typeNids, tupleNids, targets, eventNids, snapshotNids, chainNids, mentionedNids] = await Promise.all([
      interning.users(users),
      interning.types(types),
      interning.tuples(stateTuples),
      eventsById(database, [...targetIds]),
      numbers.allot("event_nids", drafts.length),
      numbers.allot("snapshot_nids", states),
      numbers.allot("chain_nids", states),
      interning.findUsers(mentioned),
      loadState(database, memory, [...tuples, ...stateTuples]),
    ]);
    for (const target of targets.values()) {
      if (target.room_nid === memory.nid) {
        const { nid, thread_root, relates_to } = target;
        memory.known.set(target.event_id, { nid, thread_root, relates_to });
      }
    }
    await this.#loadThreads(drafts, counting);
    const lacking = drafts.some(({ redacts }) => redacts !== undefined && !targets.has(redacts));
    const servers = lacking ? await serversInRoom(database, memory.nid, []) : [];
    return {
      targets,
      shared: servers.some((server) => this.#services.signingKey(server) === undefined),
      counting,
      numbers: { events: eventNids, snapshots: snapshotNids, chains: chainNids },
      names: {
        user: (id) => found(userNids, id),
        type: (type) => found(typeNids, type),
        tuple: (type, stateKey) => found(tupleNids, stateTuple(type, stateKey)),
        mentioned: (id) => mentionedNids.get(id),
      },
    };
  }

  /** Reads what the drafts are counted with; and which of our users they single out. */
  async #prepareCounting(
    drafts: readonly (RoomDraft | RoomEvent)[],
  ): Promise<{ readonly counting: RoomCounting; readonly mentioned: ReadonlySet<UserId> }> {
    const { database, interning, ruleChanges } = this.#services;
    const mentioned = new Set<UserId>();
    const joining = new Set<UserId>();
    const invited = new Set<UserId>();
    for (const draft of drafts) {
      for (const id of singledOut(draft)) {
        const user = parseUserId(id);
        if (user === undefined || !this.#isLocal(serverNameOf(user))) continue;
        mentioned.add(user);
        if (draft.state_key === id && membershipIn(draft.content) === "invite") invited.add(user);
      }
      if (draft.type === "m.room.member" && membershipIn(draft.content) === "join") joining.add(draft.sender);
    }
    const [joiningNids, invitedNids] = await Promise.all([
      joining.size === 0 ? new Map<string, number>() : interning.users(joining),
      interning.findUsers(invited),
    ]);
    const coming = [...joiningNids.values(), ...invitedNids.values()];
    return { counting: await loadCounting(database, this.memory, ruleChanges, coming), mentioned };
  }

  readonly #isLocal = (server: ServerName): boolean => this.#services.signingKey(server) !== undefined;

  async #loadThreads(drafts: readonly { readonly content: JsonObject }[], counting: RoomCounting): Promise<void> {
    const roots = new Set<number>();
    const scopes = new Set([MAIN_TIMELINE]);
    for (const { content } of drafts) {
      const root = this.#relation(content)?.thread_root ?? null;
      if (root === null) continue;
      scopes.add(root);
      if (this.memory.threads.get(root) === undefined) roots.add(root);
    }
    const { database, ruleChanges } = this.#services;
    const [last] = await Promise.all([
      lastThreadOrdinals(database, [...roots]),
      loadScopes(database, this.memory, ruleChanges, counting, scopes),
    ]);
    for (const root of roots) this.memory.threads.set(root, last.get(root) ?? 0);
  }

  /** How an event relates to one that the room has; the relations of an event of a thread belong to that thread. */
  #relation(content: JsonObject): Relation | undefined {
    const relation = relationOf(content);
    const target = relation === undefined ? undefined : this.memory.known.get(relation.event_id);
    if (relation === undefined || target === undefined) return undefined;
    const thread_root = relation.rel_type === "m.thread" ? target.nid : target.thread_root;
    return { rel_type: relation.rel_type, relates_to: target.nid, thread_root };
  }

  /** Throws M_UNKNOWN for a thread that would begin at an event which relates to another itself ("Validation of `m.thread`"). */
  #requireThreadRoot(content: JsonObject): void {
    const relation = relationOf(content);
    const target = relation?.rel_type === "m.thread" ? this.memory.known.get(relation.event_id) : undefined;
    if (target !== undefined && target.relates_to !== null) {
      throw new MatrixError(400, "M_UNKNOWN", "A thread cannot begin at an event that relates to another: name the thread's root.");
    }
  }

  /** Builds, checks and adds one draft; a refusal is its outcome. */
  #attempt(draft: RoomDraft, prepared: Prepared, change: RoomChange, key?: string): Outcome {
    try {
      const accepted = this.#build(draft, prepared, key);
      change.add(accepted);
      return { event_id: accepted.event.event_id };
    } catch (error) {
      if (error instanceof MatrixError) return { error };
      throw error;
    }
  }

  /** As `#attempt`, in a room whose policy server has to sign. */
  async #attemptUnder(policy: PolicyServer, draft: RoomDraft, prepared: Prepared, change: RoomChange, key?: string): Promise<Outcome> {
    try {
      const accepted = this.#build(draft, prepared, key);
      const { version, nid: room_nid } = this.memory;
      const event = await this.#services.askPolicyServer({ room_nid, version, event: accepted.event, policy });
      change.add({ ...accepted, event });
      return { event_id: event.event_id };
    } catch (error) {
      if (error instanceof MatrixError) return { error };
      throw error;
    }
  }

  #build(draft: RoomDraft, { targets, shared }: Prepared, transactionKey: string | undefined): AcceptedEvent {
    const memory = this.memory;
    if (draft.while_membership !== undefined) this.#requireMembership(draft, draft.while_membership);
    const server = serverNameOf(draft.sender);
    const key = this.#services.signingKey(server);
    if (key === undefined) throw forbidden("Only local users can send from here.");
    // What authorises the event, by (type, state_key): its auth events, and the create event where the room id implies it.
    const slots = authEventTuples(memory.version, draft).flatMap((tuple) => memory.state.get(tuple) ?? []);
    const previous = memory.extremities.toSorted((a, b) => b.event.depth - a.event.depth).slice(0, MAX_PREV_EVENTS);
    const depth = Math.max(0, ...previous.map(({ event }) => event.depth)) + 1;
    const references = [...slots, ...previous].map(({ event }) => event);
    const event = buildEvent(
      memory.version,
      {
        room_id: memory.roomId,
        type: draft.type,
        ...(draft.state_key !== undefined && { state_key: draft.state_key }),
        sender: draft.sender,
        content: draft.content,
        ...(draft.redacts !== undefined && { redacts: draft.redacts }),
        ...(draft.sticky_duration_ms !== undefined && { sticky_duration_ms: draft.sticky_duration_ms }),
        origin_server_ts: draft.origin_server_ts ?? this.#services.clock.now(),
        depth,
        prev_events: previous.map(({ event: before }) => before.event_id),
        auth_events: slots.map(({ event: authorising }) => authorising.event_id),
        ...(memory.version.eventIds === "chosen" && chosenId(server)),
        ...(memory.version.referencePairs && {
          referenceHashes: new Map(references.map((before) => [before.event_id, referenceHashOf(memory.version, before)])),
        }),
      },
      server,
      key,
    );
    const verdict = authorise(memory.version, event, eventsOf(memory, authorisingTuples(memory.version, event)));
    if (!verdict.allowed) throw forbidden(`You may not send this event: ${verdict.reason}.`);
    const relation = this.#relation(event.content);
    this.#requireThreadRoot(event.content);
    const redacts = event.redacts === undefined ? undefined : this.#redactable(event, targets.get(event.redacts), shared);
    return {
      event,
      previous,
      auth: slots,
      ...(relation !== undefined && { relation }),
      ...(redacts !== undefined && { redacts }),
      ...transactionOf(draft, transactionKey),
    };
  }

  /** What the draft found before it came here may have changed since. Throws M_FORBIDDEN. */
  #requireMembership({ state_key = "" }: RoomDraft, expected: readonly Membership[]): void {
    const member = this.memory.state.get(stateTuple("m.room.member", state_key));
    const membership = member ? membershipIn(member.event.content) : undefined;
    if (membership === undefined || !expected.includes(membership)) {
      throw forbidden(`The membership of ${state_key} has changed meanwhile: look at it again.`);
    }
  }

  /**
   * The event that a redaction takes effect on; undefined where only other servers can have it and the sender may redact whatever
   * it is. Throws M_FORBIDDEN where it may not, M_NOT_FOUND where there is none.
   */
  #redactable(redaction: RoomEvent, target: StoredEvent | undefined, shared: boolean): number | undefined {
    const memory = this.memory;
    const create = memory.state.get(CREATE);
    const none = notFound("There is no such event in this room to redact.");
    if (!create) throw none;
    const levels = powerLevels(memory.version, create.event, memory.state.get(POWER_LEVELS)?.event);
    if (target === undefined || target.room_nid !== memory.nid) {
      if (target === undefined && shared && userLevel(levels, redaction.sender) >= namedLevel(levels, "redact")) return undefined;
      throw none;
    }
    const event = storedEvent(memory.version, target.event_id, target.json);
    // The room's rules trust a server with all events of its users; which of them may redact whose is for it to say
    // (client-server API, "Redactions").
    const ours = event.sender === redaction.sender || userLevel(levels, redaction.sender) >= namedLevel(levels, "redact");
    if (!ours || !mayRedact(memory.version, redaction, event, levels)) {
      throw forbidden("You may not redact this event.");
    }
    return target.nid;
  }
}

function settled(outcome: Outcome, position: number): DraftResult {
  return "error" in outcome || "position" in outcome ? outcome : { event_id: outcome.event_id, position };
}

function keyOf({ sender, transaction }: RoomDraft): string | undefined {
  if (transaction === undefined) return undefined;
  return transactionKey(sender, transaction.device_id, transaction.endpoint, transaction.txn_id);
}

function transactionOf({ transaction }: RoomDraft, key: string | undefined): Pick<AcceptedEvent, "transaction"> {
  if (transaction === undefined || key === undefined) return {};
  const { device_id, txn_id } = transaction;
  return { transaction: { key, device_id, txn_id } };
}

function chosenId(server: ServerName): { readonly event_id: EventId } | object {
  const id = parseEventId(`$${randomBytes(18).toString("base64url")}:${server}`);
  return id === undefined ? {} : { event_id: id };
}

function found(nids: ReadonlyMap<string, number>, name: string): number {
  const nid = nids.get(name);
  if (nid === undefined) throw new Error("a name was not interned");
  return nid;
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  const [oldest] = map.keys();
  if (map.size >= MAX_REMEMBERED && oldest !== undefined) map.delete(oldest);
  map.set(key, value);
}
