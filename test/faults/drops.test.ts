// The database's connections are cut at random under traffic, as by a proxy between it and the server, or an administrator: nothing
// that was answered is lost, nothing is doubled, and all goes on when it is over.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { objectsAt } from "../support/json-path.js";
import { seeded } from "../support/rooms.js";
import { connectTo, killPostgres } from "./embedded-server.js";
import { inspectRooms, inspectSyncs } from "./inspection.js";
import { Traffic } from "./traffic.js";

const ROUNDS = 40;
const CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < $1";

describe("faults: dropped connections", () => {
  it("of the database lose and double nothing, and come back", async () => {
    const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
    const next = seeded(seed);
    await using folder = await temporaryFolder();
    const data = join(folder.path, "data");
    const settings = { registration: { open: true }, rate_limits: { enabled: false }, passwords: { memory_kib: 8, iterations: 1 } };
    const server = await ServerProcess.start(folder.path, settings);
    try {
      const traffic = await Traffic.prepare(server.url, next);
      const administrator = await connectTo(data);
      traffic.start();
      let dropped = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        // Now and then all of them.
        dropped += (await administrator.query(CUT, [round % 10 === 9 ? 2 : next()])).rows.length;
        await sleep(next() * 300);
      }
      await administrator.end();
      const goal = traffic.acknowledged.size + 3 * traffic.people;
      await eventually("everybody writes again", () => traffic.acknowledged.size >= goal, 120_000);
      await traffic.stop();
      expect(dropped).to.be.greaterThan(ROUNDS);
      const unknown = traffic.unknown.size;
      const problems = [...(await inspectRooms(traffic)), ...(await inspectSyncs(traffic)), ...traffic.problems];
      const report: unknown = JSON.parse(await server.command("fsck", "--json"));
      expect([problems, objectsAt(report, "problems")], `seed ${seed}, ${unknown} unknown`).to.deep.equal([[], []]);
    } finally {
      await server.kill();
      await killPostgres(data).catch(() => undefined);
    }
  });
});
