// One room is flooded by another server: what waits for it stays within bounds, other rooms go on, nothing is lost.
import { expect } from "chai";
import type { EventId } from "../../src/protocol/identifiers.js";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { stringAt } from "../support/json-path.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const MB = 1024 * 1024;

describe("a flood for one room", () => {
  let server: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  before(async () => {
    [server, peer] = await Promise.all([startFederatingServer({ metrics: { enabled: true } }), startPeer()]);
    alice = await server.register("alice");
  });
  after(async () => {
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    for (const part of [server, peer]) await part[Symbol.asyncDispose]();
  });

  const newRoom = async (): Promise<string> => stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
  async function inMemory(): Promise<number> {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/cache="inbound_events"[^}]*\} (\d+)/.exec(text)?.[1]);
  }
  async function numberOf(table: "staged" | "placed", room: string): Promise<number> {
    const text = {
      staged: "SELECT count(*) AS count FROM staged_events WHERE room_id = $1",
      placed: "SELECT count(*) AS count FROM events e JOIN rooms r ON r.nid = e.room_nid WHERE r.room_id = $1 AND e.flags = 0",
    }[table];
    const [row] = await server.database.read<{ count: number }>({ name: `test_flood_${table}`, text }, [room]);
    return Number(row?.count);
  }

  it("waits in the database beyond what memory may hold, and is worked in at last", async () => {
    const [flooded, other] = [await joinAsPeer(peer, server, await newRoom()), await joinAsPeer(peer, server, await newRoom())];
    const before = await numberOf("placed", flooded.room);
    let speak: (answer: PeerAnswer) => void = () => undefined;
    const silence = new Promise<PeerAnswer>((resolve) => (speak = resolve));
    peer.answer("/_matrix/federation/v1/get_missing_events", () => silence);
    // The room waits for what this one follows.
    const stuck = flooded.event({ prev_events: [`$${"A".repeat(43)}` as EventId] });
    const sending = [flooded.send([stuck.wire])];
    await eventually("it is asked for", () => peer.asked.some((line) => line.includes("get_missing_events")));
    let last = flooded.join;
    const flood = Array.from({ length: 5 }, () =>
      Array.from({ length: 40 }, () => {
        const { id, wire } = flooded.event({ prev_events: [last], content: { body: "x".repeat(50_000), msgtype: "m.text" } });
        last = id;
        return wire;
      }),
    );
    for (const pdus of flood) {
      sending.push(flooded.send(pdus));
      const expected = 1 + 40 * (sending.length - 1);
      await eventually("it is kept", async () => (await numberOf("staged", flooded.room)) === expected);
    }
    await eventually("the memory is as full as it may be", async () => (await inMemory()) > MB);
    expect(await inMemory()).to.be.lessThan(4 * MB + 1);
    const { id, wire } = other.event();
    await other.send([wire]);
    expect((await alice.get(`${V3}/rooms/${other.room}/event/${encodeURIComponent(id)}`)).status).to.equal(200);
    speak({ status: 200, body: { events: [] } });
    await eventually("all of it is in the room", async () => (await numberOf("placed", flooded.room)) === before + 200, 180_000);
    expect((await Promise.all(sending)).map(({ status }) => status)).to.deep.equal(sending.map(() => 200));
    expect(await inMemory()).to.equal(0);
    expect(await numberOf("staged", flooded.room)).to.equal(1);
  });
});
