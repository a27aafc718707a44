// Pushers as clients set them.
import { expect } from "chai";
import { objectsAt } from "../support/json-path.js";
import { passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const URL_OF_GATEWAY = "https://push.example.org/_matrix/push/v1/notify";
const PUSHER = {
  kind: "http",
  app_id: "org.example.app",
  pushkey: "key",
  app_display_name: "App",
  device_display_name: "Phone",
  profile_tag: "tag",
  lang: "en",
  data: { url: URL_OF_GATEWAY, format: "event_id_only", own: [1] },
};

describe("pushers", () => {
  let server: TestServer;
  let alice: TestClient;
  let name: string;
  let made = 0;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    name = `user${++made}`;
    alice = await server.register(name);
  });

  const set = async (client: TestClient, more: object = {}): Promise<void> => {
    expect((await client.post(`${V3}/pushers/set`, { ...PUSHER, ...more })).body).to.deep.equal({});
  };
  const list = async (client: TestClient): Promise<Readonly<Record<string, unknown>>[]> => objectsAt((await client.get(`${V3}/pushers`)).body, "pushers");
  const keys = async (client: TestClient): Promise<unknown[]> => (await list(client)).map(({ pushkey }) => pushkey);

  it("are shown as they were set, changed in place, and deleted", async () => {
    expect(await list(alice)).to.deep.equal([]);
    await set(alice);
    const shown = { ...PUSHER, "org.matrix.msc3881.enabled": true, "org.matrix.msc3881.device_id": alice.device_id };
    expect(await list(alice)).to.deep.equal([shown]);
    await set(alice, { lang: "es" });
    await set(alice, { pushkey: "another \0 key", profile_tag: undefined });
    expect((await list(alice)).map(({ lang, pushkey }) => [lang, pushkey])).to.deep.equal([["es", "key"], ["en", "another \0 key"]]);
    for (let times = 0; times < 2; times += 1) await set(alice, { kind: null });
    expect(await keys(alice)).to.deep.equal(["another \0 key"]);
  });

  it("of other users with the same key go, unless one is appended", async () => {
    const bob = await server.register(`other${made}`);
    await set(bob);
    await set(bob, { app_id: "org.example.other" });
    await set(alice, { append: true });
    expect(await keys(bob)).to.have.lengthOf(2);
    await set(alice);
    expect((await list(bob)).map(({ app_id }) => app_id)).to.deep.equal(["org.example.other"]);
    expect(await keys(alice)).to.deep.equal(["key"]);
  });

  it("refuses what cannot work", async () => {
    const url = (text: unknown): object => ({ data: { url: text } });
    for (const [more, error] of [
      [{ lang: undefined }, "M_MISSING_PARAM"],
      [{ data: undefined }, "M_MISSING_PARAM"],
      [{ app_display_name: undefined }, "M_MISSING_PARAM"],
      [{ data: {} }, "M_MISSING_PARAM"],
      [url(7), "M_MISSING_PARAM"],
      [url("nonsense"), "M_INVALID_PARAM"],
      [url("https://push.example.org/notify"), "M_INVALID_PARAM"],
      [url("https://push.example.org/x/../_matrix/push/v1/notify/"), "M_INVALID_PARAM"],
      [url("https://user:word@push.example.org/_matrix/push/v1/notify"), "M_INVALID_PARAM"],
      [url("http://push.example.org/_matrix/push/v1/notify"), "M_INVALID_PARAM"],
      [url("file:///_matrix/push/v1/notify"), "M_INVALID_PARAM"],
      [{ kind: "pigeon" }, "M_INVALID_PARAM"],
      [{ kind: "email" }, "M_INVALID_PARAM"],
      [{ kind: "email", app_id: "m.email", pushkey: "x@example.org" }, "M_INVALID_PARAM"],
      [{ data: { url: URL_OF_GATEWAY, x: "x".repeat(10_000) } }, "M_INVALID_PARAM"],
      [{ app_id: "x".repeat(65) }, "M_BAD_JSON"],
      [{ pushkey: "x".repeat(513) }, "M_BAD_JSON"],
      [{ kind: undefined }, "M_BAD_JSON"],
    ] as const) {
      const answer = await alice.post(`${V3}/pushers/set`, { ...PUSHER, ...more });
      expect(refusal(answer), JSON.stringify(more)).to.deep.equal([400, error]);
    }
    expect(await list(alice)).to.deep.equal([]);
    for (const refused of [server.anonymous.get(`${V3}/pushers`), server.anonymous.post(`${V3}/pushers/set`, PUSHER)]) {
      expect(refusal(await refused)).to.deep.equal([401, "M_MISSING_TOKEN"]);
    }
    for (let index = 0; index < 100; index += 1) await set(alice, { pushkey: `key ${index}` });
    expect(refusal(await alice.post(`${V3}/pushers/set`, PUSHER))).to.deep.equal([413, "M_TOO_LARGE"]);
    await set(alice, { pushkey: "key 7" });
  });

  it("go with the device that set them, and with the account", async () => {
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: passwordOf(name) };
    const phone = await server.login(name);
    await set(phone, { pushkey: "phone" });
    await set(alice, { pushkey: "desk" });
    await phone.post(`${V3}/logout`);
    expect(await keys(alice)).to.deep.equal(["desk"]);
    await set(await server.login(name), { pushkey: "tablet" });
    expect((await alice.post(`${V3}/account/password`, { auth, new_password: passwordOf(name) })).status).to.equal(200);
    expect(await keys(alice)).to.deep.equal(["desk"]);
    expect((await alice.post(`${V3}/account/deactivate`, { auth })).status).to.equal(200);
    const rows = await server.database.read({ name: "left", text: "SELECT FROM pushers JOIN users ON users.nid = user_nid WHERE user_id = $1" }, [alice.user_id]);
    expect(rows).to.have.lengthOf(0);
  });

  it("switched off by another device they stay with theirs (MSC3881)", async () => {
    const phone = await server.login(name);
    await set(phone);
    await set(alice, { "org.matrix.msc3881.enabled": false });
    expect((await list(alice))[0]).to.include({ "org.matrix.msc3881.enabled": false, "org.matrix.msc3881.device_id": phone.device_id });
    await set(alice);
    expect((await list(alice))[0]).to.include({ "org.matrix.msc3881.enabled": true, "org.matrix.msc3881.device_id": alice.device_id });
    expect((await server.anonymous.get("/_matrix/client/versions")).body["unstable_features"]).to.include({ "org.matrix.msc3881": true });
  });
});
