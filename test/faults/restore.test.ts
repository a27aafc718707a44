// A database is put back from a backup: it is sound, clients go on where it knows them and begin anew where it does not, and nothing that
// was given out since the backup is given out again.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parseToken } from "../../src/rooms/token.js";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { markRestored } from "../../src/storage/epoch.js";
import { fsck } from "../../src/storage/fsck.js";
import { openEncrypted } from "../e2e/encrypted-application.js";
import type { Session } from "../e2e/application.js";
import { deviceOf } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { freshDatabase, restoredDatabase } from "../support/postgres.js";
import { type Answer, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";
import { slidingSync } from "../support/sliding-client.js";

const V3 = "/_matrix/client/v3";

describe("faults: restore", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hansa-restore-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const start = (address: DatabaseAddress): Promise<TestServer> => startTestServer({ media: { folder } }, address);
  const say = async (client: TestClient, room: string, text: string): Promise<void> => {
    const answer = await client.put(`${V3}/rooms/${encodeURIComponent(room)}/send/m.room.message/${text}`, { msgtype: "m.text", body: text });
    expect(answer.status).to.equal(200);
  };
  const sync = async (client: TestClient, since?: string): Promise<{ token: string; position: number; texts: unknown[]; keys: unknown; limited: unknown }> => {
    const { status, body } = await client.get(`${V3}/sync${since === undefined ? "" : `?since=${since}`}`);
    expect(status).to.equal(200);
    const [joined] = Object.values(objectAt(body, "rooms", "join"));
    const token = stringAt(body, "next_batch") ?? "";
    const parsed = parseToken(token);
    return {
      token,
      position: parsed?.position ?? 0,
      texts: joined === undefined ? [] : objectsAt(joined, "timeline", "events").flatMap((event) => stringAt(event, "content", "body") ?? []),
      keys: objectAt(body, "device_one_time_keys_count")["signed_curve25519"],
      limited: joined === undefined ? undefined : objectAt(joined, "timeline")["limited"],
    };
  };

  it("clients go on, and nothing is given out twice", async () => {
    const address = await freshDatabase();
    let alice: TestClient;
    let room: string;
    let known: Awaited<ReturnType<typeof sync>>;
    let uri: string;
    {
      await using server = await start(address);
      alice = await server.register("alice");
      room = await roomOf(alice);
      await say(alice, room, "kept");
      const device = deviceOf(alice);
      expect((await alice.post(`${V3}/keys/upload`, { device_keys: device.device_keys, one_time_keys: device.oneTimeKeys("one", "two") })).status).to.equal(200);
      const uploaded = await fetch(`${server.url}/_matrix/media/v3/upload`, { method: "POST", body: "a picture", headers: { authorization: `Bearer ${alice.access_token}` } });
      uri = (stringAt(await uploaded.json(), "content_uri") ?? "").slice("mxc://".length);
      known = await sync(alice);
      expect(known.keys).to.equal(2);
    }
    const copy = await restoredDatabase(address);
    let lost: typeof known;
    {
      await using server = await start(address);
      alice = server.client(alice);
      for (const text of ["lost-1", "lost-2"]) await say(alice, room, text);
      const claim = { one_time_keys: { [alice.user_id]: { [alice.device_id]: "signed_curve25519" } } };
      expect((await alice.post(`${V3}/keys/claim`, claim)).status).to.equal(200);
      lost = await sync(alice, known.token);
      expect([lost.texts, lost.keys]).to.deep.equal([["lost-1", "lost-2"], 1]);
    }
    await using server = await start(copy);
    alice = server.client(alice);
    await say(alice, room, "new");
    // Who knows less than the backup goes on; who knows more is given everything again, and not told that it comes after what they have.
    expect(await sync(alice, known.token)).to.deep.include({ texts: ["new"], limited: false });
    const again = await sync(alice, lost.token);
    expect(again.texts).to.include.members(["kept", "new"]).and.to.not.include("lost-1");
    expect(again.position).to.be.greaterThan(lost.position);
    expect(await sync(alice, again.token)).to.deep.include({ texts: [] });
    // One of the keys may have been claimed since the backup, nobody knows which: the device is to upload others.
    expect(again.keys ?? 0).to.equal(0);
    const download = await fetch(`${server.url}/_matrix/client/v1/media/download/${uri}`, { headers: { authorization: `Bearer ${alice.access_token}` } });
    expect(await download.text()).to.equal("a picture");
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });

  it("a standby takes over: who waits goes on where they were, hears at once that keys are gone, and uploads others", async () => {
    const address = await freshDatabase();
    await using server = await start(address);
    const alice = await server.register("alice");
    const room = await roomOf(alice);
    await say(alice, room, "before");
    const device = deviceOf(alice);
    await alice.post(`${V3}/keys/upload`, { device_keys: device.device_keys, one_time_keys: device.oneTimeKeys("one", "two") });
    const bob = await server.register("bob");
    const session: Session = { userId: bob.user_id, deviceId: bob.device_id, accessToken: bob.access_token };
    const application = await openEncrypted(server.url, session, { password: "" });
    const claimable = async (): Promise<unknown> => {
      const { body } = await alice.post(`${V3}/keys/claim`, { one_time_keys: { [bob.user_id]: { [bob.device_id]: "signed_curve25519" } } });
      return Object.values(objectAt(body, "one_time_keys", bob.user_id, bob.device_id)).some((key) => typeof key === "object" && key !== null && !("fallback" in key));
    };
    await eventually("one-time keys of the application", claimable);

    const { token: since } = await sync(alice);
    const encryption = (pos?: string, timeoutMs = 0): Promise<Answer> =>
      slidingSync(alice, { conn_id: "encryption", extensions: { e2ee: { enabled: true } } }, pos, timeoutMs);
    const pos = stringAt((await encryption()).body, "pos");
    const waiting = [alice.get(`${V3}/sync?since=${since}&timeout=60000`), encryption(pos, 60_000)];
    // As the database looks to a server whose PostgreSQL was promoted.
    {
      await using other = await Database.open({ address, poolSize: 1 });
      await other.write({ name: "promoted", text: "UPDATE epochs SET timeline = timeline - 1 WHERE epoch = (SELECT max(epoch) FROM epochs)" }, []);
      const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()";
      await other.read({ name: "cut", text: cut }, []);
    }
    const began = Date.now();
    const [woken, slid] = await Promise.all(waiting);
    expect(Date.now() - began, "at once").to.be.lessThan(30_000);
    expect(objectAt(woken?.body, "device_one_time_keys_count")["signed_curve25519"]).to.equal(0);
    expect(objectAt(slid?.body, "extensions", "e2ee", "device_one_time_keys_count")["signed_curve25519"]).to.equal(0);
    await eventually("the application has uploaded others", claimable);
    application.stopClient();
    // What they were given while it happened is worth something afterwards, too.
    await eventually("it goes on", async () => (await alice.put(`${V3}/rooms/${encodeURIComponent(room)}/send/m.room.message/after`, { msgtype: "m.text", body: "after" })).status === 200);
    expect(await sync(alice, stringAt(woken?.body, "next_batch"))).to.deep.include({ texts: ["after"], limited: false });
    expect((await encryption(stringAt(slid?.body, "pos"))).status).to.equal(200);
  });

  it("files that were put back need a word, since they look as they did", async () => {
    const address = await freshDatabase();
    let alice: TestClient;
    let room: string;
    let epochs: number;
    {
      await using server = await start(address);
      alice = await server.register("alice");
      room = await roomOf(alice);
      epochs = parseEpoch((await sync(alice)).token);
    }
    {
      await using server = await start(address);
      expect(parseEpoch((await sync(server.client(alice))).token)).to.equal(epochs);
    }
    await using database = await Database.open({ address, poolSize: 1 });
    // Also time and again with nothing in between, as of somebody who tries.
    for (let times = 0; times < 3; times += 1) {
      await markRestored(database);
      await using server = await start(address);
      expect(parseEpoch((await sync(server.client(alice))).token)).to.equal((epochs += 1));
    }
    await markRestored(database);
    await using server = await start(address);
    const after = await sync(server.client(alice));
    expect(parseEpoch(after.token)).to.equal(epochs + 1);
    await say(server.client(alice), room, "new");
    expect((await sync(server.client(alice), after.token)).texts).to.deep.equal(["new"]);
  });
});

function parseEpoch(token: string): number {
  const parsed = parseToken(token);
  if (parsed?.kind !== "sync") throw new Error(`${token} is no token of /sync`);
  return parsed.epoch;
}
