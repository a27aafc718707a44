// Account data, tags and filters.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("account data", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  let own = "";
  before(async () => {
    server = await startTestServer();
    alice = await server.register("alice");
    bob = await server.register("bob");
    room = stringAt((await alice.post(`${V3}/createRoom`, {})).body, "room_id") ?? "";
    own = `${V3}/user/${alice.user_id}`;
  });
  after(() => server[Symbol.asyncDispose]());

  it("keeps what was set last, of the account and of a room apart", async () => {
    for (const base of [own, `${own}/rooms/${room}`]) {
      expect(refusal(await alice.get(`${base}/account_data/org.example.key`))).to.deep.equal([404, "M_NOT_FOUND"]);
      for (const value of ["first", `${base} \u0000 \\ \u{1f600}`]) {
        expect((await alice.put(`${base}/account_data/org.example.key`, { value })).status).to.equal(200);
        const { body } = await alice.get(`${base.replace("v3", "r0")}/account_data/org.example.key`);
        expect(body).to.deep.equal({ value });
      }
      // Half a character is no text, and changes nothing.
      expect(refusal(await alice.put(`${base}/account_data/org.example.key`, { value: "\ud800" }))).to.deep.equal([400, "M_BAD_JSON"]);
      expect((await alice.get(`${base}/account_data/org.example.key`)).status).to.equal(200);
    }
  });

  it("is deleted: other clients are told that it is empty, new ones nothing", async () => {
    for (const inRoom of ["", `/rooms/${room}`]) {
      for (const way of ["DELETE", "PUT"] as const) {
        const type = `org.example.gone.${way}`;
        await alice.put(`${own}${inRoom}/account_data/${type}`, { here: true });
        const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch");
        const unstable = `/_matrix/client/unstable/org.matrix.msc3391/user/${alice.user_id}${inRoom}/account_data/${type}`;
        const answer = way === "DELETE" ? await alice.delete(unstable) : await alice.put(`${own}${inRoom}/account_data/${type}`, {});
        expect(answer.status).to.equal(200);
        expect(refusal(await alice.get(`${own}${inRoom}/account_data/${type}`))).to.deep.equal([404, "M_NOT_FOUND"]);
        const shown = async (query: string): Promise<unknown[]> => {
          const { body } = await alice.get(`${V3}/sync${query}`);
          const events = inRoom === "" ? objectsAt(body, "account_data", "events") : objectsAt(body, "rooms", "join", room, "account_data", "events");
          return events.filter((event) => event["type"] === type);
        };
        expect(await shown(`?since=${since}`)).to.deep.equal([{ type, content: {} }]);
        expect(await shown("")).to.deep.equal([]);
        expect(refusal(await bob.delete(unstable))).to.deep.equal([403, "M_FORBIDDEN"]);
      }
    }
  });

  it("of a device goes with the device", async () => {
    const phone = await server.login("alice");
    const type = `org.matrix.msc3890.local_notification_settings.${phone.device_id}`;
    await alice.put(`${own}/account_data/${type}`, { is_silenced: true });
    const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch");
    await phone.post(`${V3}/logout`);
    expect(refusal(await alice.get(`${own}/account_data/${type}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    const { body } = await alice.get(`${V3}/sync?since=${since}`);
    expect(objectsAt(body, "account_data", "events")).to.deep.equal([{ type, content: {} }]);
  });

  it("is for its owner only", async () => {
    for (const base of [own, `${own}/rooms/${room}`]) {
      expect(refusal(await bob.put(`${base}/account_data/org.example.key`, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await bob.get(`${base}/account_data/org.example.key`))).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(refusal(await server.anonymous.get(`${base}/account_data/org.example.key`))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    }
    for (const call of [bob.get(`${own}/rooms/${room}/tags`), bob.put(`${own}/rooms/${room}/tags/u.x`, {}), bob.delete(`${own}/rooms/${room}/tags/u.x`)]) {
      expect(refusal(await call)).to.deep.equal([403, "M_FORBIDDEN"]);
    }
  });

  it("refuses what the server manages, what is no object, and bad rooms", async () => {
    for (const type of ["m.fully_read", "m.push_rules"]) {
      for (const base of [own, `${own}/rooms/${room}`]) {
        expect(refusal(await alice.put(`${base}/account_data/${type}`, {}))).to.deep.equal([405, "M_BAD_JSON"]);
      }
    }
    expect(refusal(await alice.put(`${own}/account_data/org.example.key`, "["))).to.deep.equal([400, "M_NOT_JSON"]);
    expect(refusal(await alice.put(`${own}/account_data/org.example.key`, []))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await alice.put(`${own}/rooms/bad/account_data/x`, {}))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await alice.get(`${own}/rooms/bad/account_data/x`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await alice.put(`${own}/rooms/!unknown:localhost/account_data/x`, {}))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await alice.put(`${own}/account_data/${"x".repeat(300)}`, {}))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("lets push rules be read as data", async () => {
    const { body } = await alice.get(`${own}/account_data/m.push_rules`);
    expect(objectsAt(body, "global", "override")[0]).to.include({ rule_id: ".m.rule.master" });
  });

  it("comes in /sync at first, when it changes, and to nobody else", async () => {
    const carol = await server.register("carol");
    const path = `${V3}/user/${carol.user_id}`;
    const carols = stringAt((await carol.post(`${V3}/createRoom`, {})).body, "room_id") ?? "";
    await carol.put(`${path}/account_data/org.example.one`, { a: 1 });
    await carol.put(`${path}/rooms/${carols}/account_data/org.example.two`, { b: 2 });
    const first = (await carol.get(`${V3}/sync`)).body;
    expect(objectsAt(first, "account_data", "events").map((event) => event["type"])).to.deep.equal(["org.example.one", "m.push_rules"]);
    expect(objectsAt(first, "rooms", "join", carols, "account_data", "events")).to.deep.equal([{ type: "org.example.two", content: { b: 2 } }]);
    const bobs = stringAt((await bob.get(`${V3}/sync`)).body, "next_batch") ?? "";
    const since = stringAt(first, "next_batch") ?? "";
    const waiting = carol.get(`${V3}/sync?timeout=60000&since=${since}`);
    await carol.put(`${path}/rooms/${carols}/account_data/org.example.two`, { b: 3 });
    const next = (await waiting).body;
    expect(objectsAt(next, "rooms", "join", carols, "account_data", "events")).to.deep.equal([{ type: "org.example.two", content: { b: 3 } }]);
    expect(objectsAt(next, "account_data", "events")).to.deep.equal([]);
    const other = (await bob.get(`${V3}/sync?timeout=0&since=${bobs}`)).body;
    expect(objectsAt(other, "account_data", "events")).to.deep.equal([]);
  });

  it("tags: set, listed, taken away, shown as m.tag", async () => {
    const tags = `${own}/rooms/${room}/tags`;
    expect((await alice.get(tags)).body).to.deep.equal({ tags: {} });
    await Promise.all(["u.one", "u.two", "m.favourite"].map((name) => alice.put(`${tags}/${name}`, { order: 0.5 })));
    await alice.delete(`${tags}/u.two`);
    await alice.delete(`${tags}/u.never`);
    const expected = { "u.one": { order: 0.5 }, "m.favourite": { order: 0.5 } };
    expect((await alice.get(tags)).body).to.deep.equal({ tags: expected });
    const sync = (await alice.get(`${V3}/sync`)).body;
    const shown = objectsAt(sync, "rooms", "join", room, "account_data", "events").find((event) => event["type"] === "m.tag");
    expect(objectAt(shown, "content")).to.deep.equal({ tags: expected });
    expect(refusal(await alice.put(`${tags}/u.one`, { order: "x" }))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await alice.put(`${tags}/${"x".repeat(256)}`, {}))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("filters beyond the most that are kept are too large, which is no reason to try again", async () => {
    const filterer = await server.register("filterer");
    const store = (limit: number): ReturnType<TestClient["post"]> => filterer.post(`${V3}/user/${filterer.user_id}/filter`, { room: { timeline: { limit } } });
    const first = await store(1);
    await server.database.transaction((tx) =>
      tx.query(
        {
          name: "test_filters",
          text: "INSERT INTO filters SELECT user_nid, 'copy ' || n, filter FROM filters, generate_series(1, 499) AS n WHERE filter_id = $1",
        },
        [stringAt(first.body, "filter_id")],
      ),
    );
    expect(refusal(await store(2))).to.deep.equal([413, "M_TOO_LARGE"]);
    expect((await store(1)).body).to.deep.equal(first.body);
  });
});
