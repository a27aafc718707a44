// Who is sent to at the same time: nobody waits for a server that does not answer, and what was left lying is taken up again.
import { createServer, type AddressInfo, type Socket } from "node:net";
import { expect } from "chai";
import { type ServerName, parseServerName } from "../../src/protocol/identifiers.js";
import { owe } from "../../src/storage/destinations.js";
import { eventually } from "../support/eventually.js";
import { federationSettings, startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
/** More than are sent to at the same time. */
const HOLES = 120;

describe("sending to other servers", () => {
  let here: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let room = "";
  const heard: string[] = [];
  const holes = new Set<Socket>();
  let tried = 0;
  let givenUp = 0;
  const hole = createServer((socket) => {
    tried += 1;
    holes.add(socket);
    socket.on("error", () => undefined).on("close", () => (givenUp += 1)).resume();
  });
  before(async () => {
    const outgoing = { ...(federationSettings(0)["outgoing"] as object), connect_seconds: 60, idle_seconds: 60 };
    [here, peer] = await Promise.all([startFederatingServer({ outgoing }), startPeer()]);
    alice = await here.register("alice");
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    peer.answer("/_matrix/federation/v1/send", ({ body }) => {
      heard.push(...objectsAt(body, "pdus").map((pdu) => stringAt(pdu, "content", "body") ?? ""));
      return { status: 200, body: { pdus: {} } };
    });
    await joinAsPeer(peer, here, room);
    await new Promise<void>((resolve) => hole.listen(0, "0.0.0.0", resolve));
  });
  after(async () => {
    for (const socket of holes) socket.destroy();
    await Promise.all([here[Symbol.asyncDispose](), peer[Symbol.asyncDispose](), new Promise((resolve) => hole.close(resolve))]);
  });

  const say = async (body: string): Promise<void> => {
    expect((await alice.put(`${V3}/rooms/${room}/send/m.room.message/${body}`, { msgtype: "m.text", body })).status).to.equal(200);
  };

  it("takes up again what was claimed and left lying", async () => {
    await say("first");
    await eventually("it is told", () => heard.includes("first"));
    const release = { name: "test_released", text: "SELECT 1 FROM destinations WHERE server_name = $1 AND claimed_by IS NULL" };
    await eventually("it has been let go of", async () => (await here.database.read(release, [peer.name])).length > 0);
    const claim = { name: "test_claim", text: "UPDATE destinations SET claimed_by = (SELECT max(nid) FROM processes), claimed_until_ts = 9e15 WHERE server_name = $1" };
    await here.database.write(claim, [peer.name]);
    await say("second");
    await eventually("it is told as well", () => heard.includes("second"));
    expect(heard).to.deep.equal(["first", "second"]);
  });

  it("goes on with others while many do not answer", async () => {
    const { port } = hole.address() as AddressInfo;
    const names = Array.from({ length: HOLES }, (_, index): ServerName => parseServerName(`127.0.1.${index + 1}:${port}`) ?? peer.name);
    const [origin = peer.name] = [parseServerName(here.name)];
    const edus = names.map((destination) => ({ destination, position: 1, edu_type: "m.test", key: "", origin, content: "{}" }));
    await here.database.transaction(async (tx) => await owe(tx, [], edus, 1));
    await eventually("all are tried", () => tried >= HOLES, 120_000);
    await say("third");
    await eventually("it is told meanwhile", () => heard.includes("third"));
    expect(givenUp, "others are still waited for").to.be.lessThan(HOLES);
    expect(heard).to.deep.equal(["first", "second", "third"]);
  });

  it("tells everything once and in order, however often it begins and ends to send", async () => {
    heard.length = 0;
    const said = Array.from({ length: 100 }, (_, index) => `message${index}`);
    for (const body of said) {
      await say(body);
      // Most often this is when the one before has just been told.
      if (said.indexOf(body) % 3 === 0) await eventually("it is told", () => heard.includes(body));
    }
    await eventually("all is told", () => heard.includes(said.at(-1) ?? ""));
    expect(heard).to.deep.equal(said);
  });
});
