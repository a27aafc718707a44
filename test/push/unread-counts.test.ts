// Unread counts as they are kept equal unread counts as anyone would count them: random traffic, receipts, threads, rules.
import { expect } from "chai";
import { markRead } from "../../src/ephemeral/receipts.js";
import { unreadKey } from "../../src/ephemeral/side-streams.js";
import { storedEvent } from "../../src/protocol/event.js";
import type { EventId, RoomId, UserId } from "../../src/protocol/identifiers.js";
import { ownString, type JsonObject } from "../../src/protocol/json.js";
import { powerLevels } from "../../src/protocol/power-levels.js";
import { compileRules, evaluate, eventFacts } from "../../src/protocol/push-evaluation.js";
import { type PushRule, userRules } from "../../src/protocol/push-rules.js";
import { DEFAULT_ROOM_VERSION } from "../../src/protocol/room-version.js";
import { unreadCounts } from "../../src/push/unread.js";
import { rebuildCounts } from "../../src/rooms/administration/rebuild-counts.js";
import type { RoomDraft } from "../../src/rooms/owner/draft.js";
import { type StoredEvent, timelineForwards } from "../../src/storage/events.js";
import { accountDataSet, NO_ROOM } from "../../src/storage/account-data.js";
import { NO_OWN_RULES, type OwnRules, storeRules } from "../../src/storage/push-rules.js";
import { threadSubscribed, threadUnsubscribed } from "../../src/storage/thread-subscriptions.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, SERVER, seeded, startProcess, state, type TestProcess, user } from "../support/rooms.js";

const ALICE = user("alice");
const USERS = [ALICE, ...Array.from({ length: 5 }, (_, index) => user(`user${index}`))];
/** Which threads users follow, as "user root". */
type Follows = ReadonlySet<string>;
const ALL = { after: 0, upTo: Number.MAX_SAFE_INTEGER };
type Rules = ReadonlyMap<UserId, OwnRules>;

const rule = (rule_id: string, more: Partial<PushRule>): PushRule => ({ rule_id, default: false, enabled: true, actions: ["notify"], ...more });

/** The rules a user may have: what people really set, and what only bends them. */
function someRules(room: RoomId): readonly OwnRules[] {
  return [
    NO_OWN_RULES,
    { own: { room: [rule(room, { actions: [] })] }, changes: {} },
    { own: { room: [rule("!another:example.org", { actions: [] })] }, changes: {} },
    { own: { override: [rule("mute", { actions: [], conditions: [{ kind: "event_match", key: "room_id", pattern: room }] })] }, changes: {} },
    { own: { content: [rule("cake", { pattern: "c*ke", actions: ["notify", { set_tweak: "highlight" }] })] }, changes: {} },
    { own: { sender: [rule(user("user1"), { actions: [] })] }, changes: {} },
    { own: { override: [rule("name", { conditions: [{ kind: "contains_display_name" }], actions: ["notify", { set_tweak: "highlight" }] })] }, changes: {} },
    { own: {}, changes: { ".io.element.msc4306.rule.unsubscribed_thread": { enabled: true } } },
    { own: {}, changes: { ".m.rule.master": { enabled: true } } },
    { own: {}, changes: { ".m.rule.suppress_notices": { enabled: false } } },
    { own: { room: [rule(room, { actions: [] })] }, changes: { ".org.matrix.msc4028.encrypted_event": { enabled: true } } },
    { own: {}, changes: { ".m.rule.is_user_mention": { enabled: false }, ".m.rule.message": { actions: [] } } },
  ];
}

interface Read {
  readonly user: UserId;
  readonly thread: string;
  readonly ordinal: number;
}

describe("unread counts", () => {
  const seed = Date.now() % 1_000_000;
  const next = seeded(seed);
  const pick = <Item>(items: readonly Item[]): Item | undefined => items[Math.floor(next() * items.length)];
  let process: TestProcess;
  let room_id: RoomId;
  let room_nid = 0;
  let nids: ReadonlyMap<string, number>;
  const reads: Read[] = [];
  /** The rules that everyone had when an event came. */
  const rulesAt = new Map<string, Rules>();
  /** Whom everyone ignored at that time. */
  const followsAt = new Map<string, Follows>();
  const ignoredAt = new Map<string, ReadonlyMap<UserId, readonly UserId[]>>();

  before(async () => {
    process = await startProcess(await freshDatabase());
    nids = await process.services.interning.users(USERS);
    await process.database.write({ name: "accounts_of_users", text: "INSERT INTO accounts (user_nid, created_ts) SELECT unnest($1::bigint[]), 0" }, [[...nids.values()]]);
    ({ room_id, room_nid } = await createRoom(process, ALICE));
  });
  after(() => process[Symbol.asyncDispose]());

  const nid = (id: UserId): number => nids.get(id) ?? 0;
  const timeline = (): Promise<StoredEvent[]> => timelineForwards(process.database, room_nid, ALL, 10_000);

  function draft(events: readonly StoredEvent[]): RoomDraft {
    const sender = pick(next() < 0.8 ? USERS.slice(0, 3) : USERS) ?? ALICE;
    const target = pick(events.slice(-10));
    const content: Record<string, JsonObject[string]> = { msgtype: next() < 0.2 ? "m.notice" : "m.text", body: pick(["cake", "Bob", "hello", "nothing"]) ?? "" };
    if (next() < 0.3) content["m.mentions"] = { user_ids: [pick(USERS) ?? "", pick(USERS) ?? "", "@nobody:elsewhere.org"] };
    if (next() < 0.1) content["m.mentions"] = { room: true };
    switch (Math.floor(next() * 24)) {
      case 0:
        return { ...member(sender, sender, "join"), content: { membership: "join", displayname: pick(["Bob", "Eve"]) ?? "" } };
      case 1:
        return sender === ALICE ? message(ALICE, "x") : member(sender, sender, "leave");
      case 2:
        return sender === ALICE ? message(ALICE, "x") : member(ALICE, sender, pick(["invite", "ban", "leave"]) ?? "ban");
      case 3:
        return target === undefined ? message(ALICE, "x") : { type: "m.room.redaction", sender: ALICE, content: {}, redacts: target.event_id };
      case 4:
      case 5:
      case 20:
      case 21:
      case 22:
      case 23: {
        const begun = new Set(events.slice(-20).map(({ thread_root }) => thread_root));
        const going = events.filter(({ nid: root }) => begun.has(root)).slice(-3);
        const root = pick(next() < 0.7 && going.length > 0 ? going : events.filter(({ thread_root }) => thread_root === null).slice(-6));
        if (root !== undefined) content["m.relates_to"] = { rel_type: "m.thread", event_id: root.event_id };
        return { type: "m.room.message", sender, content };
      }
      case 6:
        if (target !== undefined) content["m.relates_to"] = { rel_type: "m.reference", event_id: target.event_id };
        return { type: "m.room.message", sender, content };
      case 7:
        return state(ALICE, "m.room.topic", { topic: String(next()) });
      case 8:
        return { type: "m.room.encrypted", sender, content: { algorithm: "x" } };
      case 9:
        if (target !== undefined) content["m.relates_to"] = { rel_type: "m.replace", event_id: target.event_id };
        return { type: "m.room.message", sender, content };
      case 10:
        return { type: `org.matrix.msc3381.poll.${pick(["start", "response", "end"])}`, sender, content: {} };
      default:
        return { type: "m.room.message", sender, content };
    }
  }

  /** Counts by going through everything that ever happened. */
  function recount(events: readonly StoredEvent[], id: UserId, perThread: boolean): object | "not in the room" | undefined {
    const idOf = new Map(events.map((event) => [event.nid, event.event_id]));
    const parsed = events.map((event) => ({ row: event, event: storedEvent(DEFAULT_ROOM_VERSION, event.event_id, event.json) }));
    const place = new Map<string, number>();
    const move = (thread: string, ordinal: number): unknown => place.set(thread, Math.max(place.get(thread) ?? 0, ordinal));
    for (const { thread, ordinal, user: reader } of reads) if (reader === id) move(thread, ordinal);
    const members = new Map<string, JsonObject>();
    const memberRows = new Map<string, StoredEvent>();
    const counted: { thread: string; ordinal: number; notify: number; highlight: number }[] = [];
    let levels: (typeof parsed)[number]["event"] | undefined;
    const create = parsed[0]?.event;
    if (create === undefined) throw new Error("no events");
    for (const { row, event } of parsed) {
      const ordinal = row.ordinal ?? 0;
      const thread = row.thread_root === null ? "main" : (idOf.get(row.thread_root) ?? "");
      const was = members.get(event.sender);
      if (event.type === "m.room.power_levels") levels = event;
      if (event.type === "m.room.member" && event.state_key !== undefined) {
        members.set(event.state_key, event.content);
        memberRows.set(event.state_key, row);
      }
      const joins = event.type === "m.room.member" && event.state_key === event.sender && event.content["membership"] === "join" && was?.["membership"] !== "join";
      if (event.sender === id && joins) move("room", ordinal);
      if (event.sender === id && event.type !== "m.room.member") move(thread, ordinal);
      // A redacted member event keeps the membership only, from its redaction on.
      for (const [key, { redacted_by }] of memberRows) {
        if (redacted_by === row.nid) members.set(key, { membership: members.get(key)?.["membership"] ?? "leave" });
      }
      const self = members.get(id);
      if (self?.["membership"] !== "join" || event.sender === id || row.redacted_by !== null) continue;
      const joined = [...members.values()].filter((content) => content["membership"] === "join").length;
      if (ignoredAt.get(event.event_id)?.get(id)?.some((ignored) => ignored === event.sender) === true) continue;
      const { own, changes } = rulesAt.get(event.event_id)?.get(id) ?? NO_OWN_RULES;
      const rules = compileRules(userRules(own, new Map(Object.entries(changes))));
      const facts = eventFacts(event, joined, powerLevels(DEFAULT_ROOM_VERSION, create, levels), row.thread_root !== null);
      const follows = followsAt.get(event.event_id)?.has(`${id} ${row.thread_root}`);
      const outcome = evaluate(rules, facts, { user_id: id, displayName: ownString(self, "displayname"), follows });
      counted.push({ thread, ordinal, notify: Number(outcome?.notify === true), highlight: Number(outcome?.highlight === true) });
    }
    const threads = new Map<string, { notification_count: number; highlight_count: number }>();
    for (const { thread, ordinal, notify, highlight } of counted) {
      if (ordinal <= Math.max(place.get(thread) ?? 0, place.get("room") ?? 0) || notify + highlight === 0) continue;
      const key = perThread ? thread : "main";
      const { notification_count, highlight_count } = threads.get(key) ?? { notification_count: 0, highlight_count: 0 };
      threads.set(key, { notification_count: notification_count + notify, highlight_count: highlight_count + highlight });
    }
    if (members.get(id)?.["membership"] !== "join") return "not in the room";
    if (threads.size === 0) return undefined;
    const { notification_count, highlight_count } = threads.get("main") ?? { notification_count: 0, highlight_count: 0 };
    threads.delete("main");
    return { notification_count, highlight_count, threads };
  }

  async function compare(what: string): Promise<void> {
    const pairs = USERS.map((id) => ({ user_nid: nid(id), room_nid }));
    const events = await timeline();
    for (const perThread of [true, false]) {
      const counts = await unreadCounts(process.database, pairs, perThread);
      for (const id of USERS) {
        const expected = recount(events, id, perThread);
        if (expected === "not in the room") continue;
        expect(counts.get(unreadKey({ user_nid: nid(id), room_nid })), `seed ${seed}, ${what}, ${id}`).to.deep.equal(expected);
      }
    }
  }

  it("random traffic: as they are kept is as they are counted", async () => {
    let rules: Rules = new Map(USERS.map((id) => [id, NO_OWN_RULES]));
    let ignored: ReadonlyMap<UserId, readonly UserId[]> = new Map();
    let follows: Follows = new Set();
    for (let round = 0; round < 40; round += 1) {
      for (const id of USERS) {
        if (next() > 0.1) continue;
        const chosen = pick(someRules(room_id)) ?? NO_OWN_RULES;
        rules = new Map([...rules, [id, chosen]]);
        await process.database.transaction(async (tx) => storeRules(tx, nid(id), chosen));
        process.services.ruleChanges.note(nid(id));
      }
      const ignoring = pick(USERS);
      if (ignoring !== undefined && next() < 0.2) {
        const users = USERS.filter((id) => id !== ignoring && next() < 0.2);
        ignored = new Map([...ignored, [ignoring, users]]);
        const content = JSON.stringify({ ignored_users: Object.fromEntries(users.map((id) => [id, {}])) });
        await process.services.committer.submit({ statements: [accountDataSet(nid(ignoring), NO_ROOM, "m.ignored_user_list", content)], entries: [] });
        process.services.ruleChanges.note(nid(ignoring));
      }
      const before = await timeline();
      const roots = before.flatMap(({ thread_root }) => thread_root ?? []);
      for (const id of USERS) {
        const root = pick(next() < 0.5 ? roots.slice(-3) : before.slice(-4).map((event) => event.nid));
        if (root === undefined || next() > 0.3) continue;
        const begins = !follows.has(`${id} ${root}`);
        const statement = begins ? threadSubscribed(nid(id), root, room_nid, undefined) : threadUnsubscribed(nid(id), root);
        await process.services.committer.submit({ statements: [statement], entries: [] });
        process.services.ruleChanges.threads.note(root);
        follows = new Set([...follows, `${id} ${root}`].filter((one) => begins || one !== `${id} ${root}`));
      }
      const drafts = Array.from({ length: 1 + Math.floor(next() * 8) }, () => draft(before));
      const results = await process.owners.submit(room_id, drafts);
      for (const result of results) {
        if (!("event_id" in result)) continue;
        rulesAt.set(result.event_id, rules);
        ignoredAt.set(result.event_id, ignored);
        followsAt.set(result.event_id, follows);
      }
      const events = await timeline();
      for (const id of USERS) {
        const event = pick(events);
        if (event === undefined || next() > 0.4) continue;
        const root = events.find(({ nid: root }) => root === event.thread_root);
        const thread = next() < 0.3 ? undefined : (root?.event_id ?? "main");
        const type = next() < 0.5 ? "m.read" : "m.read.private";
        const requester = { user_id: id, user_nid: nid(id), device_id: undefined, is_admin: false, is_guest: false };
        // Who is not in the room is refused.
        const done = await markRead(process.services, requester, room_id, [{ type, event_id: event.event_id, thread_id: thread }]).then(
          () => true,
          (error: unknown) => {
            expect(error).to.have.property("errcode", "M_FORBIDDEN");
            return false;
          },
        );
        if (done) reads.push({ user: id, thread: thread ?? "room", ordinal: event.ordinal ?? 0 });
      }
      await compare(`round ${round}`);
    }
  });

  it("rebuilt they are what they were, and what comes next goes on from there", async () => {
    const counts = async (): Promise<object> => {
      const text = "SELECT user_nid FROM current_state WHERE room_nid = $1 AND membership = 1 ORDER BY user_nid";
      const members = await process.database.read<{ user_nid: number }>({ name: "members", text }, [large]);
      const pairs = members.map(({ user_nid }) => ({ user_nid, room_nid: large }));
      return [await unreadCounts(process.database, pairs, true), await unreadCounts(process.database, pairs, false)];
    };
    const { room_id: id, room_nid: large } = await createRoom(process, ALICE);
    for (const [index, rules] of someRules(id).entries()) {
      const who = nid(USERS[index % USERS.length] ?? ALICE);
      if (index < USERS.length) await process.database.transaction(async (tx) => storeRules(tx, who, rules));
      process.services.ruleChanges.note(who);
    }
    const followed = new Set<number>();
    const submit = async (rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round += 1) {
        const before = await timelineForwards(process.database, large, ALL, 10_000);
        // Before there are threads: who follows them now did when they were counted.
        for (const { nid: root } of before) {
          if (followed.has(root)) continue;
          followed.add(root);
          const statements = USERS.filter(() => next() < 0.5).map((id) => threadSubscribed(nid(id), root, large, undefined));
          await process.services.committer.submit({ statements, entries: [] });
        }
        await process.owners.submit(id, Array.from({ length: 8 }, () => draft(before)));
        const event = pick(before);
        if (event === undefined) continue;
        const requester = { user_id: ALICE, user_nid: nid(ALICE), device_id: undefined, is_admin: false, is_guest: false };
        await markRead(process.services, requester, id, [{ type: "m.read", event_id: event.event_id }]);
      }
    };
    const rebuild = (): Promise<void> =>
      rebuildCounts({ database: process.database, interning: process.services.interning, isLocal: (server) => server === SERVER }, { nid: large, room_id: id });
    await submit(12);
    const live = await counts();
    await process.database.write({ name: "spoil", text: "UPDATE counted_scopes SET notified = notified + 7" }, []);
    expect(await counts(), `seed ${seed}`).to.not.deep.equal(live);
    await rebuild();
    expect(await counts(), `seed ${seed}`).to.deep.equal(live);
    await submit(4);
    const later = await counts();
    await rebuild();
    expect(await counts(), `seed ${seed}`).to.deep.equal(later);
  });

  it("a message to many writes no rows for each", async () => {
    const members = Array.from({ length: 200 }, (_, index) => user(`many${index}`));
    const { room_id: large, room_nid: largeNid } = await createRoom(process, ALICE);
    await process.owners.submit(large, members.map((id) => member(id, id, "join")));
    const rows = async (): Promise<number> => {
      const text = `SELECT (SELECT count(*) FROM counted_events WHERE room_nid = $1) + (SELECT count(*) FROM counted_scopes WHERE room_nid = $1)
        + (SELECT count(*) FROM count_exceptions WHERE room_nid = $1) + (SELECT count(*) FROM receipts WHERE room_nid = $1) AS count`;
      const [row] = await process.database.read<{ count: number }>({ name: "count_rows", text }, [largeNid]);
      return row?.count ?? 0;
    };
    const largeNids = await process.services.interning.users(members);
    // Three of them have pushers; so has somebody who is not in the room.
    const someone = await process.services.interning.users([user("elsewhere")]);
    const pushed = [...members.slice(0, 3).map((id) => largeNids.get(id) ?? 0), ...someone.values()];
    await process.database.write({ name: "accounts", text: "INSERT INTO accounts (user_nid, created_ts) SELECT unnest($1::bigint[]), 0" }, [pushed]);
    const pushers = `INSERT INTO pushers (user_nid, app_id, pushkey, kind, app_display_name, device_display_name, lang, data, enabled, set_ts, gateway)
      SELECT unnest($1::bigint[]), 'app', 'key', 'http', '', '', 'en', '{}', true, 0, ''`;
    await process.database.write({ name: "pushers", text: pushers }, [pushed]);
    for (const nid of pushed) process.services.ruleChanges.note(nid);
    const before = await rows();
    const mentions = { user_ids: members.slice(0, 3) };
    const sent = await process.owners.submit(large, [
      message(ALICE, "one"),
      { type: "m.room.message", sender: ALICE, content: { msgtype: "m.text", body: "x", "m.mentions": { room: true } } },
      { type: "m.room.message", sender: ALICE, content: { msgtype: "m.text", body: "x", "m.mentions": mentions } },
    ]);
    expect(sent.filter((result): result is { event_id: EventId; position: number } => "event_id" in result)).to.have.length(3);
    // Three messages, their scope, and a highlight for each of the three who are named.
    expect((await rows()) - before).to.equal(3 + 1 + 3);
    const owed = "SELECT user_nid FROM push_outbox JOIN pushers ON pushers.nid = pusher_nid ORDER BY push_outbox.nid";
    // A row for each message and each of the three who are to be told.
    expect(await process.database.read({ name: "owed", text: owed }, [])).to.have.length(9);
    const pairs = members.map((id) => ({ user_nid: largeNids.get(id) ?? 0, room_nid: largeNid }));
    const counts = await unreadCounts(process.database, pairs, true);
    for (const [index, pair] of pairs.entries()) {
      expect(counts.get(unreadKey(pair))).to.deep.equal({ notification_count: 3, highlight_count: index < 3 ? 2 : 1, threads: new Map() });
    }
  });
});
