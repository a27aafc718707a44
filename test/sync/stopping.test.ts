// A process that stops says nothing of what it does not know.
import { expect } from "chai";
import { systemClock } from "../../src/clock.js";
import { MatrixError } from "../../src/errors.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { Database } from "../../src/storage/database.js";
import { LogFollower } from "../../src/storage/log.js";
import { isKnown } from "../../src/sync/open-sync.js";
import { freshDatabase } from "../support/postgres.js";

describe("a process that stops", () => {
  it("does not take a token that another gave out for one that nobody knows", async () => {
    await using database = await Database.open({ address: await freshDatabase(), poolSize: 2 });
    await using bus = new MemoryBus();
    await using follower = await LogFollower.start(database, bus, systemClock);
    const stopping = new AbortController();
    const ahead = { epoch: follower.epochs.at(-1)?.epoch ?? 0, position: follower.head + 1, ephemeral: 0 };
    const asked = isKnown(follower, { kind: "sync", ...ahead }, stopping.signal).catch((error: unknown) => error);
    stopping.abort();
    expect(await asked).to.be.instanceOf(MatrixError).with.property("status", 503);
  });
});
