// The short way of a lone message into PostgreSQL and the general one write the same rows.
import { expect } from "chai";
import type { LogEntry } from "../../src/storage/log-entry.js";
import { loneMessage } from "../../src/storage/lone-message.js";
import { FENCED, type RoomRows, writeChanges } from "../../src/storage/room-rows.js";
import { sqlState } from "../../src/storage/database.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, startProcess, type TestProcess, user } from "../support/rooms.js";

const TABLES = ["rooms", "events", "message_json", "transaction_ids", "counted_events", "counted_scopes", "receipts", "push_outbox", "log"];
/** What is another in each run: the position and the time. */
const OWN = ["position", "created", "created_ts"];

describe("lone message", () => {
  let process: TestProcess;
  let change: RoomRows;
  let entries: readonly LogEntry[];
  before(async () => {
    process = await startProcess(await freshDatabase());
    const { room_nid } = await createRoom(process, user("alice"));
    const [room] = await process.database.read<{ revision: number; snapshot: number; ordinal: number }>(
      { name: "room", text: "SELECT revision, snapshot, ordinal FROM rooms WHERE nid = $1" },
      [room_nid],
    );
    if (room === undefined) throw new Error("no room");
    const { revision, snapshot } = room;
    const ordinal = room.ordinal + 1;
    const key = "00ff".repeat(16);
    const place = { room_nid, thread: 0, ordinal };
    change = {
      fences: [{ nid: room_nid, revision, owner: process.registration.nid, extremities: [9_001], ordinal, snapshot }],
      transaction_ids: [{ key, event_nid: 9_001, user_nid: 3, device_id: 'DE"VICE', txn_id: "t,\\1" }],
      message_json: [{ nid: 9_001, json: '{"body":"a \\"quoted\\" {text}, \\u0000"}' }],
      events: [
        {
          nid: 9_001,
          room_nid,
          event_id: "$event",
          type_nid: 4,
          tuple_nid: null,
          sender_nid: 3,
          depth: 70,
          origin_server_ts: 1_800_000_000_000,
          ordinal,
          flags: 0,
          state_before: snapshot,
          prev_nids: [8_999, 8_998],
          auth_nids: [],
          replaces: null,
          relates_to: null,
          rel_type_nid: null,
          thread_root: null,
          thread_ordinal: null,
        },
      ],
      state_snapshots: [],
      counts: {
        counted_events: [{ ...place, notifies: true, highlights: false, notified: 7, highlighted: 2 }],
        counted_scopes: [{ room_nid, thread: 0, last_ordinal: ordinal, notified: 7, highlighted: 2 }],
        count_exceptions: [],
        implied_receipts: [{ ...place, user_nid: 3, event_nid: 9_001, ts: 1_800_000_000_000 }],
        uncounted_events: [],
      },
    };
    entries = [{ kind: "event", room_nid, reference: 9_001 }];
  });
  after(() => process[Symbol.asyncDispose]());

  /** All rows of the tables after the statement, which is then undone. */
  async function written(bound: ReturnType<typeof writeChanges> | undefined): Promise<object> {
    if (bound === undefined) throw new Error("it is no lone message");
    const found: Record<string, object[]> = {};
    const undone = new Error("undone");
    await process.database
      .transaction(async (tx) => {
        await tx.query(bound.statement, bound.values);
        for (const table of TABLES) {
          const rows = await tx.query<{ row: Record<string, unknown> }>(
            // What is owed to pushers is numbered anew even where it is undone.
            { name: "", text: `SELECT to_jsonb(t)${table === "push_outbox" ? " - 'nid'" : ""} AS row FROM ${table} t ORDER BY t::text` },
            [],
          );
          found[table] = rows.map(({ row }) => Object.fromEntries(Object.entries(row).filter(([name]) => !OWN.includes(name))));
        }
        throw undone;
      })
      .catch((error: unknown) => {
        if (error !== undone) throw error;
      });
    return found;
  }

  async function compare(message: RoomRows): Promise<void> {
    expect(await written(loneMessage([message], entries))).to.deep.equal(await written(writeChanges([message], entries)));
  }

  it("a message that counts, with a transaction id", () => compare(change));

  it("a message in a thread that counts for nobody, without transaction id", async () => {
    const [event] = change.events ?? [];
    const [receipt] = change.counts?.implied_receipts ?? [];
    if (event === undefined || receipt === undefined || change.counts === undefined) throw new Error("no event");
    await compare({
      ...change,
      transaction_ids: [],
      events: [{ ...event, relates_to: 17, rel_type_nid: 5, thread_root: 17, thread_ordinal: 3 }],
      counts: { ...change.counts, counted_events: [], counted_scopes: [], implied_receipts: [{ ...receipt, thread: 17 }] },
    });
  });

  it("a message that owes something to pushers", async () => {
    const text = `WITH account AS (INSERT INTO accounts (user_nid, created_ts) SELECT nid, 0 FROM users ORDER BY nid LIMIT 1 RETURNING user_nid)
      INSERT INTO pushers (user_nid, app_id, pushkey, kind, app_display_name, device_display_name, lang, data, enabled, set_ts, gateway)
      SELECT user_nid, 'app', key, 'http', '', '', 'en', '{}', true, 0, '' FROM account, unnest(ARRAY['one', 'two']) AS key RETURNING user_nid`;
    const [pusher] = await process.database.write<{ user_nid: number }>({ name: "", text }, []);
    if (pusher === undefined) throw new Error("no pusher");
    const push = { user_nid: pusher.user_nid, room_nid: 1, event_nid: 9_001, thread: 0, ordinal: 3, tweaks: '{"a":"\\"}' };
    const message = { ...change, pushes: [push, { ...push, event_nid: null, ordinal: 0 }, { ...push, user_nid: 999_999 }] };
    await compare(message);
    const rows = (await written(loneMessage([message], entries))) as { push_outbox?: unknown[] };
    expect(rows.push_outbox).to.have.lengthOf(4);
  });

  it("is fenced like all changes", async () => {
    const [fence] = change.fences ?? [];
    if (fence === undefined) throw new Error("no fence");
    for (const stale of [{ ...fence, revision: fence.revision - 1 }, { ...fence, owner: fence.owner + 1 }]) {
      const failed = await written(loneMessage([{ ...change, fences: [stale] }], entries)).catch(sqlState);
      expect(failed).to.equal(FENCED);
    }
  });

  it("whatever else is written goes the general way", () => {
    const [event] = change.events ?? [];
    const { counts } = change;
    if (event === undefined || counts === undefined) throw new Error("no event");
    const exception = { room_nid: 1, user_nid: 2, thread: 0, ordinal: 3, notify: 0, highlight: 1 };
    const others: readonly RoomRows[] = [
      { ...change, redactions: [{ nid: 1, redacted_by: 9_001 }] },
      { ...change, missing_events: [{ room_nid: 1, event_id: "$gap", named_by: 9_001 }] },
      { ...change, events: [event, event] },
      { ...change, events: [{ ...event, flags: 4, ordinal: null }] },
      { ...change, events: [{ ...event, state_before: 1 }] },
      { ...change, counts: { ...counts, count_exceptions: [exception] } },
      { ...change, counts: { ...counts, implied_receipts: [] } },
    ];
    for (const other of others) expect(loneMessage([other], entries)).to.equal(undefined);
    expect(loneMessage([change], [...entries, ...entries])).to.equal(undefined);
    expect(loneMessage([change, change], entries)).to.equal(undefined);
  });
});
