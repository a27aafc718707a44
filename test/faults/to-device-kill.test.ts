// kill -9 of a server in the middle of messages to a device: what was answered comes, once, in its order; delayed events too.
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { ok } from "../support/matrix-request.js";
import { registerDevice, SETTINGS } from "./device.js";
import { killPostgres } from "./embedded-server.js";

const V3 = "/_matrix/client/v3";
const MESSAGES = 150;
const KILLS = 3;

describe("messages to a device over the end of processes", () => {
  it("are told once each, in order, from the tokens of before", async function () {
    this.timeout(600_000);
    await using folder = await temporaryFolder();
    const server = await ServerProcess.start(folder.path, SETTINGS);
    try {
      const [alice, bob] = await Promise.all([registerDevice(server.url, "alice"), registerDevice(server.url, "bob")]);
      const room = stringAt(await ok(alice.request, "POST", `${V3}/createRoom`), "room_id");
      await ok(alice.request, "PUT", `${V3}/rooms/${room}/delayed_event/m.test/last`, { delay: 3_000, content: {}, state_key: "" });

      const got: unknown[] = [];
      let since: string | undefined;
      // A step counts when its answer has come: one that was lost is made again from the same token.
      const step = async (): Promise<number> => {
        const body = await ok(bob.request, "GET", `${V3}/sync?timeout=0${since === undefined ? "" : `&since=${since}`}`);
        const events = objectsAt(body, "to_device", "events");
        got.push(...events.map((event) => objectAt(event, "content")["n"]));
        since = stringAt(body, "next_batch");
        return events.length;
      };
      const whileUp = async <Result>(work: () => Promise<Result>): Promise<Result> => {
        for (;;) {
          try {
            return await work();
          } catch {
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        }
      };
      let sent = 0;
      const sending = (async () => {
        for (; sent < MESSAGES; sent += 1) {
          const messages = { [bob.user]: { [bob.device]: { n: sent } } };
          await whileUp(() => ok(alice.request, "PUT", `${V3}/sendToDevice/m.test/t${sent}`, { messages }));
        }
      })();
      const syncing = (async () => {
        while (got.length < MESSAGES) await whileUp(step);
      })();
      for (let kill = 1; kill <= KILLS; kill += 1) {
        await eventually("some more are sent", () => sent >= (kill * MESSAGES) / (KILLS + 1), 180_000);
        await server.kill();
        await server.restart();
      }
      await Promise.all([sending, syncing]);
      expect(await whileUp(step)).to.equal(0);
      expect(got).to.deep.equal(Array.from({ length: MESSAGES }, (_, n) => n));
      await eventually("the delayed event is sent", async () => {
        const { status } = await alice.request("GET", `${V3}/rooms/${room}/state/m.test/`);
        return status === 200;
      });
    } finally {
      await server.kill();
      await killPostgres(`${folder.path}/data`);
    }
  });
});
