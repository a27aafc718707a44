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

  it("notes no events for a server that fails for a while, and tells it the newest of each room when it is back", async () => {
    await using away = await startPeer();
    const said: (string | undefined)[] = [];
    let status = 200;
    away.answer("/_matrix/federation/v1/send", ({ body }) => {
      if (status === 200) said.push(...objectsAt(body, "pdus").map((pdu) => stringAt(pdu, "content", "body")));
      return { status, body: { pdus: {} } };
    });
    const quiet = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
    await joinAsPeer(away, here, quiet);
    await joinAsPeer(away, here, room);
    const tell = async (to: string, body: string): Promise<void> => {
      expect((await alice.put(`${V3}/rooms/${to}/send/m.room.message/${body}`, { msgtype: "m.text", body })).status).to.equal(200);
    };
    await tell(quiet, "there");
    await eventually("it is told", () => said.includes("there"));
    status = 502;
    const wake = (): Promise<unknown> => away.request(here.federationUrl, here.name, "GET", `/_matrix/federation/v1/query/profile?user_id=${encodeURIComponent(alice.user_id)}`);
    const state = { name: "test_behind", text: "SELECT failures, behind_after, (SELECT count(*) FROM owed_events WHERE destination = server_name) AS owed FROM destinations WHERE server_name = $1 AND claimed_by IS NULL" };
    const stands = async (): Promise<{ failures: number; behind_after: number | null; owed: number } | undefined> =>
      (await here.database.read<{ failures: number; behind_after: number | null; owed: number }>(state, [away.name]))[0];
    await tell(quiet, "unanswered");
    await eventually("it fails", async () => ((await stands())?.failures ?? 0) > 0);
    await here.database.write({ name: "test_long_ago", text: "UPDATE destinations SET first_failure_ts = first_failure_ts - 120000, retry_ts = 1 WHERE server_name = $1" }, [away.name]);
    await eventually("it is left behind", async () => typeof (await stands())?.behind_after === "number");
    const before = (await stands())?.owed ?? 0;
    for (let index = 1; index <= 5; index += 1) {
      await tell(quiet, `quiet${index}`);
      await tell(room, `loud${index}`);
    }
    await eventually("others are told", () => heard.includes("loud5"));
    expect((await stands())?.owed ?? 0).to.be.at.most(before + 2);
    status = 200;
    await eventually("it is told the newest", async () => await wake().then(() => said.includes("quiet5") && said.includes("loud5")));
    expect(said.filter((body) => body !== undefined)).to.include("unanswered").and.not.include("quiet1").and.not.include("loud1");
    await tell(quiet, "again");
    await eventually("it is told all again", () => said.includes("again"));
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
