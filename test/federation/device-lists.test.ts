// Keys and device lists between servers: asked for, followed, and brought up to date after a gap.
import { expect } from "chai";
import { deviceOf, newKey, ownKey } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("device lists between servers", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  let sent = 0;
  before(async () => {
    [here, there, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    [alice, bob] = await Promise.all([here.register("alice"), there.register("bob")]);
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
  });
  after(async () => {
    for (const part of [here, there, peer]) await part[Symbol.asyncDispose]();
  });

  const query = async (): Promise<JsonObject> => (await alice.post(`${V3}/keys/query`, { device_keys: { [bob.user_id]: [] } })).body;
  const devices = async (): Promise<string[]> => Object.keys(objectAt(await query(), "device_keys", bob.user_id));
  const upload = async (client: TestClient): Promise<JsonObject> => {
    const device = deviceOf(client);
    expect((await client.post(`${V3}/keys/upload`, { device_keys: device.device_keys, one_time_keys: device.oneTimeKeys(`K${++sent}`) })).status).to.equal(200);
    return device.device_keys;
  };
  const sync = async (since?: string): Promise<JsonObject> =>
    (await alice.get(`${V3}/sync?set_presence=offline&timeout=${since === undefined ? 0 : 10_000}${since === undefined ? "" : `&since=${since}`}`)).body;
  let since = "";
  /** Waits until alice is told that bob's devices changed. */
  const told = async (): Promise<void> => {
    await eventually("alice is told of bob", async () => {
      const body = await sync(since);
      since = stringAt(body, "next_batch") ?? "";
      return JSON.stringify(objectAt(body, "device_lists")["changed"]).includes(bob.user_id);
    });
  };
  const list = async (): Promise<unknown> =>
    (await here.database.read({ name: "test_list", text: "SELECT stream_id, stale FROM remote_device_lists JOIN users ON nid = user_nid WHERE user_id = $1" }, [bob.user_id]))[0];
  const streamThere = async (): Promise<unknown> =>
    (await there.database.read({ name: "test_stream", text: "SELECT stream_id FROM device_lists JOIN users ON nid = user_nid WHERE user_id = $1" }, [bob.user_id]))[0];
  /** Waits until what alice's server has of bob is as new as what bob's has. */
  const inStep = (): Promise<unknown> =>
    eventually("the list is followed", async () => {
      const { stream_id } = { stream_id: undefined, ...((await streamThere()) as object) };
      return JSON.stringify(await list()) === JSON.stringify({ stream_id, stale: false });
    });

  it("keys are asked of the server that has them, and kept only where a room is shared", async () => {
    const first = await upload(bob);
    expect(objectAt(await query(), "device_keys", bob.user_id, bob.device_id)["keys"]).to.deep.equal(first["keys"]);
    expect(await list()).to.equal(undefined);
    since = stringAt(await sync(), "next_batch") ?? "";
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?via=${here.name}`)).status).to.equal(200);
    await told();
    expect(await devices()).to.deep.equal([bob.device_id]);
    // What bob's server says of his first upload may still come: the list is asked for once more then.
    await eventually("the list is kept", async () => !{ stale: true, ...((await list()) as object | undefined) }.stale);
    const answers = await Promise.all([1, 2].map(async () => await alice.post(`${V3}/keys/claim`, { one_time_keys: { [bob.user_id]: { [bob.device_id]: "signed_curve25519" } } })));
    const given = answers.map(({ body }) => Object.keys(objectAt(body, "one_time_keys", bob.user_id, bob.device_id)));
    expect(given.flat()).to.deep.equal(["signed_curve25519:K1"]);
  });

  it("changes are told and applied one after the other; after a gap the whole list is asked for", async () => {
    await upload(bob);
    await told();
    await inStep();
    const changed = await upload(bob);
    await told();
    await inStep();
    const shown = objectAt(await query(), "device_keys", bob.user_id, bob.device_id);
    expect(shown["keys"]).to.deep.equal(changed["keys"]);
    expect(shown["unsigned"], "names are not told").to.deep.equal({});
    const second = await there.login("bob");
    await told();
    await inStep();
    await upload(second);
    await told();
    await inStep();
    expect(await devices()).to.have.members([bob.device_id, second.device_id]);
    await here.database.write({ name: "test_gap", text: "UPDATE remote_device_lists SET stream_id = 1" }, []);
    await here.database.write({ name: "test_lost", text: "DELETE FROM remote_device_keys" }, []);
    await second.post(`${V3}/logout`);
    await told();
    await inStep();
    expect(await devices()).to.deep.equal([bob.device_id]);
  });

  it("a user's own keys are told", async () => {
    const [master, self] = [newKey(), newKey()];
    const master_key = ownKey(bob, "master", master);
    const self_signing_key = ownKey(bob, "self_signing", self, master);
    expect((await bob.post(`${V3}/keys/device_signing/upload`, { master_key, self_signing_key })).status).to.equal(200);
    await eventually("alice sees them", async () => bob.user_id in objectAt(await query(), "self_signing_keys"));
    const body = await query();
    expect(objectAt(body, "master_keys")[bob.user_id]).to.deep.equal(master_key);
    expect(objectAt(body, "self_signing_keys")[bob.user_id]).to.deep.equal(self_signing_key);
    await told();
  });

  it("what a server missed that was away for long it is told when it is back", async () => {
    const away = { name: "test_away", text: "UPDATE destinations SET failures = 9, first_failure_ts = 1, retry_ts = 9999999999999, catch_up_after = (SELECT max(position) FROM log) WHERE server_name = $1 RETURNING 1" };
    expect(await there.database.write(away, [here.name])).to.have.length(1);
    const changed = await upload(bob);
    await eventually("the log is read past it", async () => {
      const behind = { name: "test_behind", text: "SELECT FROM log_cursors WHERE name = 'federation' AND position < (SELECT max(position) FROM log)" };
      return (await there.database.read(behind, [])).length === 0;
    });
    await there.database.write({ name: "test_back", text: "UPDATE destinations SET retry_ts = 0 WHERE server_name = $1" }, [here.name]);
    await told();
    await inStep();
    expect(objectAt(await query(), "device_keys", bob.user_id, bob.device_id)["keys"]).to.deep.equal(changed["keys"]);
  });

  it("a list is no longer believed once no room is shared", async () => {
    await bob.post(`${V3}/rooms/${encodeURIComponent(room)}/leave`);
    await eventually("alice's server knows", async () => {
      const { body } = await alice.get(`${V3}/rooms/${encodeURIComponent(room)}/joined_members`);
      return !(bob.user_id in objectAt(body, "joined"));
    });
    const changed = await upload(bob);
    expect(objectAt(await query(), "device_keys", bob.user_id, bob.device_id)["keys"]).to.deep.equal(changed["keys"]);
  });

  it("servers that cannot be asked are named, and nobody is told of others' users", async () => {
    const { body } = await alice.post(`${V3}/keys/query`, { timeout: 2_000, device_keys: { "@carol:127.0.0.1:9": [], [alice.user_id]: [] } });
    expect(Object.keys(objectAt(body, "failures"))).to.deep.equal(["127.0.0.1:9"]);
    expect(Object.keys(objectAt(body, "device_keys"))).to.deep.equal([alice.user_id]);
    const uri = (user: string): string => `/_matrix/federation/v1/user/devices/${encodeURIComponent(user)}`;
    expect((await peer.request(here.federationUrl, here.name, "GET", uri(bob.user_id))).status).to.equal(404);
    const own = await peer.request(here.federationUrl, here.name, "GET", uri(alice.user_id));
    expect(own).to.deep.equal({ status: 200, body: { user_id: alice.user_id, stream_id: 0, devices: [] } });
    const asked = await peer.request(here.federationUrl, here.name, "POST", "/_matrix/federation/v1/user/keys/query", { device_keys: { [bob.user_id]: [] } });
    expect(objectAt(asked.body, "device_keys")).to.deep.equal({});
  });

  it("what a server says of others' users, of users whom nobody here knows, or without sense, is dropped", async () => {
    const device = deviceOf(alice).device_keys;
    const content = { user_id: alice.user_id, device_id: alice.device_id, stream_id: 5, keys: device };
    const contents = [content, { ...content, user_id: `@mallory:${peer.name}` }, { user_id: `@mallory:${peer.name}` }, {}, { ...content, user_id: bob.user_id, stream_id: "x" }];
    const edus = contents.flatMap((each) => ["m.device_list_update", "m.signing_key_update"].map((edu_type) => ({ edu_type, content: each })));
    const before = stringAt(await sync(), "next_batch") ?? "";
    const body = { origin: peer.name, origin_server_ts: Date.now(), pdus: [], edus };
    expect((await peer.request(here.federationUrl, here.name, "PUT", `/_matrix/federation/v1/send/${++sent}`, body)).status).to.equal(200);
    const after = await alice.get(`${V3}/sync?since=${before}&set_presence=offline`);
    expect(objectAt(after.body, "device_lists")).to.deep.equal({ changed: [], left: [] });
  });
});
