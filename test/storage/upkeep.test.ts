// Upkeep while rooms are written to: nothing is lost, and what is no longer needed goes.
import { expect } from "chai";
import { accepted } from "../../src/rooms/owner/draft.js";
import { timelineForwards } from "../../src/storage/events.js";
import { fsck } from "../../src/storage/fsck.js";
import { cutMessagePartition } from "../../src/storage/message-partitions.js";
import { keepHouse } from "../../src/storage/upkeep.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, message, startProcess, user } from "../support/rooms.js";

const ALICE = user("alice");

describe("upkeep", () => {
  it("cuts message bodies by month under writers", async () => {
    await using process = await startProcess(await freshDatabase());
    const { database, owners } = process;
    const { room_id, room_nid } = await createRoom(process, ALICE);
    let sent = 0;
    const test = { running: true };
    const writer = async (): Promise<void> => {
      while (test.running) accepted((await owners.submit(room_id, [message(ALICE, `${(sent += 1)}`)]))[0]);
    };
    const writers = [writer(), writer(), writer()];
    for (const month of ["2026-10", "2026-11", "2026-12"]) {
      expect(await cutMessagePartition(database, month)).to.equal(true);
      expect(await cutMessagePartition(database, month)).to.equal(false);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    test.running = false;
    await Promise.all(writers);
    // More than a block of numbers, so that the last month gets some.
    for (let start = 0; start < 1_200; start += 200) {
      (await owners.submit(room_id, Array.from({ length: 200 }, (_, index) => message(ALICE, `more ${index}`)))).forEach(accepted);
    }
    const partitions = await database.read<{ name: string; count: number }>(
      { name: "by_partition", text: "SELECT tableoid::regclass::text AS name, count(*) AS count FROM message_json GROUP BY 1" },
      [],
    );
    expect(partitions.map((row) => row.name)).to.include("message_json_202612");
    const timeline = await timelineForwards(database, room_nid, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, 100_000);
    expect(timeline).to.have.length(5 + sent + 1_200);
    expect(timeline.filter((event) => event.json === null)).to.deep.equal([]);
    expect((await fsck(database)).problems).to.deep.equal([]);
  });

  it("forgets old transaction ids", async () => {
    await using process = await startProcess(await freshDatabase());
    const { database, owners, services } = process;
    const { room_id } = await createRoom(process, ALICE);
    await owners.submit(room_id, [message(ALICE, "old", "old"), message(ALICE, "new", "new")]);
    await database.write(
      { name: "age", text: "UPDATE transaction_ids SET created = now() - interval '2 days' WHERE txn_id = 'old'" },
      [],
    );
    await keepHouse(database, services.clock, { redactedContentDays: undefined });
    const left = await database.read<{ txn_id: string }>({ name: "left", text: "SELECT txn_id FROM transaction_ids" }, []);
    expect(left.map((row) => row.txn_id)).to.deep.equal(["new"]);
  });

  it("overwrites what was redacted, when its time has come", async () => {
    await using process = await startProcess(await freshDatabase());
    const { database, owners, services } = process;
    const { room_id, room_nid } = await createRoom(process, ALICE);
    const [sent, kept, topic] = (
      await owners.submit(room_id, [
        message(ALICE, "a secret that was said"),
        message(ALICE, "stays"),
        { type: "m.room.topic", sender: ALICE, state_key: "", content: { topic: "a secret topic" } },
      ])
    ).map(accepted);
    const redactions = [sent, topic].map((target) => ({
      type: "m.room.redaction",
      sender: ALICE,
      content: { redacts: target?.event_id ?? "" },
      ...(target !== undefined && { redacts: target.event_id }),
    }));
    (await owners.submit(room_id, redactions)).forEach(accepted);
    const secrets = async (): Promise<number> => {
      const rows = await timelineForwards(database, room_nid, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, 100);
      expect(rows.some(({ event_id, json }) => event_id === kept?.event_id && json.includes("stays"))).to.equal(true);
      return rows.filter(({ json }) => json.includes("secret")).length;
    };
    await keepHouse(database, services.clock, { redactedContentDays: 1 });
    expect(await secrets()).to.equal(2);
    await keepHouse(database, services.clock, { redactedContentDays: 0 });
    expect(await secrets()).to.equal(0);
    expect((await fsck(database)).problems).to.deep.equal([]);
    const left = await database.read<{ count: number }>({ name: "left", text: "SELECT count(*) AS count FROM redacted_contents" }, []);
    expect(left).to.deep.equal([{ count: 0 }]);
  });
});
