// An owner that is stopped longer than its lease and then goes on: the room has a new owner, and the old one cannot write.
import { fork, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { accepted } from "../../src/rooms/owner/draft.js";
import { timelineForwards } from "../../src/storage/events.js";
import { fsck } from "../../src/storage/fsck.js";
import { LEASE_SECONDS } from "../../src/storage/processes.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, message, startProcess, user } from "../support/rooms.js";

const OWNER = fileURLToPath(new URL("./owner-process.js", import.meta.url));
const ALICE = user("alice");

async function answer(child: ChildProcess): Promise<string> {
  return await new Promise((resolve) => child.once("message", (message) => resolve(JSON.stringify(message))));
}

describe("faults: lease", () => {
  it("an owner stopped past its lease cannot write when it goes on", async function () {
    this.timeout(600_000);
    const address = await freshDatabase();
    await using other = await startProcess(address);
    const { room_id, room_nid } = await createRoom(other, ALICE);
    // The room changes hands: its owner here gives it up and the child takes it.
    await other.database.write({ name: "free", text: "UPDATE rooms SET owner = NULL, revision = revision + 1" }, []);
    const child = fork(OWNER, [JSON.stringify(address), room_id], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    try {
      expect(await answer(child)).to.equal('"ready"');
      child.send("one");
      expect(await answer(child)).to.equal('"sent"');
      child.kill("SIGSTOP");
      // Asked while it is stopped, the child will find the question when it goes on.
      child.send("late");
      const started = performance.now();
      const [result] = await other.owners.submit(room_id, [message(ALICE, "two", "t2")]);
      accepted(result);
      expect(performance.now() - started).to.be.lessThan((LEASE_SECONDS + 60) * 1000);
      const late = answer(child);
      child.kill("SIGCONT");
      // It notices: the message is refused, or goes the right way through the new owner, but never past it.
      await late;
      accepted((await other.owners.submit(room_id, [message(ALICE, "three")]))[0]);
    } finally {
      child.kill("SIGKILL");
      await sleep(50);
    }
    const events = await timelineForwards(other.database, room_nid, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, 100);
    expect(events.map((event) => event.ordinal)).to.deep.equal(events.map((_, index) => index + 1));
    const depths = events.map((event) => event.depth);
    expect(new Set(depths).size, "two owners wrote side by side").to.equal(depths.length);
    expect((await fsck(other.database)).problems).to.deep.equal([]);
  });
});
