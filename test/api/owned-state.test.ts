// State that belongs to users, in the room versions that have it (MSC3757).
import { expect } from "chai";
import { stringAt } from "../support/json-path.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const TYPE = "org.example.own";

const outcome = ({ status, body }: Answer): [number, unknown] => [status, body["errcode"]];
const ALLOWED = [200, undefined];
const FORBIDDEN = [403, "M_FORBIDDEN"];

describe("owned state", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let carol: TestClient;
  before(async () => {
    server = await startTestServer();
    [alice, bob, carol] = await Promise.all([server.register("alice"), server.register("bob"), server.register("carol")]);
  });
  after(() => server[Symbol.asyncDispose]());

  async function roomOf(version: string): Promise<string> {
    const levels = { events: { [TYPE]: 0 } };
    const body = { preset: "public_chat", room_version: version, power_level_content_override: levels };
    const room = stringAt((await alice.post(`${V3}/createRoom`, body)).body, "room_id") ?? "";
    for (const client of [bob, carol]) await client.post(`${V3}/rooms/${encodeURIComponent(room)}/join`);
    return room;
  }

  const set = async (client: TestClient, room: string, key: string): Promise<unknown[]> =>
    outcome(await client.put(`${V3}/rooms/${encodeURIComponent(room)}/state/${TYPE}/${encodeURIComponent(key)}`, {}));

  for (const version of ["org.matrix.msc3757.10", "org.matrix.msc3757.11"]) {
    it(`${version}: belongs to the user whose id the key begins with, and to those above them`, async () => {
      const room = await roomOf(version);
      const suffix = "_more_of:it@#$";
      expect(await set(bob, room, bob.user_id)).to.deep.equal(ALLOWED);
      expect(await set(bob, room, bob.user_id + suffix)).to.deep.equal(ALLOWED);
      expect(await set(alice, room, bob.user_id)).to.deep.equal(ALLOWED);
      expect(await set(alice, room, bob.user_id + suffix)).to.deep.equal(ALLOWED);
      expect(await set(alice, room, "@nobody:away.example_x")).to.deep.equal(ALLOWED);
      for (const key of [carol.user_id, carol.user_id + suffix, alice.user_id, `${bob.user_id}more`]) {
        expect(await set(bob, room, key), key).to.deep.equal(FORBIDDEN);
      }
      for (const key of ["@nobody", `${bob.user_id}@_x`]) expect(await set(alice, room, key), key).to.deep.equal([400, "M_BAD_JSON"]);
      expect(await set(bob, room, "of nobody")).to.deep.equal(ALLOWED);
    });
  }

  it("is nobody else's in other versions", async () => {
    const room = await roomOf("11");
    expect(await set(bob, room, bob.user_id)).to.deep.equal(ALLOWED);
    expect(await set(bob, room, `${bob.user_id}_x`)).to.deep.equal(FORBIDDEN);
    for (const key of [bob.user_id, `${alice.user_id}_x`, "@nobody"]) expect(await set(alice, room, key), key).to.deep.equal(FORBIDDEN);
  });
});
