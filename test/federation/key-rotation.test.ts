// Servers get new signing keys while they run.
import { expect } from "chai";
import { checkConfig } from "../../src/config.js";
import type { ServerName } from "../../src/protocol/identifiers.js";
import { loadSecretKey } from "../../src/storage/sealing.js";
import { replaceSigningKey } from "../../src/storage/signing-keys.js";
import { eventually } from "../support/eventually.js";
import { federationSettings, startFederatingServer, type FederatingServer } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const SECRET = Buffer.alloc(32, 9).toString("base64");

describe("a new signing key", () => {
  let one: FederatingServer;
  let beside: TestServer;
  let two: FederatingServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    one = await startFederatingServer({ secret_key: SECRET });
    beside = await startTestServer({ ...federationSettings(await freePort()), servers: [{ name: one.name }], secret_key: SECRET }, one.address);
    two = await startFederatingServer();
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    for (const server of [beside, one, two]) await server[Symbol.asyncDispose]();
  });

  it("signs in all processes, is published by all of them, and the old one with its end", async function () {
    this.timeout(360_000);
    const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?server_name=${one.name}`)).status).to.equal(200);
    const keys = async (server: TestServer): Promise<JsonObject> => (await server.anonymous.get("/_matrix/key/v2/server")).body;
    const [old] = Object.keys(objectAt(await keys(one), "verify_keys"));
    const secret = loadSecretKey(checkConfig({ secret_key: SECRET }));
    const id = await replaceSigningKey(one.database, secret, one.name as ServerName, Date.now());
    for (const server of [one, beside]) {
      const document = await keys(server);
      expect(Object.keys(objectAt(document, "verify_keys"))).to.deep.equal([id]);
      expect(Object.keys(objectAt(document, "old_verify_keys"))).to.deep.equal([old]);
      expect(Object.keys(objectAt(document, "signatures", one.name))).to.deep.equal([id]);
    }
    const elsewhere = beside.client(alice);
    let serial = 0;
    for (const client of [alice, elsewhere]) {
      await eventually("events are signed with it", async () => {
        const sent = await client.put(`${V3}/rooms/${room}/send/m.room.message/${++serial}`, { msgtype: "m.text", body: `signed ${serial}` });
        const event_id = stringAt(sent.body, "event_id") ?? "";
        const [row] = await one.database.read<{ json: string }>(
          { name: "test_signed", text: "SELECT json FROM message_json WHERE nid = (SELECT nid FROM events WHERE event_id = $1)" },
          [event_id],
        );
        return Object.keys(objectAt(JSON.parse(row?.json ?? "{}"), "signatures", one.name)).includes(id);
      });
    }
    await eventually("others take what it has signed", async () => {
      const { body } = await bob.get(`${V3}/rooms/${room}/messages?dir=b&limit=50`);
      return objectsAt(body, "chunk").some((event) => objectAt(event, "content")["body"] === `signed ${serial}`);
      // They were told the keys a moment ago, and ask no server again so soon.
    }, 60_000);
  });
});
