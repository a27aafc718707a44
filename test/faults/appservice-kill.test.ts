// An application service while the server's process is killed again and again: what users were told is sent, it hears of.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { registerOwn, startAppService } from "../support/application-service.js";
import { eventually } from "../support/eventually.js";
import { stringAt } from "../support/json-path.js";
import { seeded } from "../support/rooms.js";
import { testClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const ROUNDS = 3;

describe("an application service of a server that is killed", () => {
  it("hears of everything, of nothing twice under another transaction, and in the order of the log", async function () {
    this.timeout(600_000);
    const seed = Number(process.env["SEED"] ?? Date.now());
    const next = seeded(seed);
    await using folder = await temporaryFolder();
    await using bridge = await startAppService();
    const settings = {
      data_folder: join(folder.path, "data"),
      app_services: [bridge.file],
      rate_limits: { enabled: false },
    };
    await using running = await ServerProcess.start(folder.path, settings);
    const server: Pick<TestServer, "client"> = { client: (session) => testClient(running.url, session) };
    const ghost = await registerOwn(bridge, server, "_bridge_ghost");
    const room = stringAt((await bridge.request(server, "POST", `${V3}/createRoom`, {}, ghost)).body, "room_id") ?? "";
    const acknowledged: string[] = [];
    const say = async (txn: string): Promise<void> => {
      const path = `${V3}/rooms/${room}/send/m.room.message/${txn}`;
      try {
        const { body } = await bridge.request(server, "PUT", path, { msgtype: "m.text", body: txn }, ghost);
        const event = stringAt(body, "event_id");
        if (event !== undefined) acknowledged.push(event);
      } catch (error) {
        // The server was killed: this may or may not have happened.
        if (!(error instanceof TypeError)) throw error;
      }
    };
    for (let round = 0; round < ROUNDS; round++) {
      const traffic = Array.from({ length: 4 }, async (_, writer) => {
        for (let i = 0; i < 15; i++) await say(`${round}-${writer}-${i}`);
      });
      bridge.answer = () => (next() < 0.2 ? { status: 502 } : undefined);
      await sleep(50 + next() * 250);
      await running.kill();
      await Promise.all(traffic);
      bridge.answer = () => undefined;
      await running.restart();
    }
    await say("last");
    const ids = (): string[] => bridge.events().filter(({ type }) => type === "m.room.message").map((event) => stringAt(event, "event_id") ?? "");
    await eventually("the last message", () => ids().includes(acknowledged.at(-1) ?? ""), 180_000);
    const heard = ids();
    expect(acknowledged.filter((id) => !heard.includes(id)), `SEED=${seed}`).to.deep.equal([]);
    const timeline = await bridge.request(server, "GET", `${V3}/rooms/${room}/messages?dir=f&limit=1000`, undefined, ghost);
    const chunk = timeline.body["chunk"];
    const inRoom = (Array.isArray(chunk) ? chunk : []).filter((event) => stringAt(event, "type") === "m.room.message").map((event) => stringAt(event, "event_id"));
    expect(heard, `SEED=${seed}`).to.deep.equal(inRoom);
  });
});
