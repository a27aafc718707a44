// The disk under everything is full: uploads and messages are refused in words that clients understand, nothing stays half done, reading
// goes on, and so does all else when there is room again. The disk is a small one in memory, which the server alone sees.
import { spawnSync } from "node:child_process";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { matrixRequest, ok } from "../support/matrix-request.js";
import { killPostgres } from "./embedded-server.js";

const V3 = "/_matrix/client/v3";
const SIZE_MB = 160;
const CHUNK = Buffer.alloc(1_048_576);
const MOUNT = 'mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"';
/** What runs a program with a disk of its own at a folder; its process is the program's. */
const onSmallDisk = (folder: string, megabytes: number): [string, ...string[]] => ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, `${megabytes}m`, folder];

const [UNSHARE, ...WORDS] = onSmallDisk(tmpdir(), 1);
const hasSmallDisks = spawnSync(UNSHARE, [...WORDS, "true"]).status === 0;

/** Takes all the room that is left; gives back what it took when it is called again. */
async function fill(file: string): Promise<() => Promise<void>> {
  await using handle = await open(file, "w");
  try {
    for (;;) await handle.write(CHUNK);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
  return () => rm(file);
}

describe("faults: disk", () => {
  (hasSmallDisks ? it : it.skip)("a full disk refuses clearly, loses nothing, and heals (unshare and tmpfs are needed)", async function () {
    this.timeout(600_000);
    await using folder = await temporaryFolder();
    const data = join(folder.path, "data");
    await mkdir(data);
    const settings = { registration: { open: true }, rate_limits: { enabled: false }, passwords: { memory_kib: 8, iterations: 1 } };
    const server = await ServerProcess.start(folder.path, settings, undefined, { under: onSmallDisk(data, SIZE_MB) });
    // The disk as the server sees it.
    const inside = join("/proc", String(server.pid), "root", data);
    try {
      const registered = await ok(matrixRequest(server.url), "POST", `${V3}/register`, { username: "alice", password: "secret of alice", auth: { type: "m.login.dummy" } });
      const request = matrixRequest(server.url, stringAt(registered, "access_token"));
      const room = encodeURIComponent(stringAt(await ok(request, "POST", `${V3}/createRoom`, {}), "room_id") ?? "");
      const sent: string[] = [];
      let number = 0;
      const send = async (): Promise<{ status: number; body: unknown }> => {
        const body = `${(number += 1)}${"x".repeat(50_000)}`;
        const answer = await request("PUT", `${V3}/rooms/${room}/send/m.room.message/${number}`, { msgtype: "m.text", body }, AbortSignal.timeout(60_000));
        if (answer.status === 200) sent.push(stringAt(answer.body, "event_id") ?? "");
        return answer;
      };
      const headers = { authorization: `Bearer ${stringAt(registered, "access_token")}` };
      const upload = async (): Promise<Response> => await fetch(`${server.url}/_matrix/media/v3/upload`, { method: "POST", headers, body: Buffer.concat([CHUNK, CHUNK]) });
      expect((await send()).status).to.equal(200);
      expect((await upload()).status).to.equal(200);

      const free = await fill(join(inside, "filler"));
      const before = await readdir(join(inside, "media"), { recursive: true });
      const refused = await upload();
      expect([refused.status, stringAt(await refused.json(), "errcode"), refused.headers.has("retry-after")]).to.deep.equal([507, "M_UNKNOWN", true]);
      expect(await readdir(join(inside, "media"), { recursive: true })).to.deep.equal(before);
      // Messages are taken while PostgreSQL has room in the files that it has, which is not for long.
      const no = await eventually("a message is refused", async () => {
        const answer = await send();
        return answer.status === 200 ? undefined : answer;
      }, 180_000);
      expect([no.status, stringAt(no.body, "errcode")]).to.deep.equal([503, "M_UNKNOWN"]);
      expect((await fetch(`${server.url}/_matrix/client/versions`)).status).to.equal(200);
      expect((await fetch(`${server.url}/health`)).status).to.equal(200);
      await sleep(500);

      await free();
      await eventually("messages are taken again", async () => (await send().catch(() => undefined))?.status === 200, 180_000);
      expect((await upload()).status).to.equal(200);
      const found = new Set<string>();
      for (let from = ""; ; ) {
        const page = await ok(request, "GET", `${V3}/rooms/${room}/messages?dir=b&limit=100${from}`);
        for (const event of objectsAt(page, "chunk")) found.add(stringAt(event, "event_id") ?? "");
        const end = stringAt(page, "end");
        if (end === undefined) break;
        from = `&from=${end}`;
      }
      expect(sent.filter((id) => !found.has(id))).to.deep.equal([]);
      await server.stop();
    } finally {
      await server.kill();
      // Where the test has failed PostgreSQL is still there.
      await killPostgres(inside).catch(() => undefined);
    }
  });
});
