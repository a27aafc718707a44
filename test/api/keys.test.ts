// Keys of devices and of users, and who is told that they changed.
import { expect } from "chai";
import { deviceOf, newKey, ownKey, signedBy, type TestDevice } from "../support/device-keys.js";
import { eventually } from "../support/eventually.js";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const ALGORITHM = "signed_curve25519";

describe("keys", () => {
  let server: TestServer;
  let other: TestServer;
  let serial = 0;
  before(async () => {
    server = await startTestServer();
    other = await startTestServer({}, server.address);
  });
  after(async () => {
    await other[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const someone = (): Promise<TestClient> => server.register(`user${++serial}`);
  const upload = (client: TestClient, body: JsonObject): Promise<Answer> => client.post(`${V3}/keys/upload`, body);
  const query = async (client: TestClient, ...users: TestClient[]): Promise<JsonObject> =>
    (await client.post(`${V3}/keys/query`, { device_keys: Object.fromEntries(users.map(({ user_id }) => [user_id, []])) })).body;
  async function withKeys(client: TestClient, ...names: string[]): Promise<TestDevice> {
    const device = deviceOf(client);
    const answer = await upload(client, { device_keys: device.device_keys, one_time_keys: device.oneTimeKeys(...names) });
    expect(answer.status).to.equal(200);
    return device;
  }
  const claim = async (client: TestClient, of: TestClient): Promise<string | undefined> => {
    const { status, body } = await client.post(`${V3}/keys/claim`, { one_time_keys: { [of.user_id]: { [of.device_id]: ALGORITHM } } });
    expect(status).to.equal(200);
    return Object.keys(objectAt(body, "one_time_keys", of.user_id, of.device_id))[0];
  };
  const sync = async (client: TestClient, since?: string, timeout = 0): Promise<JsonObject> =>
    (await client.get(`${V3}/sync?set_presence=offline&timeout=${timeout}${since === undefined ? "" : `&since=${since}`}`)).body;
  const token = (body: JsonObject): string => stringAt(body, "next_batch") ?? "";

  it("are shown as they were uploaded, with the name of the device", async () => {
    const [alice, bob] = [await someone(), await someone()];
    const { device_keys } = await withKeys(alice);
    await alice.put(`${V3}/devices/${alice.device_id}`, { display_name: "telephone" });
    const body = await query(bob, alice, bob);
    expect(objectAt(body, "device_keys", alice.user_id)[alice.device_id]).to.deep.equal({ ...device_keys, unsigned: { device_display_name: "telephone" } });
    expect(objectAt(body, "device_keys")[bob.user_id]).to.deep.equal({});
    expect(body["failures"]).to.deep.equal({});
    await alice.post(`${V3}/logout`);
    expect(objectAt(await query(bob, alice), "device_keys")[alice.user_id]).to.deep.equal({});
  });

  it("of somebody else, malformed or wrongly signed are refused, and nothing is kept", async () => {
    const [alice, bob] = [await someone(), await someone()];
    const device = deviceOf(alice);
    expect(refusal(await upload(bob, { device_keys: device.device_keys }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await upload(alice, { device_keys: { user_id: alice.user_id, device_id: alice.device_id } }))).to.deep.equal([400, "M_BAD_JSON"]);
    const forged = { ...device.device_keys, algorithms: ["m.other"] };
    expect(refusal(await upload(alice, { device_keys: forged, one_time_keys: device.oneTimeKeys("A") }))).to.deep.equal([400, "M_INVALID_SIGNATURE"]);
    const [, foreign] = Object.entries(deviceOf(alice).oneTimeKeys("A"))[0] ?? [];
    const mixed = { device_keys: device.device_keys, one_time_keys: { ...device.oneTimeKeys("B"), [`${ALGORITHM}:A`]: foreign ?? null } };
    expect(refusal(await upload(alice, mixed))).to.deep.equal([400, "M_INVALID_SIGNATURE"]);
    expect(refusal(await upload(alice, { one_time_keys: { A: "key" } }))).to.deep.equal([400, "M_BAD_JSON"]);
    const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`curve25519:${n}`, "key"]));
    expect(refusal(await upload(alice, { one_time_keys: many }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect((await upload(alice, {})).body).to.deep.equal({ one_time_key_counts: {} });
    expect(objectAt(await query(alice, alice), "device_keys")[alice.user_id]).to.deep.equal({});
    expect(refusal(await alice.post(`${V3}/keys/query`, { device_keys: { nobody: [] } }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await server.anonymous.post(`${V3}/keys/upload`, {}))).to.deep.equal([401, "M_MISSING_TOKEN"]);
  });

  it("one-time keys: the same again changes nothing, another of the same id is refused, also once it was claimed", async () => {
    const alice = await someone();
    const device = await withKeys(alice);
    const one_time_keys = device.oneTimeKeys("A", "B");
    for (let n = 0; n < 2; n += 1) expect((await upload(alice, { one_time_keys })).body).to.deep.equal({ one_time_key_counts: { [ALGORITHM]: 2 } });
    expect(refusal(await upload(alice, { one_time_keys: device.oneTimeKeys("A", "C") }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    const given = await claim(alice, alice);
    expect((await upload(alice, { one_time_keys })).body, `${given} does not come back`).to.deep.equal({ one_time_key_counts: { [ALGORITHM]: 1 } });
  });

  it("one-time keys are given out in the order of their uploads, then the fallback key; /sync counts them", async () => {
    const [alice, bob] = [await someone(), await someone()];
    const device = await withKeys(alice, "later");
    await upload(alice, { one_time_keys: device.oneTimeKeys("AAA"), fallback_keys: device.oneTimeKeys("fall") });
    const first = await sync(alice);
    expect(first).to.include.keys("device_one_time_keys_count").and.to.have.deep.property("device_unused_fallback_key_types", [ALGORITHM]);
    expect(first["device_one_time_keys_count"]).to.deep.equal({ [ALGORITHM]: 2 });
    expect(await claim(bob, alice)).to.equal(`${ALGORITHM}:later`);
    expect(await claim(bob, alice)).to.equal(`${ALGORITHM}:AAA`);
    expect(await claim(bob, alice)).to.equal(`${ALGORITHM}:fall`);
    expect(await claim(bob, alice)).to.equal(`${ALGORITHM}:fall`);
    await eventually("the count has changed", async () => {
      const body = await sync(alice, token(first));
      return JSON.stringify(body["device_one_time_keys_count"]) === `{"${ALGORITHM}":0}` && JSON.stringify(body["device_unused_fallback_key_types"]) === "[]";
    });
    expect(refusal(await upload(alice, { fallback_keys: { ...device.oneTimeKeys("x", "y") } }))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("50 claims at the same time over two processes: 20 keys go to 20 of them, the others get the fallback key", async () => {
    const [alice, bob] = [await someone(), await someone()];
    const names = Array.from({ length: 20 }, (_, n) => `K${n}`);
    const device = await withKeys(alice, ...names);
    await upload(alice, { fallback_keys: device.oneTimeKeys("fall") });
    const there = other.client({ access_token: bob.access_token, user_id: bob.user_id });
    const given = await Promise.all(Array.from({ length: 50 }, (_, n) => claim(n % 2 === 0 ? bob : there, alice)));
    const once = given.filter((key) => key !== `${ALGORITHM}:fall`);
    expect(once).to.have.members(names.map((name) => `${ALGORITHM}:${name}`));
    expect(given.length - once.length).to.equal(30);
  });

  it("a user's own keys: the first without asking, the same again too, others only with the password", async () => {
    const alice = await someone();
    const [master, self, user] = [newKey(), newKey(), newKey()];
    const path = `${V3}/keys/device_signing/upload`;
    const keys = {
      master_key: ownKey(alice, "master", master),
      self_signing_key: ownKey(alice, "self_signing", self, master),
      user_signing_key: ownKey(alice, "user_signing", user, master),
    };
    expect(refusal(await alice.post(path, { self_signing_key: keys.self_signing_key }))).to.deep.equal([400, "M_MISSING_PARAM"]);
    expect(refusal(await alice.post(path, { master_key: ownKey({ user_id: "@other:localhost" }, "master", master) }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await alice.post(path, { ...keys, self_signing_key: ownKey(alice, "self_signing", self, newKey()) }))).to.deep.equal([400, "M_INVALID_SIGNATURE"]);
    expect((await alice.post(path, keys)).status).to.equal(200);
    expect((await alice.post(path, keys)).status).to.equal(200);
    const body = await query(alice, alice);
    expect(objectAt(body, "master_keys")[alice.user_id]).to.deep.equal(keys.master_key);
    expect(objectAt(body, "user_signing_keys")[alice.user_id]).to.deep.equal(keys.user_signing_key);
    const login = { type: "m.login.password", identifier: { type: "m.id.user", user: `user${serial}` }, password: passwordOf(`user${serial}`) };
    expect(refusal(await server.anonymous.post(`${V3}/login`, { ...login, device_id: master.publicKey }))).to.deep.equal([403, "M_FORBIDDEN"]);
    const next = newKey();
    const changed = { master_key: ownKey(alice, "master", next) };
    const asked = await alice.post(path, changed);
    expect(asked.status).to.equal(401);
    const auth = { type: "m.login.password", session: stringAt(asked.body, "session"), password: passwordOf(`user${serial}`) };
    expect((await alice.post(path, { ...changed, auth })).status).to.equal(200);
    const bob = await someone();
    const seen = await query(bob, alice);
    expect(objectAt(seen, "master_keys")[alice.user_id]).to.deep.equal(changed.master_key);
    expect(seen["self_signing_keys"], "the new master key has not signed it").to.deep.equal({});
    expect(seen["user_signing_keys"]).to.deep.equal({});
    // A key may come padded: its name is taken all the same.
    const padded = `${newKey().publicKey}=`;
    const odd = { user_id: bob.user_id, usage: ["master"], keys: { [`ed25519:${padded}`]: padded } };
    expect((await bob.post(path, { master_key: odd })).status).to.equal(200);
    const again = { ...login, identifier: { type: "m.id.user", user: bob.user_id }, password: passwordOf(`user${serial}`), device_id: padded };
    expect(refusal(await server.anonymous.post(`${V3}/login`, again))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("signatures are shown to those whom they concern; wrong ones are refused one by one", async () => {
    const [alice, bob, carol] = [await someone(), await someone(), await someone()];
    const { device_keys } = await withKeys(alice);
    const keysOf = async (client: TestClient) => {
      const [master, self, user] = [newKey(), newKey(), newKey()];
      const master_key = ownKey(client, "master", master);
      await client.post(`${V3}/keys/device_signing/upload`, {
        master_key,
        self_signing_key: ownKey(client, "self_signing", self, master),
        user_signing_key: ownKey(client, "user_signing", user, master),
      });
      return { master, self, user, master_key };
    };
    const [ofAlice, ofBob] = [await keysOf(alice), await keysOf(bob)];
    const { signatures: _own, ...plain } = device_keys;
    const { body } = await alice.post(`${V3}/keys/signatures/upload`, {
      [alice.user_id]: { [alice.device_id]: signedBy(plain, alice.user_id, ofAlice.self), GONE: signedBy(plain, alice.user_id, ofAlice.self) },
      [bob.user_id]: { [ofBob.master.publicKey]: signedBy(ofBob.master_key, alice.user_id, ofAlice.user) },
    });
    expect(Object.keys(objectAt(body, "failures"))).to.deep.equal([alice.user_id]);
    expect(objectAt(body, "failures", alice.user_id, "GONE")["errcode"]).to.equal("M_NOT_FOUND");
    const forged = await alice.post(`${V3}/keys/signatures/upload`, {
      [bob.user_id]: { [ofBob.master.publicKey]: signedBy(ofBob.master_key, alice.user_id, ofAlice.self) },
    });
    expect(objectAt(forged.body, "failures", bob.user_id, ofBob.master.publicKey)["errcode"]).to.equal("M_INVALID_SIGNATURE");
    // Names that objects have from their prototype are names like others.
    const odd = await alice.post(`${V3}/keys/signatures/upload`, { ["__proto__"]: { polluted: {} }, [bob.user_id]: { ["__proto__"]: {} } });
    expect("polluted" in {}).to.equal(false);
    expect(Object.getOwnPropertyNames(objectAt(odd.body, "failures"))).to.have.members(["__proto__", bob.user_id]);
    const signers = (seen: JsonObject, ...path: string[]): string[] => Object.keys(objectAt(seen, ...path, "signatures"));
    const seen = await query(carol, alice, bob);
    const names = Object.keys(objectAt(seen, "device_keys", alice.user_id, alice.device_id, "signatures", alice.user_id));
    expect(names).to.have.members([`ed25519:${alice.device_id}`, `ed25519:${ofAlice.self.publicKey}`]);
    expect(signers(seen, "master_keys", bob.user_id)).to.deep.equal([]);
    expect(signers(await query(alice, bob), "master_keys", bob.user_id)).to.deep.equal([alice.user_id]);
    // Nor what the owner has written in of others.
    const spread = await someone();
    const key = newKey();
    const master_key = signedBy(signedBy(ownKey(spread, "master", key), spread.user_id, key), alice.user_id, ofAlice.user);
    expect((await spread.post(`${V3}/keys/device_signing/upload`, { master_key })).status).to.equal(200);
    expect(signers(await query(carol, spread), "master_keys", spread.user_id)).to.deep.equal([spread.user_id]);
    expect(signers(await query(alice, spread), "master_keys", spread.user_id)).to.have.members([spread.user_id, alice.user_id]);
  });

  it("who shares a room is told of changes, of meeting and of parting, in /sync and by /keys/changes", async () => {
    const [alice, bob] = [await someone(), await someone()];
    await withKeys(bob);
    const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    let since = token(await sync(alice));
    const lists = async (timeout = 10_000): Promise<JsonObject> => {
      for (;;) {
        const body = await sync(alice, since, timeout);
        const from = since;
        since = token(body);
        const told = objectAt(body, "device_lists");
        if (timeout > 0 && JSON.stringify(told) === `{"changed":[],"left":[]}`) continue;
        const changes = await alice.get(`${V3}/keys/changes?from=${from}&to=${since}`);
        expect(changes.body).to.deep.equal(told);
        return told;
      }
    };
    await withKeys(bob);
    expect(await lists(0), "nobody met").to.deep.equal({ changed: [], left: [] });
    await bob.post(`${V3}/join/${room}`);
    expect(await lists()).to.deep.equal({ changed: [bob.user_id], left: [] });
    await bob.put(`${V3}/profile/${bob.user_id}/displayname`, { displayname: "Bob" });
    // His membership follows in a moment; it is no meeting.
    const named = async (): Promise<unknown> => (await alice.get(`${V3}/rooms/${room}/state/m.room.member/${bob.user_id}`)).body["displayname"];
    await eventually("the room knows the name", async () => (await named()) === "Bob");
    const waiting = lists();
    await withKeys(bob);
    expect(await waiting).to.deep.equal({ changed: [bob.user_id], left: [] });
    await bob.post(`${V3}/rooms/${room}/leave`);
    expect(await lists()).to.deep.equal({ changed: [], left: [bob.user_id] });
    await withKeys(bob);
    expect(await lists(0)).to.deep.equal({ changed: [], left: [] });
    await bob.post(`${V3}/join/${room}`);
    expect(await lists()).to.deep.equal({ changed: [bob.user_id], left: [] });
    await alice.post(`${V3}/rooms/${room}/leave`);
    expect(await lists()).to.deep.equal({ changed: [], left: [bob.user_id] });
    const past = async (from: string, to: string): Promise<unknown> => (await alice.get(`${V3}/keys/changes?from=${from}&to=${to}`)).body;
    await bob.post(`${V3}/join/${room}`);
    await alice.post(`${V3}/join/${room}`);
    const marks = [token(await sync(alice))];
    for (let change = 0; change < 3; change++) {
      if (change !== 1) await withKeys(bob);
      // Without it the second mark would be the first.
      await alice.put(`${V3}/user/${alice.user_id}/account_data/org.example`, { change });
      marks.push(token(await sync(alice)));
    }
    const [zero = "", one = "", two = "", three = ""] = marks;
    const [nobody, onlyBob] = [{ changed: [], left: [] }, { changed: [bob.user_id], left: [] }];
    expect([await past(zero, one), await past(one, two), await past(two, three), await past(one, three)]).to.deep.equal([onlyBob, nobody, onlyBob, onlyBob]);
    await bob.post(`${V3}/rooms/${room}/leave`);
    const parted = token(await sync(alice));
    expect([await past(one, three), await past(one, parted), await past(parted, parted)]).to.deep.equal([nobody, { changed: [], left: [bob.user_id] }, nobody]);
    expect(refusal(await alice.get(`${V3}/keys/changes?from=x&to=${since}`))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });
});
