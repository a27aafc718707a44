// The server's wall clock is put forwards and back by hours under traffic: nothing is lost or stuck, and lifetimes follow it.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { matrixRequest, ok } from "../support/matrix-request.js";
import { seeded } from "../support/rooms.js";
import { killPostgres } from "./embedded-server.js";
import { inspectRooms, inspectSyncs } from "./inspection.js";
import { Traffic } from "./traffic.js";

const V3 = "/_matrix/client/v3";
const HOUR_MS = 3_600_000;
const PRELOAD = pathToFileURL("dist/test/support/stepped-clock.js").href;

describe("faults: clock", () => {
  it("steps of hours lose nothing and leave nothing waiting", async function () {
    this.timeout(600_000);
    await using folder = await temporaryFolder();
    const file = join(folder.path, "ahead");
    const putAhead = (hours: number): Promise<void> => writeFile(file, String(hours * HOUR_MS));
    await putAhead(0);
    const settings = { registration: { open: true }, rate_limits: { enabled: false }, passwords: { memory_kib: 8, iterations: 1 }, tokens: { access_lifetime: 600 } };
    const server = await ServerProcess.start(folder.path, settings, undefined, { env: { NODE_OPTIONS: `--import=${PRELOAD}`, TEST_CLOCK_AHEAD_FILE: file } });
    try {
      const traffic = await Traffic.prepare(server.url, seeded(5));
      const [room = ""] = traffic.rooms;
      const path = `${V3}/rooms/${encodeURIComponent(room)}`;
      const reader = traffic.reader;
      const latest = async (): Promise<readonly Record<string, unknown>[]> => objectsAt(await ok(reader.request, "GET", `${path}/messages?dir=b&limit=30`), "chunk");
      const goOn = (): Promise<boolean> => {
        const goal = traffic.acknowledged.size + 20;
        return eventually("people write", () => traffic.acknowledged.size >= goal, 120_000);
      };
      const anybody = matrixRequest(server.url);
      const session = await ok(anybody, "POST", `${V3}/register`, { username: "renewer", password: "secret of renewer", refresh_token: true, auth: { type: "m.login.dummy" } });
      const renewer = (token: string | undefined): ReturnType<typeof anybody> => matrixRequest(server.url, token)("GET", `${V3}/account/whoami`);
      traffic.start();
      await goOn();

      await putAhead(3);
      await eventually("the server's clock is ahead", async () => (await latest()).some(({ origin_server_ts }) => Number(origin_server_ts) > Date.now() + HOUR_MS));
      await goOn();
      // A lifetime that is over is over; the session goes on with its refresh token.
      const expired = await renewer(stringAt(session, "access_token"));
      expect([expired.status, stringAt(expired.body, "errcode")]).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
      expect(expired.body).to.have.property("soft_logout", true);
      const renewed = await ok(anybody, "POST", `${V3}/refresh`, { refresh_token: stringAt(session, "refresh_token") });
      expect((await renewer(stringAt(renewed, "access_token"))).status).to.equal(200);
      // To be sent in 15 seconds: by the clock as it will be, in more than nine hours.
      await ok(reader.request, "PUT", `${path}/send/m.room.message/delayed?org.matrix.msc4140.delay=15000`, { msgtype: "m.text", body: "delayed" });
      await putAhead(-6);
      await ok(reader.request, "PUT", `${path}/typing/${reader.user_id}`, { typing: true, timeout: 2_000 });
      await goOn();
      expect((await renewer(stringAt(renewed, "access_token"))).status).to.equal(200);

      await putAhead(0);
      await goOn();
      await putAhead(-3);
      await goOn();
      await traffic.stop();
      await eventually("the delayed event is sent", async () => (await latest()).some((event) => stringAt(event, "content", "body") === "delayed"), 60_000);
      const typing = async (): Promise<unknown[]> => {
        const sync = await ok(reader.request, "GET", `${V3}/sync?filter=${encodeURIComponent(JSON.stringify({ room: { rooms: [room] } }))}`);
        const rooms = (sync as { rooms?: { join?: Record<string, { ephemeral?: { events?: { type: string; content: { user_ids?: string[] } }[] } }> } }).rooms?.join;
        return rooms?.[room]?.ephemeral?.events?.flatMap(({ type, content }) => (type === "m.typing" ? (content.user_ids ?? []) : [])) ?? [];
      };
      await eventually("nobody types any longer", async () => (await typing()).length === 0);
      expect([...(await inspectRooms(traffic)), ...(await inspectSyncs(traffic)), ...traffic.problems]).to.deep.equal([]);
      const problems: unknown = JSON.parse(await server.command("fsck", "--json"));
      expect(problems).to.have.deep.property("problems", []);
    } finally {
      await server.kill();
      await killPostgres(join(folder.path, "data"));
    }
  });
});
