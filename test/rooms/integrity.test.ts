// Random traffic in rooms: snapshots, auth chains and everything else that is derived equals what walking the events gives.
import { expect } from "chai";
import type { EventId } from "../../src/protocol/identifiers.js";
import { rebuildRooms } from "../../src/rooms/administration/rebuild.js";
import { advance, chainOf, EMPTY_CHAIN, foldChain, type SnapshotChain } from "../../src/rooms/owner/snapshot-chain.js";
import { authChain, authDifference } from "../../src/storage/auth-chains.js";
import { eventsById, type StoredEvent, timelineForwards } from "../../src/storage/events.js";
import { fsck } from "../../src/storage/fsck.js";
import { collectSnapshots, markUnreachableSnapshots } from "../../src/storage/snapshot-upkeep.js";
import { currentState, snapshotLinks, stateAtSnapshot } from "../../src/storage/state.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, randomDraft, seeded, SERVER, startProcess, type TestProcess, user } from "../support/rooms.js";

const ALICE = user("alice");
const ALL = { after: 0, upTo: Number.MAX_SAFE_INTEGER };

describe("integrity of rooms", () => {
  const seed = Date.now() % 1_000_000;
  let process: TestProcess;
  const rooms: number[] = [];

  before(async () => {
    process = await startProcess(await freshDatabase());
    const next = seeded(seed);
    for (let index = 0; index < 3; index += 1) {
      const { room_id, room_nid } = await createRoom(process, ALICE);
      rooms.push(room_nid);
      const earlier: EventId[] = [];
      for (let round = 0; round < 25; round += 1) {
        const drafts = Array.from({ length: 1 + Math.floor(next() * 20) }, () => randomDraft(next, ALICE, earlier));
        for (const result of await process.owners.submit(room_id, drafts)) if ("event_id" in result) earlier.push(result.event_id);
      }
    }
  });
  after(() => process[Symbol.asyncDispose]());

  async function timeline(room: number): Promise<StoredEvent[]> {
    return await timelineForwards(process.database, room, ALL, 10_000);
  }

  it("the state before each event is what its predecessors made of it", async () => {
    for (const room of rooms) {
      const state = new Map<string, string>();
      for (const event of await timeline(room)) {
        if (event.state_key !== null || event.ordinal === 40) {
          const stored = await stateAtSnapshot(process.database, event.state_before);
          const found = stored.map((entry) => [`${entry.type} ${entry.state_key}`, entry.event_id]);
          expect(new Map(found as [string, string][]), `seed ${seed}`).to.deep.equal(state);
        }
        if (event.state_key !== null) {
          const replaced = state.get(`${event.type} ${event.state_key}`);
          const [before] = replaced === undefined ? [] : (await eventsById(process.database, [replaced])).values();
          expect(event.replaces, `seed ${seed}`).to.equal(before?.nid ?? null);
          state.set(`${event.type} ${event.state_key}`, event.event_id);
        }
      }
      const now = await currentState(process.database, room);
      const found = now.map((entry) => [`${entry.type} ${entry.state_key}`, entry.event_id]);
      expect(new Map(found as [string, string][]), `seed ${seed}`).to.deep.equal(state);
    }
  });

  it("auth chains and their differences are those of a walk", async () => {
    for (const room of rooms) {
      const events = new Map((await timeline(room)).map((event) => [event.nid, event]));
      const walk = (start: readonly number[]): Set<number> => {
        const seen = new Set(start);
        for (const nid of seen) for (const parent of events.get(nid)?.auth_nids ?? []) seen.add(parent);
        return seen;
      };
      const states = [...events.values()].filter((event) => event.state_key !== null).map((event) => event.nid);
      const next = seeded(seed + room);
      const some = (): number[] => states.filter(() => next() < 4 / states.length);
      for (let round = 0; round < 30; round += 1) {
        const sets = Array.from({ length: 2 + Math.floor(next() * 2) }, some);
        const start = sets[0] ?? [];
        expect(sorted(await authChain(process.database, start)), `seed ${seed}`).to.deep.equal(sorted(walk(start)));
        const chains = sets.map(walk);
        const union = new Set(chains.flatMap((chain) => [...chain]));
        const difference = [...union].filter((nid) => !chains.every((chain) => chain.has(nid)));
        expect(sorted(await authDifference(process.database, sets)), `seed ${seed}`).to.deep.equal(sorted(difference));
      }
    }
  });

  it("chains of snapshots stay short whatever their length", () => {
    const next = seeded(seed);
    let chain: SnapshotChain = EMPTY_CHAIN;
    const rows = new Map<number, Parameters<typeof chainOf>[0][number]>();
    const state = new Map<number, number>();
    let stored = 0;
    for (let nid = 1; nid <= 5_000; nid += 1) {
      const tuple = Math.floor(next() * 800);
      const event = next() < 0.1 ? 0 : nid;
      const advanced = advance(chain, 1, nid, new Map([[tuple, event]]));
      chain = advanced.chain;
      rows.set(nid, advanced.row);
      stored += advanced.row.tuple_nids.length;
      if (event === 0) state.delete(tuple);
      else state.set(tuple, event);
      expect(chain.links.length).to.be.at.most(4);
    }
    expect(foldChain(chain)).to.deep.equal(state);
    const links = [];
    for (let row = rows.get(5_000); row !== undefined; row = row.parent === null ? undefined : rows.get(row.parent)) links.unshift(row);
    expect(foldChain(chainOf(links))).to.deep.equal(state);
    expect(stored / 5_000, "entries written per change").to.be.below(40);
  });

  it("fsck finds nothing", async () => {
    const links = await snapshotLinks(process.database, 1);
    expect(links).to.be.an("array");
    const report = await fsck(process.database);
    expect(report.problems, `seed ${seed}`).to.deep.equal([]);
    expect(report.checks).to.be.greaterThan(15);
  });

  it("what is rebuilt is what was there", async () => {
    const dump = async (): Promise<unknown> => [
      await process.database.read({ name: "dump_state", text: "SELECT * FROM current_state ORDER BY room_nid, tuple_nid" }, []),
      await process.database.read({ name: "dump_memberships", text: "SELECT * FROM memberships ORDER BY room_nid, user_nid" }, []),
    ];
    const { database, services } = process;
    const rebuild = (): Promise<number> =>
      rebuildRooms({ database, interning: services.interning, isLocal: (server) => server === SERVER });
    const before = await dump();
    expect(await rebuild()).to.equal(rooms.length);
    expect(await dump()).to.deep.equal(before);
    await database.write({ name: "spoil_1", text: "UPDATE current_state SET event_nid = 1 WHERE tuple_nid % 3 = 0" }, []);
    await database.write({ name: "spoil_2", text: "DELETE FROM current_state WHERE tuple_nid % 3 = 1" }, []);
    await database.write({ name: "spoil_3", text: "UPDATE memberships SET membership = 1 WHERE user_nid % 2 = 0" }, []);
    await database.write({ name: "spoil_4", text: "DELETE FROM memberships WHERE user_nid % 3 = 0" }, []);
    expect(await dump()).not.to.deep.equal(before);
    await rebuild();
    expect(await dump()).to.deep.equal(before);
  });

  it("collects snapshots that nothing refers to, after a second look", async () => {
    const { database } = process;
    const count = async (): Promise<number> =>
      (await database.read<{ count: number }>({ name: "snapshots", text: "SELECT count(*) AS count FROM state_snapshots" }, []))[0]?.count ?? 0;
    const insert = { name: "orphan", text: "INSERT INTO state_snapshots SELECT $1, $2, 999, $3, '{}', '{}'" };
    const before = await count();
    await database.write(insert, [800_001, rooms[0], null]);
    await database.write(insert, [800_002, rooms[0], 800_001]);
    await database.write(insert, [800_003, rooms[0], null]);
    // Of a chain the leaf goes first; what it was built on is found by a later look.
    expect(await markUnreachableSnapshots(database, rooms)).to.equal(2);
    expect(await collectSnapshots(database)).to.equal(0);
    await database.write({ name: "refer", text: "UPDATE rooms SET snapshot = 800003 WHERE nid = $1" }, [rooms[0]]);
    expect(await collectSnapshots(database, 0)).to.equal(1);
    await database.write(
      { name: "refer_back", text: "UPDATE rooms SET snapshot = (SELECT max(nid) FROM state_snapshots s WHERE s.room_nid = $1 AND nid < 800000) WHERE nid = $1" },
      [rooms[0]],
    );
    expect(await markUnreachableSnapshots(database, rooms)).to.equal(2);
    expect(await collectSnapshots(database, 0)).to.equal(2);
    expect(await count()).to.equal(before);
    expect((await fsck(database)).problems).to.deep.equal([]);
  });

  const DAMAGES: Readonly<Record<string, string>> = {
    "an event has no text": "DELETE FROM message_json WHERE nid = (SELECT min(nid) FROM message_json)",
    "a text has no event": "INSERT INTO message_json VALUES (999999999, '{}')",
    "the timeline of a room has a gap": "UPDATE rooms SET ordinal = ordinal + 1",
    "the timeline of a room is not in the order of positions": "UPDATE events SET position = 1 WHERE ordinal = 20",
    "a thread has a gap": "UPDATE events SET thread_ordinal = thread_ordinal + 1 WHERE thread_ordinal = 1",
    "a thread is not counted as it is": "INSERT INTO thread_participants VALUES (999999, 1, 1)",
    "an event names a previous event that does not exist": "UPDATE events SET prev_nids = '{999999}' WHERE ordinal = 20",
    "an event names an authorising event that does not exist or is none": "UPDATE events SET auth_nids = '{999999}' WHERE ordinal = 20",
    "the ends of a room's history are wrong": "UPDATE rooms SET extremities = '{1}'",
    "a snapshot is missing": "DELETE FROM state_snapshots WHERE nid = (SELECT min(nid) FROM state_snapshots)",
    "the current state of a room is not that of its last snapshot": "DELETE FROM current_state WHERE membership IS NULL",
    "a user's membership is not that of the room's state": "UPDATE memberships SET membership = 5 WHERE membership = 1",
    "a timeline event is not in the log at its position": "DELETE FROM log WHERE kind = 1 AND position = (SELECT max(position) FROM log)",
    "the log speaks of an event that does not exist": "INSERT INTO log (position, index, kind, reference) VALUES (1, 999, 1, 999999)",
    "a transaction id is of an event that does not exist": "INSERT INTO transaction_ids VALUES ('\\x00', 999999, 1, 'd', 't')",
    "a redaction points nowhere": "UPDATE events SET redacted_by = 999999 WHERE ordinal = 20",
    "a state event has no place in the auth chains": "DELETE FROM auth_chains WHERE sequence = 1",
    "a cursor is ahead of the log's sequence": "INSERT INTO log_cursors VALUES ('x', 999999999)",
    "a position is ahead of its sequence": "SELECT setval('log_position', 1)",
  };
  for (const [check, damage] of Object.entries(DAMAGES)) {
    it(`fsck finds that ${check}`, async () => {
      const session = await process.database.connect();
      // The damage is undone by never being committed: fsck runs inside the same session.
      await session.query("BEGIN");
      await session.query(damage);
      const inside = { read: async (statement: { text: string }) => (await session.query(statement.text)).rows };
      const report = await fsck(inside as never);
      await session.query("ROLLBACK");
      await session.end();
      expect(report.problems.map((problem) => problem.check)).to.include(check);
    });
  }
});

function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}
