// The committer: a failure at any statement is never a success, one bad change does not fail its neighbours, and whoever
// was promised a position finds their change there.
import { expect } from "chai";
import { MatrixError } from "../../src/errors.js";
import { type CommitItem, Committer } from "../../src/storage/committer.js";
import { Database, type DatabaseAddress, sqlState } from "../../src/storage/database.js";
import { LOG_LOCK } from "../../src/storage/log-entry.js";
import { FENCED } from "../../src/storage/room-rows.js";
import { fsck } from "../../src/storage/fsck.js";
import { accepted, type DraftResult } from "../../src/rooms/owner/draft.js";
import { eventsById, timelineForwards } from "../../src/storage/events.js";
import { eventually } from "../support/eventually.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, startProcess, state, type TestProcess, user } from "../support/rooms.js";

const ALICE = user("alice");
const TABLES = [
  "rooms",
  "transaction_ids",
  "state_event_json",
  "message_json",
  "state_snapshots",
  "auth_chains",
  "auth_chain_links",
  "events",
  "current_state",
  "memberships",
  "log",
];

describe("committer", () => {
  let address: DatabaseAddress;
  let process: TestProcess;
  beforeEach(async () => {
    address = await freshDatabase();
    process = await startProcess(address);
  });
  afterEach(() => process[Symbol.asyncDispose]());

  async function sql(text: string): Promise<void> {
    await process.database.write({ name: "", text }, []);
  }

  async function outcome(promise: Promise<DraftResult[]>): Promise<string> {
    return await promise.then(
      ([result]) => (result !== undefined && "error" in result ? result.error.errcode : "ok"),
      (error: unknown) => (error instanceof MatrixError ? error.errcode : "failed"),
    );
  }

  for (const moment of ["at once", "at the end"]) {
    it(`a failure at each table, ${moment}, gives no success and leaves nothing`, async () => {
      await sql(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = 'P0099'; END $$`);
      for (const table of TABLES) {
        const { room_id, room_nid } = await createRoom(process, ALICE);
        const joined = user(`for-${table.replaceAll("_", "-")}`);
        accepted((await process.owners.submit(room_id, [message(ALICE, "before")]))[0]);
        await sql(
          moment === "at once"
            ? `CREATE TRIGGER fail AFTER INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION fail()`
            : `CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE ON ${table} DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION fail()`,
        );
        // One change that touches every table.
        const drafts = [member(joined, joined, "join"), message(ALICE, "lost", `lost-${table}`), state(ALICE, "m.room.topic", {})];
        expect(await outcome(process.owners.submit(room_id, drafts)), table).to.equal("failed");
        expect(await outcome(process.owners.submit(room_id, [message(ALICE, "x", `next-${table}`)])), table).to.equal(
          ["rooms", "transaction_ids", "message_json", "events", "log"].includes(table) ? "failed" : "ok",
        );
        await sql(`DROP TRIGGER fail ON ${table}`);
        const [again] = await process.owners.submit(room_id, [message(ALICE, "found", `lost-${table}`)]);
        const { event_id } = accepted(again);
        const range = { after: 0, upTo: Number.MAX_SAFE_INTEGER };
        const bodies = (await timelineForwards(process.database, room_nid, range, 100)).map(
          ({ json }) => (JSON.parse(json) as { content: { body?: string } }).content.body,
        );
        expect(bodies.filter((body) => body === "lost"), table).to.deep.equal([]);
        expect(bodies.filter((body) => body === "found"), table).to.deep.equal(["found"]);
        expect((await eventsById(process.database, [event_id])).size).to.equal(1);
      }
      expect((await fsck(process.database)).problems).to.deep.equal([]);
    });
  }

  it("a room that is not as its writer knows it is fenced off", async () => {
    const { room_nid } = await createRoom(process, ALICE);
    const fence = { nid: room_nid, revision: 1, owner: process.registration.nid, extremities: [1], ordinal: 5, snapshot: 1 };
    const attempt = async (fences: readonly (typeof fence)[]): Promise<unknown> =>
      await process.services.committer.submit({ rows: { fences }, entries: [] }).catch((error: unknown) => sqlState(error));
    expect(await attempt([{ ...fence, revision: 2 }])).to.equal(FENCED);
    expect(await attempt([{ ...fence, owner: fence.owner + 1 }])).to.equal(FENCED);
    expect(await attempt([fence, { ...fence, nid: room_nid + 1 }])).to.equal(FENCED);
    expect(await attempt([fence])).to.be.a("number");
    expect(await attempt([fence])).to.equal(FENCED);
  });

  it("of changes that travel together, only the bad one fails", async () => {
    await sql("CREATE TABLE numbers (number integer PRIMARY KEY)");
    const insert = { name: "insert_number", text: "INSERT INTO numbers VALUES ($1)" };
    const item = (number: number): CommitItem => ({
      statements: [{ statement: insert, values: [number] }],
      entries: [{ kind: "account_data", user_nid: number }],
    });
    const { committer } = process.services;
    const results = await Promise.allSettled([1, 2, 3, 2, 4, 5, 1, 6].map((number) => committer.submit(item(number))));
    const failed = results.flatMap((result, index) => (result.status === "rejected" ? [index] : []));
    expect(failed).to.deep.equal([3, 6]);
    const rows = await process.database.read<{ user_nid: number }>(
      { name: "users_in_log", text: "SELECT user_nid FROM log WHERE kind = 6 ORDER BY user_nid" },
      [],
    );
    expect(rows.map((row) => row.user_nid)).to.deep.equal([1, 2, 3, 4, 5, 6]);
  });

  it("statements at the position see it, and everyone hears of it once", async () => {
    await sql("CREATE TABLE positions (position bigint)");
    const heard: number[] = [];
    const committer = new Committer(process.database, (position) => heard.push(position));
    const atPosition = {
      statement: { name: "note_position", text: "INSERT INTO positions VALUES (currval('log_position'))" },
      values: [],
      atPosition: true,
    };
    const positions = await Promise.all(
      Array.from({ length: 20 }, () => committer.submit({ statements: [atPosition], entries: [{ kind: "profile", user_nid: 1 }] })),
    );
    const [row] = await process.database.read<{ same: boolean }>(
      { name: "same", text: "SELECT bool_and(position = $1) AS same FROM positions" },
      [positions[0]],
    );
    expect(new Set(positions).size).to.equal(1);
    expect(row?.same).to.equal(true);
    expect(heard).to.deep.equal([positions[0]]);
  });

  it("who wrote is answered before those are woken who read, and both before anything else comes in", async () => {
    const order: string[] = [];
    const committer = new Committer(process.database, () => order.push("woken"));
    await committer.submit({ entries: [{ kind: "profile", user_nid: 1 }] });
    order.push("answered");
    await committer.drain();
    expect(order).to.deep.equal(["answered", "woken"]);
  });

  it("a connection that is lost while a change is written gives no success, and the same transaction id finds out", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const holder = await process.database.connect();
    await holder.query(`SELECT pg_advisory_lock(${LOG_LOCK})`);
    const sending = outcome(process.owners.submit(room_id, [message(ALICE, "once", "t1")]));
    const cut = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE '%write_%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`;
    await eventually("it waits and is cut off", async () => (await holder.query(cut)).rows.length > 0);
    expect(await sending).to.equal("M_UNKNOWN");
    await holder.query(`SELECT pg_advisory_unlock(${LOG_LOCK})`);
    await holder.end();
    accepted((await process.owners.submit(room_id, [message(ALICE, "once", "t1")]))[0]);
    const [row] = await process.database.read<{ count: number }>(
      { name: "sent", text: "SELECT count(*) AS count FROM transaction_ids" },
      [],
    );
    expect(row?.count).to.equal(1);
  });

  it("refuses more than it can hold", async () => {
    const database = await Database.open({ address, poolSize: 1 });
    const committer = new Committer(database, () => undefined);
    const results = await Promise.allSettled(
      Array.from({ length: 20_100 }, (_, index) => committer.submit({ entries: [{ kind: "profile", user_nid: index }] })),
    );
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason as MatrixError] : []));
    expect(refused).to.have.length(100);
    expect(refused[0]?.status).to.equal(503);
    await committer.drain();
    await database.close();
  });
});
