// kill -9 of a server and of its PostgreSQL in the middle of claims: no one-time key is ever given out twice, and uploads that were
// answered are there.
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { objectAt } from "../support/json-path.js";
import { ok } from "../support/matrix-request.js";
import { registerDevice, SETTINGS } from "./device.js";
import { killPostgres } from "./embedded-server.js";

const V3 = "/_matrix/client/v3";
const KEYS = 300;
const KILLS = 3;

describe("one-time keys over the end of processes", () => {
  it("are given out once each", async function () {
    this.timeout(600_000);
    await using folder = await temporaryFolder();
    const server = await ServerProcess.start(folder.path, SETTINGS);
    try {
      const { request, user, device } = await registerDevice(server.url, "alice");
      const one_time_keys = Object.fromEntries(Array.from({ length: KEYS }, (_, n) => [`curve25519:${n}`, `key ${n}`]));
      await ok(request, "POST", `${V3}/keys/upload`, { one_time_keys });
      const given: string[] = [];
      let empty = false;
      const claiming = Array.from({ length: 10 }, async () => {
        while (!empty) {
          try {
            const answer = await ok(request, "POST", `${V3}/keys/claim`, { one_time_keys: { [user]: { [device]: "curve25519" } } });
            const [key] = Object.keys(objectAt(answer, "one_time_keys", user, device));
            if (key === undefined) empty = true;
            else given.push(key);
            // A client that knows nothing of the answer to its upload sends it again.
            if (given.length % 50 === 0) await ok(request, "POST", `${V3}/keys/upload`, { one_time_keys });
          } catch {
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        }
      });
      for (let kill = 1; kill <= KILLS; kill += 1) {
        await eventually("some more are claimed", () => empty || given.length >= (kill * KEYS) / (KILLS + 2), 180_000);
        if (kill === KILLS) await killPostgres(`${folder.path}/data`);
        await server.kill();
        await server.restart();
      }
      await Promise.all(claiming);
      expect(new Set(given).size, "no key twice").to.equal(given.length);
      // Of each claim whose answer was lost at most one key is lost.
      expect(given.length).to.be.within(KEYS - 10 * KILLS, KEYS);
    } finally {
      await server.kill();
      await killPostgres(`${folder.path}/data`);
    }
  });
});
