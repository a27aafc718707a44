// Messages to devices between servers.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("messages to devices between servers", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  let sent = 0;
  before(async () => {
    [here, there, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    [alice, bob] = await Promise.all([here.register("alice"), there.register("bob")]);
  });
  after(async () => {
    for (const part of [here, there, peer]) await part[Symbol.asyncDispose]();
  });

  const received = async (client: TestClient): Promise<unknown[]> => {
    const { body } = await client.get(`${V3}/sync?set_presence=offline`);
    return objectsAt(body, "to_device", "events").map((event) => objectAt(event, "content")["n"]);
  };
  const send = (messages: JsonObject) => alice.put(`${V3}/sendToDevice/m.test/${++sent}`, { messages });
  const transaction = async (edus: JsonObject[]): Promise<unknown> => {
    const body = { origin: peer.name, origin_server_ts: Date.now(), pdus: [], edus } as never;
    return (await peer.request(here.federationUrl, here.name, "PUT", `/_matrix/federation/v1/send/${++sent}`, body)).status;
  };

  it("are brought to the device, once, in order, large ones too", async () => {
    await send({ [bob.user_id]: { [bob.device_id]: { n: 1 } } });
    await send({ [bob.user_id]: { "*": { n: 2 }, UNKNOWN: { n: 0, x: "x".repeat(60_000) } } });
    await send({ [bob.user_id]: { [bob.device_id]: { n: 3 } }, [`@nobody:${there.name}`]: { "*": {} } });
    await eventually("bob has them", async () => (await received(bob)).length >= 3);
    expect(await received(bob)).to.deep.equal([1, 2, 3]);
    const { body } = await bob.get(`${V3}/sync?set_presence=offline`);
    expect(objectsAt(body, "to_device", "events")[0]).to.deep.equal({ type: "m.test", sender: alice.user_id, content: { n: 1 } });
    expect(stringAt(body, "next_batch")).to.be.a("string");
    const rows = { name: "test_outbox", text: "SELECT FROM to_device_outbox UNION ALL SELECT FROM owed_edus WHERE edu_type = 'm.direct_to_device'" };
    await eventually("nothing is left over", async () => (await here.database.read(rows, [])).length === 0);
  });

  it("are taken once for each message id, and only of the server's own users for ours", async () => {
    const mallory = `@mallory:${peer.name}`;
    const edu = (content: JsonObject): JsonObject => ({ edu_type: "m.direct_to_device", content });
    const content = (n: number, message_id: string, sender = mallory): JsonObject => ({
      sender,
      type: "m.test",
      message_id,
      messages: { [alice.user_id]: { [alice.device_id]: { n } }, [bob.user_id]: { [bob.device_id]: { n } } },
    });
    const odd = [{}, { ...content(9, "odd"), messages: [] }, { ...content(9, "odd"), messages: { [alice.user_id]: { "*": "x" } } }, { ...content(9, "odd"), type: 1 }];
    expect(await transaction([edu(content(8, "forged", bob.user_id)), ...odd.map(edu), edu(content(1, "one"))])).to.equal(200);
    expect(await transaction([edu(content(1, "one")), edu(content(2, "two"))])).to.equal(200);
    expect(await received(alice)).to.deep.equal([1, 2]);
    expect(await received(bob)).to.not.include(8);
  });

  it("are kept for a server that has been away for long", async () => {
    const away = "127.0.0.1:9";
    await here.database.write(
      {
        name: "test_away",
        text: "INSERT INTO destinations (server_name, owed_position, failures, first_failure_ts, retry_ts, catch_up_after) VALUES ($1, 0, 9, 1, 9999999999999, 0)",
      },
      [away],
    );
    await send({ [`@carol:${away}`]: { DEVICE: { n: 1 } } });
    const owed = { name: "test_owed", text: "SELECT content FROM owed_edus WHERE destination = $1" };
    await eventually("it is owed", async () => (await here.database.read(owed, [away])).length === 1);
  });
});
