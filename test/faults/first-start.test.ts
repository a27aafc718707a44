// The first start is killed again and again, at moments that come later and later, and begun anew at once: what is half made stands in
// nobody's way, and the server comes to be.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { ok } from "../support/matrix-request.js";
import { connectTo, killPostgres } from "./embedded-server.js";
import { register } from "./traffic.js";

const KILLS = 14;
const STEP_MS = 250;
const MAIN = resolve("dist/src/main.js");

describe("faults: first start", () => {
  it("is killed at any moment, and the next one goes on", async () => {
    await using folder = await temporaryFolder();
    const data = join(folder.path, "data");
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const env = { PATH: process.env["PATH"], HANSA_DATA_FOLDER: data, HANSA_LISTEN_PORT: "0" };
      const child = spawn(process.execPath, [MAIN, "serve"], { env, stdio: ["ignore", "ignore", "pipe"] });
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
      const ended = once(child, "exit");
      await Promise.race([ended, sleep(kill * STEP_MS)]);
      child.kill("SIGKILL");
      await ended;
      expect(child.signalCode, said).to.equal("SIGKILL");
    }
    const settings = { registration: { open: true }, passwords: { memory_kib: 8, iterations: 1 } };
    const server = await ServerProcess.start(folder.path, settings);
    try {
      const { request } = await register(server.url, "alice");
      expect(stringAt(await ok(request, "POST", "/_matrix/client/v3/createRoom", {}), "room_id")).to.match(/^!/);
      expect(objectsAt(JSON.parse(await server.command("fsck", "--json")), "problems")).to.deep.equal([]);
      const administrator = await connectTo(data);
      const { rows } = await administrator.query("SELECT name FROM knex_migrations GROUP BY name HAVING count(*) > 1");
      await administrator.end();
      expect(rows).to.deep.equal([]);
    } finally {
      await server.kill();
      await killPostgres(data).catch(() => undefined);
    }
  });
});
