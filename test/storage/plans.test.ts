// The plans of hot queries: on more than 100,000 analysed rows, with the planner's default settings, each finds its rows
// through an index. No query may read a large table from end to end.
import { expect } from "chai";
import { stateTuple } from "../../src/protocol/state-map.js";
import { aliasesOfRoom, findAliases } from "../../src/storage/aliases.js";
import { authChain, authDifference, chainPlaces } from "../../src/storage/auth-chains.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import {
  eventsClosestTo,
  eventsAround,
  eventsById,
  eventsByNid,
  historyBackwards,
  historyForwards,
  ordinalsAt,
  timelineBackwards,
  timelineForwards,
  timelinesBackwards,
} from "../../src/storage/events.js";
import { Interning } from "../../src/storage/interning.js";
import { logHead, readLog } from "../../src/storage/log.js";
import { newestCounted } from "../../src/storage/notifications.js";
import { nameFields } from "../../src/storage/member-profiles.js";
import { membershipInRoom, membershipsOfUser } from "../../src/storage/memberships.js";
import { annotationsBy, eventsHavingChildren, lastChildren, relatedEvents, relationsOf, replacementsOf } from "../../src/storage/relations.js";
import { isPublished, publishedRooms, serversOfRoom } from "../../src/storage/room-directory.js";
import { roomOwner, roomsById, roomsByNid } from "../../src/storage/rooms.js";
import { searchMatches } from "../../src/storage/search.js";
import { findConnection } from "../../src/storage/sliding-connections.js";
import {
  accountDataOfRooms,
  createEvents,
  lastOfTypes,
  listRooms,
  roomsReadOn,
  stateOfTuples,
  stateOfTypes,
  tagsOfRooms,
} from "../../src/storage/sliding-rooms.js";
import type { Statement } from "../../src/storage/statement.js";
import {
  currentState,
  currentStateOf,
  currentStateOfTypes,
  memberCounts,
  roomMembers,
  snapshotLinks,
  stateAtSnapshot,
  stateAtSnapshotOf,
  stateChangedSince,
  stateChanges,
  usersSharingRooms,
} from "../../src/storage/state.js";
import { DEEPEST_BEFORE, HISTORIES, TIMELINES } from "../../src/storage/sync.js";
import { lastThreadOrdinals, threadNumbers, threadsOfRoom } from "../../src/storage/threads.js";
import { eventsSentUnder, transactionIdsOf } from "../../src/storage/transaction-ids.js";
import { findDelayed, listDelayed, nextDue } from "../../src/storage/delayed-events.js";
import { nextOwed } from "../../src/storage/destinations.js";
import { keysOfBackup, latestBackup } from "../../src/storage/key-backup.js";
import { changedThreadSubscriptions, findThreadSubscription } from "../../src/storage/thread-subscriptions.js";
import { devicesOfUsers, messagesAt, waitingInInboxes, waitingMessages } from "../../src/storage/to-device.js";
import { findUsersByName } from "../../src/storage/user-directory.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, message, startProcess, state, user } from "../support/rooms.js";

const ROOMS = 1_000;
const EVENTS = 120_000;
const MEMBERS = 100;
const LARGE = 10_000;

// Rooms 1 to 1,000 take turns; each tenth event is state; all users are in neighbouring rooms.
const FILL = [
  `INSERT INTO users (user_id) SELECT '@u' || i || ':example.org' FROM generate_series(1, 20000) i`,
  `INSERT INTO event_types (type) SELECT 'org.example.t' || i FROM generate_series(1, 200) i`,
  `INSERT INTO event_types (type) VALUES ('m.room.member')`,
  `INSERT INTO state_tuples (type, state_key) SELECT 'm.room.member', '@u' || i || ':example.org' FROM generate_series(1, 20000) i`,
  `INSERT INTO rooms (nid, room_id, version, owner, ordinal) SELECT i, '!r' || i, '12', 1, ${EVENTS / ROOMS} FROM generate_series(1, ${ROOMS}) i`,
  `INSERT INTO events (nid, room_nid, event_id, type_nid, tuple_nid, sender_nid, depth, origin_server_ts, position, ordinal,
     flags, state_before, prev_nids, auth_nids, relates_to, rel_type_nid, thread_root, thread_ordinal)
   SELECT i, 1 + i % ${ROOMS}, '$e' || i, 1 + i % 200, CASE WHEN i % 10 = 0 THEN 1 + i % 20000 END, 1 + i % 20000, 1 + i / ${ROOMS},
     1700000000000 + i, i, 1 + i / ${ROOMS}, 0, 1 + i % 20000, ARRAY[i - ${ROOMS}], ARRAY[1, 2, 3],
     CASE WHEN i % 7 = 0 THEN i / 2 END, CASE WHEN i % 7 = 0 THEN (SELECT nid FROM event_types WHERE type = 'm.thread') END, CASE WHEN i % 5 = 0 THEN i / 5 % 3000 END, CASE WHEN i % 5 = 0 THEN 1 + i / 15000 END
   FROM generate_series(1, ${EVENTS}) i`,
  `INSERT INTO room_aliases SELECT '#a' || i || ':example.org', 1 + i % ${ROOMS}, 1 FROM generate_series(1, 20000) i`,
  `INSERT INTO published_rooms SELECT 's' || (i / ${ROOMS}), 1 + i % ${ROOMS} FROM generate_series(1, 20000) i`,
  `INSERT INTO profile_fields SELECT nid, 'displayname', '"x"', 'name ' || md5(nid::text) FROM users`,
  `INSERT INTO open_rooms SELECT generate_series(1, 100)`,
  `INSERT INTO counted_events SELECT 1 + i % ${ROOMS}, 0, 1 + i / ${ROOMS}, true, false, 1, 0 FROM generate_series(1, 100000) i`,
  `INSERT INTO search_index SELECT i, i, 1 + i % ${ROOMS}, 1 + i % 20000, i, i, 1, search_document('everywhere rare' || translate((i % 5000)::text, '0123456789', 'abcdefghij'))
   FROM generate_series(1, 20000) i`,
  `INSERT INTO accounts (user_nid, created_ts) SELECT nid, 0 FROM users`,
  `INSERT INTO state_event_json SELECT nid, '{"content":{}}' FROM events WHERE tuple_nid IS NOT NULL`,
  `INSERT INTO message_json SELECT nid, '{"content":{}}' FROM events WHERE tuple_nid IS NULL`,
  `INSERT INTO current_state (room_nid, tuple_nid, event_nid, type_nid, position, user_nid, membership)
   SELECT r, 1 + (r * 7 + m) % 20000, 10 * (1 + (r + m) % 12000), (SELECT nid FROM event_types WHERE type = 'm.room.member'), r * m,
     1 + (r * 7 + m) % 20000, 1 + (m % 10 = 0)::integer * 3
   FROM generate_series(1, ${ROOMS}) r, generate_series(1, ${MEMBERS}) m`,
  `INSERT INTO current_state (room_nid, tuple_nid, event_nid, type_nid, position)
   SELECT r, 20000 + t, 10 * t, t, r FROM generate_series(1, ${ROOMS}) r, generate_series(1, 10) t`,
  `INSERT INTO memberships SELECT user_nid, room_nid, membership, event_nid, position FROM current_state WHERE user_nid IS NOT NULL`,
  `INSERT INTO log (position, index, kind, room_nid, user_nid, tuple_nid, reference)
   SELECT i, 1, 1 + i % 6, 1 + i % ${ROOMS}, 1 + i % 20000, 1 + i % 20000, i FROM generate_series(1, ${EVENTS}) i`,
  `SELECT setval('log_position', ${EVENTS}), setval('event_nids', 1000000), setval('room_nids', 1000000),
     setval('snapshot_nids', 1000000), setval('chain_nids', 1000000)`,
  `INSERT INTO state_snapshots (nid, room_nid, number, parent, tuple_nids, event_nids)
   SELECT i, 1 + i % ${ROOMS}, 1 + i % 16, CASE WHEN i % 16 > 0 THEN i - i % 16 END, ARRAY[1 + i % 20000], ARRAY[10 * (1 + i % 12000)]
   FROM generate_series(0, 119999) i`,
  `INSERT INTO auth_chains SELECT i, 1 + i / 10, 1 + i % 10 FROM generate_series(1, 119999) i`,
  `INSERT INTO auth_chain_links SELECT 1 + i / 10, 1 + i % 10, greatest(i / 10 - 3, 1), 5 FROM generate_series(100, 119999) i`,
  `INSERT INTO transaction_ids SELECT decode(md5(i::text), 'hex'), i, 1 + i % 20000, 'D', 't' || i FROM generate_series(1, ${EVENTS}) i`,
  `INSERT INTO devices (user_nid, device_id, created_ts) SELECT nid, 'D', 0 FROM users`,
  `INSERT INTO to_device_messages (user_nid, device_id, position, event) SELECT 1 + i % 20000, 'D', i, '{}' FROM generate_series(1, 100000) i`,
  `INSERT INTO to_device_sent (key) SELECT decode(md5(i::text), 'hex') FROM generate_series(1, 50000) i`,
  `INSERT INTO key_backups (user_nid, version, algorithm, auth_data) SELECT nid, 1, 'x', '{}' FROM users`,
  `INSERT INTO key_backup_keys SELECT 1 + i % 20000, 1, '!r' || i % 7, 's' || i, 0, 0, true, '{}' FROM generate_series(1, 100000) i`,
  `INSERT INTO delayed_events (delay_id, user_nid, room_id, type, content, delay_ms, running_since, send_ts, finalised_ts)
   SELECT 'd' || i, 1 + i % 20000, '!r1', 'm', '{}', 1, i, i, CASE WHEN i % 3 > 0 THEN i END FROM generate_series(1, 60000) i`,
  `INSERT INTO thread_subscriptions SELECT 1 + i % 20000, i, 1 + i % ${ROOMS}, true, true, i FROM generate_series(1, 100000) i`,
  `INSERT INTO owed_edus SELECT 's' || i % 5000, 'm.direct_to_device', 'k' || i, i, 'x', '{}' FROM generate_series(1, 50000) i`,
  `INSERT INTO sliding_connections (user_nid, device_id, conn_id, base) SELECT 1 + i % 20000, 'D', 'c' || i, 1 FROM generate_series(1, 40000) i`,
  `INSERT INTO sliding_rooms SELECT 1 + i % 40000, i / 40000, 1, NULL, 1, 1, 1, 0, false, '{}' FROM generate_series(1, 200000) i`,
  `INSERT INTO account_data SELECT 1 + i % 20000, i / 20000, 'm.tag', '{}', i FROM generate_series(1, 60000) i`,
  `INSERT INTO log_cursors VALUES ('x', 1)`,
];

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly Plans?: readonly PlanNode[];
  /** Only of statements that were run. */
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
}

describe("plans of hot queries", () => {
  let address: DatabaseAddress;
  let database: Database;
  let large: ReadonlySet<string>;
  /** The large tables that a statement reads from end to end, by the statement's name. */
  const scans = new Map<string, string[]>();
  const asked = new Set<string>();

  before(async function () {
    this.timeout(360_000);
    address = await freshDatabase();
    database = await Database.open({ address, poolSize: 2 });
    const session = await database.connect();
    for (const statement of FILL) await session.query(statement);
    await session.query("ANALYZE");
    const tables = await session.query<{ relname: string }>(
      `SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > ${LARGE} AND relnamespace = 'public'::regnamespace`,
    );
    large = new Set(tables.rows.map((row) => row.relname));
    await session.end();
  });
  after(() => database.close());

  /** A database that looks at the plan of what it is asked. */
  const explaining = {
    read: async <R extends object>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> => {
      asked.add(statement.name);
      const rows = await database.read<{ "QUERY PLAN": readonly { readonly Plan: PlanNode }[] }>(
        { name: `explain_${statement.name}`, text: `EXPLAIN (FORMAT JSON) ${statement.text}` },
        values,
      );
      const found = rows.flatMap((row) => row["QUERY PLAN"]).flatMap(({ Plan }) => scannedWhole(Plan));
      if (found.length > 0) scans.set(statement.name, found);
      return await database.read(statement, values);
    },
  } as Database;

  function scannedWhole(node: PlanNode): string[] {
    const table = node["Relation Name"];
    const here = node["Node Type"].includes("Seq Scan") && table !== undefined && large.has(table) ? [table] : [];
    return [...here, ...(node.Plans ?? []).flatMap(scannedWhole)];
  }

  it("the tables are as large as they must be", () => {
    for (const table of ["events", "current_state", "memberships", "state_snapshots", "auth_chains", "transaction_ids", "log_p0"]) {
      expect([...large]).to.include(table);
    }
  });

  it("the check sees a query without an index", async () => {
    await explaining.read({ name: "bad", text: "SELECT nid FROM events WHERE redacted_by = 1" }, []);
    expect(scans.get("bad")).to.deep.equal(["events"]);
    scans.delete("bad");
  });

  it("every read goes through an index", async () => {
    const range = { after: 60_000, upTo: EVENTS };
    const tuples = [stateTuple("m.room.member", "@u5:example.org"), stateTuple("m.room.member", "@u6:example.org")];
    await eventsById(explaining, ["$e1", "$e2", "$e3"]);
    await eventsByNid(explaining, Array.from({ length: 50 }, (_, index) => index * 100));
    await timelineBackwards(explaining, 5, range, 20);
    await timelineForwards(explaining, 5, range, 20);
    await timelinesBackwards(explaining, new Map(Array.from({ length: 300 }, (_, index) => [index + 1, 60_000])), EVENTS, 10);
    await historyBackwards(explaining, 5, { depth: 50, nid: 50_000 }, 20);
    await historyForwards(explaining, 5, { depth: 50, nid: 50_000 }, 20);
    await eventsAround(explaining, [{ room_nid: 5, depth: 50, nid: 50_000 }, { room_nid: 6, depth: 60, nid: 60_000 }], 5, 5);
    await ordinalsAt(explaining, [1, 2, 3], 60_000);
    await eventsClosestTo(explaining, 5, 1_700_000_050_000, "f", 100);
    await eventsClosestTo(explaining, 5, 1_700_000_050_000, "b", 100);
    const rooms = Array.from({ length: 300 }, (_, index) => index + 1);
    await explaining.read(TIMELINES, [rooms, rooms.map(() => 60_000), rooms.map(() => EVENTS), rooms.map(() => EVENTS), 11]);
    await explaining.read(DEEPEST_BEFORE, [rooms, rooms.map(() => 60), 20]);
    await explaining.read(HISTORIES, [rooms, rooms.map(() => EVENTS), rooms.map(() => 0), 11]);
    await currentState(explaining, 5);
    await currentStateOfTypes(explaining, 5, ["org.example.t3", "m.room.member"]);
    await currentStateOf(explaining, 5, tuples);
    await roomMembers(explaining, 5, ["join", "invite"]);
    await memberCounts(explaining, [5, 6, 7]);
    await usersSharingRooms(explaining, 77);
    await stateAtSnapshot(explaining, 77);
    await stateAtSnapshotOf(explaining, 77, tuples);
    await snapshotLinks(explaining, 77);
    await stateChanges(explaining, [5, 6], range);
    await stateChangedSince(explaining, [5, 6], 50);
    await membershipsOfUser(explaining, 77);
    await findConnection(explaining, 77, 1);
    await listRooms(explaining, 77, 60_000);
    await stateOfTuples(explaining, [[5, 42], [6, 20_001]]);
    await stateOfTypes(explaining, [[5, 3], [6, 4]]);
    await createEvents(explaining, [5, 6, 7], 20_001);
    await tagsOfRooms(explaining, 77);
    await accountDataOfRooms(explaining, 77, [1, 2]);
    await lastOfTypes(explaining, [5, 6, 7], [1, 2, 3]);
    await roomsReadOn(explaining, 77, 60_000, EVENTS);
    await membershipInRoom(explaining, 77, "!r5");
    await roomsById(explaining, ["!r5", "!r6"]);
    await roomsByNid(explaining, [5, 6]);
    await roomOwner(explaining, "!r5" as never);
    await chainPlaces(explaining, [5, 6]);
    await authChain(explaining, [50_000]);
    await authDifference(explaining, [[50_000], [50_005]]);
    await eventsSentUnder(explaining, ["00"]);
    await transactionIdsOf(explaining, [5, 6], 7, "D");
    await lastThreadOrdinals(explaining, [5, 6]);
    await findAliases(explaining, ["#a5:example.org", "#a6:example.org"] as never);
    await aliasesOfRoom(explaining, 5);
    // Inside of names, these tables are searched as fast from end to end as by their trigrams.
    for (const term of ["name c4", "@u77"]) {
      for (const all_of of [undefined, "example.org"]) {
        await findUsersByName(explaining, 77, { term, words: [], show_guests: false, all_of }, 11);
      }
    }
    await newestCounted(explaining, 77, { position: 60_000, ordinal: 0 }, 100);
    await nameFields(explaining, ["@u5:example.org", "@u6:example.org"]);
    await relatedEvents(explaining, [5, 6], [7], null);
    await annotationsBy(explaining, "$e5", 7, "org.example.t3");
    const [thread] = (await new Interning(explaining).findTypes(["m.thread"])).values();
    await eventsHavingChildren(explaining, Array.from({ length: 100 }, (_, index) => index * 100), [thread ?? 0, 2, 3]);
    await replacementsOf(explaining, [5, 6], thread ?? 0);
    await lastChildren(explaining, [5, 6], thread ?? 0, [7], 100);
    for (const dir of ["b", "f"] as const) {
      const from = { depth: 50, nid: 50_000 };
      for (const levels of [1, 3]) {
        for (const relType of [undefined, thread]) {
          for (const type of [undefined, 5]) await relationsOf(explaining, 5, dir, from, { relType, type, without: [7], levels }, 20);
        }
      }
    }
    await threadNumbers(explaining, [5, 6], 7, [8]);
    await threadsOfRoom(explaining, 5, { depth: 50, nid: 50_000 }, 20);
    await threadsOfRoom(explaining, 5, { depth: 50, nid: 50_000 }, 20, 7);
    await isPublished(explaining, "s5" as never, 5);
    await publishedRooms(explaining, "s5" as never, { joined: 1_000_000, room_nid: 0 }, "after", 20);
    await publishedRooms(explaining, "s5" as never, { joined: 1, room_nid: 5 }, "before", 20);
    await serversOfRoom(explaining, 5, 20);
    await logHead(explaining);
    await readLog(explaining, { after: EVENTS - 100, upTo: EVENTS }, { kinds: ["event"] });
    await readLog(explaining, range, { kinds: ["event"], rooms: [5, 6] });
    await readLog(explaining, range, { kinds: ["event"], users: [5, 6] });
    const interning = new Interning(explaining);
    await interning.findUsers(["@u5:example.org"]);
    await interning.findTuples(tuples);
    await interning.userIds([5, 6]);
    expect(asked.size).to.be.greaterThan(35);
    expect(Object.fromEntries(scans)).to.deep.equal({});
  });

  it("messages to devices, key backups, delayed events and thread subscriptions are read through an index", async () => {
    const device = "D" as never;
    const place = { send_ts: 0, delay_id: "" };
    expect(await waitingMessages(explaining, 5, device, { after: 20_000, upTo: EVENTS, afterNid: 0, limit: 100 })).to.have.length(4);
    await waitingMessages(explaining, 5, device, { after: 0, upTo: EVENTS, afterNid: 50_000, limit: 100 });
    await devicesOfUsers(explaining, Array.from({ length: 100 }, (_, index) => index + 1));
    await waitingInInboxes(explaining, Array.from({ length: 50 }, (_, index) => ({ user_nid: index + 2, device_id: device, after: 20_000, upTo: EVENTS, limit: 101 })));
    await messagesAt(explaining, Array.from({ length: 50 }, (_, index) => ({ user_nid: index + 2, device_id: device, position: index + 1 })));
    await nextOwed(explaining, ["s5", "s6"] as never, { events: 50, edus: 100, few: 5 });
    expect(await keysOfBackup(explaining, 5, 1, {})).to.have.length(5);
    await keysOfBackup(explaining, 5, 1, { room_id: "!r4" as never });
    await keysOfBackup(explaining, 5, 1, { room_id: "!r4" as never, session_id: "s4" });
    await latestBackup(explaining, 5);
    await listDelayed(explaining, 5, {}, { from: place, backwards: false, limit: 50 });
    await listDelayed(explaining, 5, { status: "scheduled" }, { from: { ...place, send_ts: 1e12 }, backwards: true, limit: 50 });
    await findDelayed(explaining, "d5");
    await nextDue(explaining);
    await changedThreadSubscriptions(explaining, 5, { position: EVENTS, root: 0 }, 0, 100);
    await findThreadSubscription(explaining, 5, 4);
    expect(Object.fromEntries(scans)).to.deep.equal({});
  });

  it("searches for rare and for common words, in many rooms and in one, go through an index", async () => {
    const scanned = async (): Promise<number | undefined> => {
      const read = { name: "search_scans", text: "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'search_index'" };
      return (await database.read<{ seq_scan: number }>(read, []))[0]?.seq_scan;
    };
    const before = await scanned();
    const searching = await Database.open({ address, poolSize: 1 });
    const many = Array.from({ length: 300 }, (_, index) => index + 1);
    const place = { sent_ts: Number.MAX_SAFE_INTEGER, nid: 0 };
    // More often than a plan stays one for its values.
    for (let round = 0; round < 12; round++) {
      for (const [words, rooms, matches] of [["everywhere", many, 100], ["rareb", many, 4], ["everywhere", [5], 20]] as const) {
        const query = { words, phrases: [], rooms, keys: [1, 2, 3], senders: null, not_senders: [], before: place };
        expect(await searchMatches(searching, query, 100)).to.have.length.of.at.least(matches);
      }
    }
    // Counters are complete when the connections that made them are closed.
    await searching.close();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(await scanned()).to.equal(before);
  });

  it("a thread of 100,000 events costs no more than a small one", async () => {
    const session = await database.connect();
    // Counted at once instead of one by one: in a single transaction the counters' older versions would pile up.
    await session.query("ALTER TABLE events DISABLE TRIGGER events_thread_added");
    await session.query(
      `INSERT INTO events (nid, room_nid, event_id, type_nid, sender_nid, depth, origin_server_ts, position, flags, prev_nids, auth_nids,
         relates_to, rel_type_nid)
       SELECT 2000000 + i, 9, '$long' || i, 1, 1 + i % 500, 1000 + i, i, ${EVENTS} + i, 0, '{}', '{}', 9, (SELECT nid FROM event_types WHERE type = 'm.thread')
       FROM generate_series(1, 100000) i`,
    );
    await session.query("ALTER TABLE events ENABLE TRIGGER events_thread_added");
    await session.query("INSERT INTO threads VALUES (9, 9, 100000, 101000, 2100000)");
    await session.query("INSERT INTO thread_participants SELECT 9, u, 200 FROM generate_series(1, 500) u");
    await session.query("ANALYZE");
    await session.end();
    const [type = 0] = (await new Interning(database).findTypes(["m.thread"])).values();
    let touched = 0;
    const counting = {
      read: async <R extends object>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]> => {
        const rows = await database.read<{ "QUERY PLAN": readonly { readonly Plan: PlanNode }[] }>(
          { name: `touch_${statement.name}`, text: `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement.text}` },
          values,
        );
        for (const { Plan } of rows.flatMap((row) => row["QUERY PLAN"])) touched += Plan["Shared Hit Blocks"] + Plan["Shared Read Blocks"];
        return await database.read(statement, values);
      },
    };
    expect((await threadNumbers(counting, [9], 7, [8])).get(9)).to.deep.include({ root: 9, participated: true, events: 99_800 });
    expect(await lastChildren(counting, [9], type, [8], 1)).to.deep.equal([{ parent: 9, nid: 2_100_000 }]);
    expect(await eventsHavingChildren(counting, [9], [type])).to.deep.equal(new Set([9]));
    expect((await threadsOfRoom(counting, 9, { depth: 1_000_000, nid: 0 }, 1))[0]?.root).to.equal(9);
    const page = await relationsOf(counting, 9, "b", { depth: 50_000, nid: 0 }, { relType: type, type: undefined, without: [8], levels: 1 }, 20);
    expect(page).to.have.length(20);
    expect(touched, "blocks").to.be.lessThan(200);
  });

  it("neither creating rooms nor sending reads a large table from end to end", async () => {
    const counted = async (): Promise<Map<string, number>> => {
      const rows = await database.read<{ relname: string; seq_scan: number }>(
        { name: "scans", text: "SELECT relname, seq_scan FROM pg_stat_user_tables" },
        [],
      );
      return new Map(rows.flatMap((row) => (large.has(row.relname) ? [[row.relname, row.seq_scan]] : [])));
    };
    const before = await counted();
    const process = await startProcess(address);
    const alice = user("alice");
    const { room_id } = await createRoom(process, alice);
    // More often than a plan stays one for its values.
    for (let round = 0; round < 12; round += 1) {
      const drafts = [message(alice, "x", `t${round}`), state(alice, "m.room.topic", { topic: `${round}` })];
      await process.owners.submit(room_id, drafts);
    }
    // Counters are complete when the connections that made them are closed.
    await process[Symbol.asyncDispose]();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(await counted()).to.deep.equal(before);
  });
});
