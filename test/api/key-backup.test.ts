// Backups of room keys.
import { expect } from "chai";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3/room_keys";
const ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2";

describe("key backup", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let users = 0;
  before(async () => {
    server = await startTestServer();
    bob = await server.register("bob");
  });
  beforeEach(async () => {
    alice = await server.register(`alice${++users}`);
  });
  after(() => server[Symbol.asyncDispose]());

  const create = async (client = alice): Promise<string> =>
    stringAt((await client.post(`${V3}/version`, { algorithm: ALGORITHM, auth_data: { public_key: "abc\u0000" } })).body, "version") ?? "";
  const key = (first_message_index = 1, forwarded_count = 1, is_verified = false, x: unknown = "x"): JsonObject => ({
    first_message_index,
    forwarded_count,
    is_verified,
    session_data: { x },
  });

  it("versions: created, read, updated, deleted", async () => {
    expect(refusal(await alice.get(`${V3}/version`))).to.deep.equal([404, "M_NOT_FOUND"]);
    const first = await create();
    const second = await create();
    expect(second).to.not.equal(first);
    const shown = { algorithm: ALGORITHM, auth_data: { public_key: "abc\u0000" }, count: 0, etag: "0", version: second };
    expect((await alice.get(`${V3}/version`)).body).to.deep.equal(shown);
    expect((await alice.get(`${V3}/version/${first}`)).body).to.deep.equal({ ...shown, version: first });
    const update = { algorithm: ALGORITHM, auth_data: { public_key: "new" } };
    expect((await alice.put(`${V3}/version/${second}`, { ...update, version: second })).body).to.deep.equal({});
    expect((await alice.get(`${V3}/version/${second}`)).body).to.deep.equal({ ...shown, auth_data: { public_key: "new" } });
    expect(refusal(await alice.put(`${V3}/version/${second}`, { ...update, algorithm: "other" }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await alice.put(`${V3}/version/${second}`, { ...update, version: first }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    for (const none of ["99", "x", "1e1", "99999999999999999999"]) {
      expect(refusal(await alice.put(`${V3}/version/${none}`, update)), none).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.get(`${V3}/version/${none}`)), none).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.delete(`${V3}/version/${none}`)), none).to.deep.equal([404, "M_NOT_FOUND"]);
    }
    for (let n = 0; n < 2; n += 1) expect((await alice.delete(`${V3}/version/${second}`)).status).to.equal(200);
    expect(refusal(await alice.get(`${V3}/version/${second}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await alice.get(`${V3}/version`)).body["version"]).to.equal(first);
    expect(await create()).to.equal("3");
    expect(refusal(await bob.get(`${V3}/version/${first}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    const large = { algorithm: ALGORITHM, auth_data: { x: "x".repeat(70_000) } };
    expect(refusal(await alice.post(`${V3}/version`, large))).to.deep.equal([413, "M_TOO_LARGE"]);
    expect((await alice.post(`${V3}/version`, { algorithm: ALGORITHM })).status).to.equal(400);
    expect((await server.anonymous.get(`${V3}/version`)).status).to.equal(401);
  });

  it("keys: put, read and removed, one by one, by room and all, with count and etag", async () => {
    const version = await create();
    const [a, b] = ["!a:localhost", "!b:localhost"];
    const put = (path: string, body: unknown): Promise<Answer> => alice.put(`${V3}/keys${path}?version=${version}`, body);
    const get = async (path = ""): Promise<JsonObject> => (await alice.get(`${V3}/keys${path}?version=${version}`)).body;
    expect(await get()).to.deep.equal({ rooms: {} });
    expect(await get(`/${a}`)).to.deep.equal({ sessions: {} });
    const counts: unknown[] = [];
    counts.push((await put(`/${a}/s1`, key())).body);
    counts.push((await put(`/${a}`, { sessions: { s2: key(), "s/3\u0000": key(0, 0, true, "y") } })).body);
    counts.push((await put("", { rooms: { [b]: { sessions: { s1: key() } }, [a]: { sessions: { s1: key(9, 9) } } } })).body);
    counts.push((await put(`/${a}/s1`, key())).body);
    expect(counts).to.deep.equal([
      { count: 1, etag: "1" },
      { count: 3, etag: "2" },
      { count: 4, etag: "3" },
      { count: 4, etag: "3" },
    ]);
    expect(await get()).to.deep.equal({
      rooms: { [a]: { sessions: { s1: key(), s2: key(), "s/3\u0000": key(0, 0, true, "y") } }, [b]: { sessions: { s1: key() } } },
    });
    expect(await get(`/${b}`)).to.deep.equal({ sessions: { s1: key() } });
    expect(await get(`/${a}/${encodeURIComponent("s/3\u0000")}`)).to.deep.equal(key(0, 0, true, "y"));
    expect(refusal(await alice.get(`${V3}/keys/${b}/s2?version=${version}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    const remove = async (path: string): Promise<unknown> => (await alice.delete(`${V3}/keys${path}?version=${version}`)).body;
    expect(await remove(`/${a}/s1`)).to.deep.equal({ count: 3, etag: "4" });
    expect(await remove(`/${a}/s1`)).to.deep.equal({ count: 3, etag: "4" });
    expect(await remove(`/${a}`)).to.deep.equal({ count: 1, etag: "5" });
    expect(await remove("")).to.deep.equal({ count: 0, etag: "6" });
    expect(await get()).to.deep.equal({ rooms: {} });
    expect(objectAt((await alice.get(`${V3}/version`)).body)).to.include({ count: 0, etag: "6" });
  });

  it("of two keys the better one is kept: verified, then lower index, then less forwarded", async () => {
    const version = await create();
    // Each beats the one before it, and none behind it.
    const ranked = [key(3, 3), key(3, 2), key(2, 9), key(2, 8), key(5, 5, true), key(5, 4, true), key(0, 7, true)];
    const path = `${V3}/keys/!r:localhost/s?version=${version}`;
    for (const [rank, better] of ranked.entries()) {
      await alice.put(path, better);
      expect((await alice.get(path)).body).to.deep.equal(better);
      for (const worse of ranked.slice(0, rank)) await alice.put(path, worse);
      expect((await alice.get(path)).body).to.deep.equal(better);
    }
  });

  it("only the current version takes keys", async () => {
    expect(refusal(await alice.put(`${V3}/keys?version=1`, { rooms: {} }))).to.deep.equal([404, "M_NOT_FOUND"]);
    const old = await create();
    await alice.put(`${V3}/keys/!r:localhost/s?version=${old}`, key());
    const current = await create();
    const answer = await alice.put(`${V3}/keys?version=${old}`, { rooms: {} });
    expect([...refusal(answer), answer.body["current_version"]]).to.deep.equal([403, "M_WRONG_ROOM_KEYS_VERSION", current]);
    expect(refusal(await alice.put(`${V3}/keys?version=99`, { rooms: {} }))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await alice.get(`${V3}/keys/!r:localhost/s?version=${old}`)).body).to.deep.equal(key());
    expect((await alice.delete(`${V3}/keys?version=${old}`)).status).to.equal(200);
    for (const method of ["GET", "DELETE"]) {
      expect(refusal(await alice.request(method, `${V3}/keys?version=99`)), method).to.deep.equal([404, "M_NOT_FOUND"]);
    }
    expect((await alice.get(`${V3}/keys`)).status).to.equal(400);
  });

  it("what is malformed is refused whole", async () => {
    const version = await create();
    const put = (body: unknown, path = ""): Promise<Answer> => alice.put(`${V3}/keys${path}?version=${version}`, body);
    const good = { "!a:localhost": { sessions: { s: key() } } };
    for (const odd of [{ x: { sessions: { s: key() } } }, { "!b:localhost": { sessions: { s: { ...key(), is_verified: "no" } } } }, { "!b:localhost": {} }]) {
      expect((await put({ rooms: { ...good, ...odd } })).status).to.equal(400);
    }
    expect(refusal(await put({ sessions: { s: key(1, 1, true, "x".repeat(70_000)) } }, "/!a:localhost"))).to.deep.equal([413, "M_TOO_LARGE"]);
    expect((await put({ sessions: { ["x".repeat(300)]: key() } }, "/!a:localhost")).status).to.equal(400);
    expect((await put(key(1.5), "/!a:localhost/s")).status).to.equal(400);
    expect((await put(key(-1), "/!a:localhost/s")).status).to.equal(400);
    expect((await alice.get(`${V3}/keys?version=${version}`)).body).to.deep.equal({ rooms: {} });
  });
});
