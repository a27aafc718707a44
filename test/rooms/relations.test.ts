// Relations as the database keeps them: threads are counted as they are, whatever is sent and redacted, and of replacements
// the most recent is found.
import { randomInt } from "node:crypto";
import { expect } from "chai";
import type { EventId } from "../../src/protocol/identifiers.js";
import { accepted, type RoomDraft } from "../../src/rooms/owner/draft.js";
import { replacementsOf } from "../../src/storage/relations.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, seeded, startProcess, type TestProcess, user } from "../support/rooms.js";

const ALICE = user("alice");
const BOB = user("bob");

const related = (draft: RoomDraft, rel_type: string, event_id: EventId): RoomDraft => ({
  ...draft,
  content: { ...draft.content, "m.relates_to": { rel_type, event_id } },
});

const THREADS = {
  name: "test_threads",
  text: `SELECT root, events, latest_depth, latest_nid,
      (SELECT coalesce(json_object_agg(user_nid, p.events ORDER BY user_nid), '{}') FROM thread_participants p WHERE p.root = t.root) AS participants
    FROM threads t ORDER BY root`,
};
const COUNTED = {
  name: "test_threads_counted",
  text: `WITH replies AS (SELECT e.relates_to AS root, e.* FROM events e JOIN event_types t ON t.nid = e.rel_type_nid AND t.type = 'm.thread'
      WHERE e.redacted_by IS NULL AND e.flags = 0)
    SELECT root, count(*) AS events, (array_agg(depth ORDER BY depth DESC, nid DESC))[1] AS latest_depth,
      (array_agg(nid ORDER BY depth DESC, nid DESC))[1] AS latest_nid,
      (SELECT json_object_agg(sender_nid, n ORDER BY sender_nid) FROM (SELECT sender_nid, count(*) AS n FROM replies r
        WHERE r.root = replies.root GROUP BY sender_nid) each) AS participants
    FROM replies GROUP BY root ORDER BY root`,
};

describe("relations in the database", () => {
  let process: TestProcess;
  before(async () => {
    process = await startProcess(await freshDatabase());
  });
  after(() => process[Symbol.asyncDispose]());

  it("whatever is sent and redacted, threads are counted as they are", async () => {
    const seed = randomInt(2 ** 31);
    const random = seeded(seed);
    const below = (bound: number): number => Math.floor(random() * bound);
    const { room_id } = await createRoom(process, ALICE);
    await process.owners.submit(room_id, [member(BOB, BOB, "join")]);
    const sent: EventId[] = [];
    for (let round = 0; round < 60; round++) {
      const drafts = Array.from({ length: 1 + below(4) }, (): RoomDraft => {
        const who = below(2) === 0 ? ALICE : BOB;
        const target = sent[below(sent.length)];
        const draft = message(who, `${seed} ${round}`);
        if (target === undefined || below(6) === 0) return draft;
        // Twice the same, too: only the first redaction counts. Some are refused: threads on threads, redactions of others' events.
        if (below(4) === 0) return { type: "m.room.redaction", sender: ALICE, content: {}, redacts: target };
        return related(draft, ["m.thread", "m.thread", "m.thread", "m.replace"][below(4)] ?? "", sent[below(Math.min(5, sent.length))] ?? target);
      });
      for (const result of await process.owners.submit(room_id, drafts)) if (!("error" in result)) sent.push(result.event_id);
    }
    const counted = await process.database.read(COUNTED, []);
    expect(counted, `seed ${seed}`).not.to.deep.equal([]);
    expect(await process.database.read(THREADS, []), `seed ${seed}`).to.deep.equal(counted);
  });

  it("of replacements the most recent by their times comes first, then the greatest id", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const [original] = (await process.owners.submit(room_id, [message(ALICE, "original")])).map(accepted);
    if (original === undefined) throw new Error("nothing was sent");
    const at = (origin_server_ts: number): RoomDraft => ({ ...related(message(ALICE, `${Math.random()}`), "m.replace", original.event_id), origin_server_ts });
    const edits = (await process.owners.submit(room_id, [at(3_000), at(2_000), at(3_000), at(1_000)])).map(accepted).map(({ event_id }) => event_id);
    const tied = [edits[0] ?? "", edits[2] ?? ""].toSorted((a, b) => (a < b ? 1 : -1));
    const types = await process.services.interning.findTypes(["m.replace"]);
    const [nid] = (await process.database.read<{ nid: number }>({ name: "test_nid", text: "SELECT nid FROM events WHERE event_id = $1" }, [original.event_id])).map((row) => row.nid);
    const found = await replacementsOf(process.database, [nid ?? 0], types.get("m.replace") ?? 0);
    const rows = await process.database.read<{ nid: number; event_id: string }>(
      { name: "test_ids", text: "SELECT nid, event_id FROM events WHERE nid = ANY($1)" },
      [found.map((child) => child.nid)],
    );
    const ids = new Map(rows.map((row) => [row.nid, row.event_id]));
    expect(found.map((child) => ids.get(child.nid))).to.deep.equal([...tied, edits[1]]);
  });
});
