// Sliding sync over several processes and restarts: a client that asks for everything, each time of another process, holds
// what the server holds, whatever happened in what order.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { seeded } from "../support/rooms.js";
import { startTestServer, testClient, type Answer, type TestClient, type TestServer } from "../support/server.js";
import { receiptsIn, SlidingClient, slidingSync } from "../support/sliding-client.js";

const V3 = "/_matrix/client/v3";
const STEPS = 300;

const extensions = { account_data: { enabled: true }, receipts: { enabled: true } };
const everything = { extensions, lists: { all: { timeline_limit: 20, required_state: [["*", "*"]] } } };
/** A window over it, with the same of each room, or less. */
const window = { extensions, lists: { all: { ...everything.lists.all, ranges: [[0, 1]] } } };
const glance = { extensions, lists: { all: { timeline_limit: 3, required_state: [["*", "*"], ["m.room.member", "$LAZY"]], ranges: [[0, 2]] } } };

const eventId = (event: JsonObject): string => stringAt(event, "event_id") ?? "";

describe("sliding sync over processes", () => {
  let servers: TestServer[] = [];
  before(async () => {
    const first = await startTestServer();
    servers = [first, await startTestServer({}, first.address)];
  });
  after(async () => {
    for (const server of servers.toReversed()) await server[Symbol.asyncDispose]();
  });

  const at = (client: TestClient, n: number): TestClient => testClient(servers[n % servers.length]?.url ?? "", client);
  const done = async (answer: Promise<Answer>): Promise<JsonObject> => {
    const { status, body } = await answer;
    expect(status, JSON.stringify(body)).to.equal(200);
    return body;
  };

  /** What differs between what a client holds and what the server says that there is. */
  const differences = async (who: TestClient, held: SlidingClient): Promise<string[]> => {
    const faults = [...held.faults];
    const body = await done(who.get(`${V3}/sync?filter=${encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 20 } } }))}`));
    const joined = objectAt(body, "rooms", "join");
    const ours = [...held.rooms].filter(([, { membership }]) => membership === "join").map(([id]) => id);
    expect(ours).to.have.members(Object.keys(joined));
    const invited = [...held.rooms].filter(([, { membership }]) => membership === "invite").map(([id]) => id);
    expect(invited).to.have.members(Object.keys(objectAt(body, "rooms", "invite")));
    for (const id of ours) {
      const room = held.rooms.get(id);
      const beside = objectsAt(joined, id, "account_data", "events").map((event) => [`${id} ${String(event["type"])}`, JSON.stringify(event["content"])]);
      for (const event of objectsAt(joined, id, "ephemeral", "events")) if (event["type"] === "m.receipt") beside.push(...receiptsIn(id, objectAt(event, "content")));
      for (const [key = "", text] of beside) if (held.beside.get(key) !== text) faults.push(`${key} is ${String(held.beside.get(key))}, not ${String(text)}`);
      const timeline = objectsAt(joined, id, "timeline", "events").map(eventId);
      const tail = room?.timeline.map(eventId) ?? [];
      const common = Math.min(tail.length, timeline.length);
      if (tail.slice(-common).join() !== timeline.slice(-common).join()) faults.push(`${id}: ${tail.join()} is not the end of ${timeline.join()}`);
      const state: unknown = await (await fetch(`${servers[0]?.url}${V3}/rooms/${id}/state`, { headers: { authorization: `Bearer ${who.access_token}` } })).json();
      const current = objectsAt({ state }, "state");
      for (const event of current) {
        const key = JSON.stringify([event["type"], event["state_key"]]);
        if (eventId(room?.state.get(key) ?? {}) !== eventId(event)) faults.push(`${id}: ${key} is ${eventId(room?.state.get(key) ?? {})}, not ${eventId(event)}`);
      }
      const members = current.filter((event) => event["type"] === "m.room.member" && stringAt(event, "content", "membership") === "join");
      if (room?.joined !== members.length) faults.push(`${id}: ${String(room?.joined)} joined, not ${members.length}`);
      const unread = objectAt(joined, id, "unread_notifications")["notification_count"];
      if (room?.notifications !== unread) faults.push(`${id}: ${String(room?.notifications)} unread, not ${String(unread)}`);
    }
    return faults;
  };

  for (const seed of [1, 2]) {
    it(`random traffic, each request at another process (seed ${seed})`, async function () {
      this.timeout(360_000);
      const next = seeded(seed);
      const pick = <Item>(items: readonly [Item, ...Item[]]): Item => items[Math.floor(next() * items.length)] ?? items[0];
      const [first] = servers;
      if (first === undefined) throw new Error("no server");
      const [x, y, z] = [await first.register(`x${seed}`), await first.register(`y${seed}`), await first.register(`z${seed}`)];
      const rooms: string[] = [];
      for (let n = 0; n < 6; n += 1) {
        rooms.push(stringAt(await done(at(x, n).post(`${V3}/createRoom`, { preset: "public_chat" })), "room_id") ?? "");
      }
      for (const room of rooms) await done(at(y, 0).post(`${V3}/join/${room}`));
      const clients = [everything, window, glance].map((usual) => ({ usual, client: new SlidingClient(y) }));
      let sent = 0;
      const act = async (n: number): Promise<void> => {
        const room = rooms[Math.floor(next() * rooms.length)] ?? "";
        const who = at(pick([x, y, z]), n);
        const path = `${V3}/rooms/${room}`;
        // Much of it is refused: who is not in a room cannot send to it.
        switch (Math.floor(next() * 15)) {
          case 0:
            return void (await who.post(`${V3}/join/${room}`));
          case 1:
            return void (await at(pick([y, z]), n).post(`${path}/leave`));
          case 6:
            return void (await at(y, n).post(`${V3}/join/${room}`));
          case 7:
            return void (await at(y, n).put(`${V3}/user/${y.user_id}/rooms/${room}/account_data/org.example.data`, { n }));
          case 8: {
            const [event] = objectsAt((await at(z, n).get(`${path}/messages?dir=b&limit=1`)).body, "chunk");
            return void (await at(z, n).post(`${path}/receipt/m.read/${eventId(event ?? {})}`));
          }
          case 2:
            return void (await at(x, n).post(`${path}/invite`, { user_id: pick([y, z]).user_id }));
          case 3:
            return void (await at(x, n).post(`${path}/${pick(["kick", "ban", "unban", "unban"])}`, { user_id: y.user_id }));
          case 4:
            return void (await at(x, n).put(`${path}/state/m.room.topic`, { topic: String(next()) }));
          case 5:
            return void (await at(x, n).put(`${path}/state/m.room.name`, { name: pick(["", "a", "b"]) }));
          default:
            return void (await who.put(`${path}/send/m.room.message/t${++sent}`, { msgtype: "m.text", body: String(n) }));
        }
      };
      for (let n = 0; n < STEPS; n += 1) {
        await act(n);
        for (const [index, { client, usual }] of clients.entries()) {
          if (next() < 0.8) continue;
          client.use(at(y, n + index));
          const body = { ...(next() < 0.9 ? usual : everything), conn_id: `c${index}` };
          // Some answers get lost.
          if (next() < 0.2) await slidingSync(at(y, n), body, client.pos);
          await client.step(body);
        }
      }
      for (const room of rooms) {
        await at(x, 0).post(`${V3}/rooms/${room}/unban`, { user_id: y.user_id });
        for (const who of [y, z]) await done(at(who, 0).post(`${V3}/join/${room}`));
      }
      // At last, to clients that have everything, something that brings no room into a window.
      for (const [index, { client }] of clients.entries()) await client.step({ ...everything, conn_id: `c${index}` });
      for (const room of rooms) {
        await at(y, 0).put(`${V3}/user/${y.user_id}/rooms/${room}/account_data/org.example.data`, { last: true });
        const [event] = objectsAt((await at(z, 0).get(`${V3}/rooms/${room}/messages?dir=b&limit=1`)).body, "chunk");
        await at(z, 0).post(`${V3}/rooms/${room}/receipt/m.read/${eventId(event ?? {})}`);
      }
      for (const [index, { client, usual }] of clients.entries()) await client.step({ ...usual, conn_id: `c${index}` });
      for (const [index, { client }] of clients.entries()) {
        const body = { ...everything, conn_id: `c${index}` };
        client.use(at(y, index));
        await client.step(body);
        expect(await differences(at(y, 0), client), `client ${index}`).to.deep.equal([]);
        expect(objectAt(await client.step(body), "rooms"), "nothing is left to tell").to.deep.equal({});
      }
    });
  }

  it("goes on after a restart, without telling anything again", async function () {
    this.timeout(600_000);
    const one = await startTestServer();
    const who = await one.register("who");
    const room = stringAt(await done(who.post(`${V3}/createRoom`)), "room_id") ?? "";
    const client = new SlidingClient(who);
    await client.step(everything);
    await one[Symbol.asyncDispose]();
    await using again = await startTestServer({}, one.address);
    const after = testClient(again.url, who);
    client.use(after);
    expect(objectAt(await client.step(everything), "rooms")).to.deep.equal({});
    const waiting = client.step(everything, 30_000);
    await done(after.put(`${V3}/rooms/${room}/send/m.room.message/t`, { msgtype: "m.text", body: "again" }));
    const told = objectAt(await waiting, "rooms", room);
    expect(objectsAt(told, "timeline").map((event) => stringAt(event, "content", "body"))).to.deep.equal(["again"]);
    expect(told).not.to.have.any.keys("initial", "required_state");
  });
});
