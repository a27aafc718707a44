// A database is put back to a moment in the past, from a copy of its files and the log that was archived since: what was given out after
// that moment is not believed and not given out again, and the server's own events that it has lost come back from a server that has them.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { parseToken } from "../../src/rooms/token.js";
import { Database } from "../../src/storage/database.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { fsck } from "../../src/storage/fsck.js";
import { deviceOf } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { type FederatingServer, federationSettings, startFederatingServer } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { type JsonObject, numberAt, objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const run = promisify(execFile);

describe("faults: point in time", () => {
  let folder: string;
  let there: FederatingServer;
  const running: AsyncDisposable[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hansa-point-"));
    there = await startFederatingServer();
  });
  after(async () => {
    for (const part of running.toReversed()) await part[Symbol.asyncDispose]();
    await there[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const addressOf = ({ socketFolder, user }: EmbeddedPostgres) => ({ socketFolder, user, database: "postgres" });

  it("a server goes on from a moment before its last words, and hears them from others", async () => {
    const archive = join(folder, "archive");
    await mkdir(archive, { mode: 0o777 });
    const port = await freePort();
    const name = `localhost:${port}`;
    const start = (postgres: EmbeddedPostgres): Promise<TestServer> =>
      startTestServer({ ...federationSettings(port), servers: [{ name }] }, addressOf(postgres));
    const sync = async (client: TestClient, since?: string): Promise<{ token: string; position: number; body: JsonObject }> => {
      const { status, body } = await client.get(`${V3}/sync?set_presence=offline${since === undefined ? "" : `&since=${since}`}`);
      expect(status).to.equal(200);
      const token = stringAt(body, "next_batch") ?? "";
      return { token, position: parseToken(token)?.position ?? 0, body };
    };
    let sent = 0;
    const say = async (client: TestClient, room: string, body: string): Promise<string> => {
      const answer = await client.put(`${V3}/rooms/${room}/send/m.room.message/${body}-${(sent += 1)}`, { msgtype: "m.text", body });
      expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
      return stringAt(answer.body, "event_id") ?? "";
    };
    const has = async (client: TestClient, room: string, event: string): Promise<boolean> => (await client.get(`${V3}/rooms/${room}/event/${event}`)).status === 200;
    const bob = await there.register("bob");
    /** What the last change of alice's devices was numbered when others were told. */
    const streamOf = async (database: Database): Promise<number> => {
      const text = "SELECT stream_id FROM device_lists JOIN users ON nid = user_nid WHERE user_id = $1";
      return (await database.read<{ stream_id: number }>({ name: "test_stream", text }, [alice.user_id]))[0]?.stream_id ?? 0;
    };

    const first = await EmbeddedPostgres.start({
      dataFolder: join(folder, "first"),
      settings: { wal_level: "replica", archive_mode: "on", archive_command: `cp %p ${archive}/%f` },
    });
    running.push(first);
    let server = await start(first);
    let alice = await server.register("alice");
    const device = deviceOf(alice);
    const room = encodeURIComponent(stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "");
    expect((await bob.post(`${V3}/join/${room}?via=${name}`)).status).to.equal(200);
    expect((await alice.post(`${V3}/keys/upload`, { device_keys: device.device_keys, one_time_keys: device.oneTimeKeys("one", "two") })).status).to.equal(200);
    const query = async (): Promise<JsonObject> => objectAt((await bob.post(`${V3}/keys/query`, { device_keys: { [alice.user_id]: [] } })).body, "device_keys", alice.user_id);

    // The copy.
    await using outside = await Database.open({ address: addressOf(first), poolSize: 1 });
    const administrator = await outside.connect();
    await administrator.query("SELECT pg_backup_start('copy', true)");
    await mkdir(join(folder, "second"));
    await run("cp", ["-a", join(folder, "first", "postgres"), join(folder, "second", "postgres")]);
    const { rows } = await administrator.query<{ labelfile: string }>("SELECT labelfile FROM pg_backup_stop(false)");
    const restored = join(folder, "second", "postgres");
    await run("sh", ["-c", 'rm -rf "$0/postmaster.pid" "$0/pg_wal"/0* && cp -a "$0/PG_VERSION" "$0/recovery.signal" && cp -a "$0/PG_VERSION" "$0/backup_label"', restored]);
    await writeFile(join(restored, "recovery.signal"), "");
    await writeFile(join(restored, "backup_label"), rows[0]?.labelfile ?? "");

    const kept = await say(alice, room, "kept");
    await eventually("bob has it", () => has(bob, room, kept));
    const known = await sync(alice);
    await administrator.query("SELECT pg_create_restore_point('here')");

    // What will be lost.
    const lost = await say(alice, room, "lost");
    await eventually("bob has what will be lost", () => has(bob, room, lost));
    const claim = { one_time_keys: { [alice.user_id]: { [alice.device_id]: "signed_curve25519" } } };
    const claimed = Object.keys(objectAt((await bob.post(`${V3}/keys/claim`, claim)).body, "one_time_keys", alice.user_id, alice.device_id));
    expect(claimed).to.have.length(1);
    const second = await server.login("alice");
    expect((await second.post(`${V3}/keys/upload`, { device_keys: deviceOf(second).device_keys })).status).to.equal(200);
    await eventually("bob knows the new device", async () => second.device_id in (await query()));
    const streamBefore = await streamOf(server.database);
    expect(streamBefore).to.be.greaterThan(0);
    const ahead = await sync(alice, known.token);
    await server[Symbol.asyncDispose]();
    const { rows: last } = await administrator.query<{ file: string }>("SELECT pg_walfile_name(pg_switch_wal()) AS file");
    await eventually("the log is archived", async () => {
      const found = await administrator.query<{ done: boolean }>("SELECT last_archived_wal >= $1 AS done FROM pg_stat_archiver", [last[0]?.file]);
      return found.rows[0]?.done === true;
    });
    await administrator.end();
    await outside.close();
    await first.stop();

    const back = await EmbeddedPostgres.start({
      dataFolder: join(folder, "second"),
      settings: { restore_command: `cp ${archive}/%f %p`, recovery_target_name: "here", recovery_target_action: "promote", hot_standby: "off" },
    });
    running.push(back);
    server = await start(back);
    alice = server.client(alice);
    // Who knows less than what is there goes on; who knows more begins anew.
    const goesOn = await sync(alice, known.token);
    expect(objectAt(goesOn.body, "rooms", "join")).to.deep.equal({});
    await say(alice, room, "first of all");
    const anew = await sync(alice, ahead.token);
    const texts = objectsAt(anew.body, "rooms", "join", decodeURIComponent(room), "timeline", "events").flatMap((event) => stringAt(event, "content", "body") ?? []);
    expect(texts).to.include("kept").and.to.not.include("lost");
    expect(anew.position).to.be.greaterThan(ahead.position);
    expect(numberAt(anew.body, "device_one_time_keys_count", "signed_curve25519") ?? 0, "none is given out twice").to.equal(0);
    expect(Object.keys(objectAt((await bob.post(`${V3}/keys/claim`, claim)).body, "one_time_keys"))).to.deep.equal([]);

    // Others are told of devices from where they were.
    expect((await server.client(second).get(`${V3}/account/whoami`)).status).to.equal(401);
    const third = await server.login("alice");
    expect((await third.post(`${V3}/keys/upload`, { device_keys: deviceOf(third).device_keys })).status).to.equal(200);
    await eventually("bob knows which devices there are", async () => JSON.stringify(Object.keys(await query()).toSorted()) === JSON.stringify([alice.device_id, third.device_id].toSorted()));
    await eventually("the stream has gone on", async () => (await streamOf(server.database)) > streamBefore);

    // Bob's next event names what was lost.
    const answer = await say(bob, room, "I heard you");
    await eventually("it is here", () => has(alice, room, answer));
    await eventually("what was lost is back", () => has(alice, room, lost));
    const more = await say(alice, room, "more");
    await eventually("bob hears on", () => has(bob, room, more));
    for (const { database } of [server, there]) expect((await fsck(database)).problems).to.deep.equal([]);
    await server[Symbol.asyncDispose]();
  });
});
