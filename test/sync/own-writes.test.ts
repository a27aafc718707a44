// What a client was told is done, its next sync shows, without waiting for it.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { freshDatabase } from "../support/postgres.js";
import { roomOf, startTestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("own writes", () => {
  it("are in the next sync of the client, whatever wrote them", async () => {
    await using server = await startTestServer({}, await freshDatabase());
    const alice = await server.register("alice");
    const room = await roomOf(alice);
    const sync = async (since?: string) => (await alice.get(`${V3}/sync${since === undefined ? "" : `?since=${since}`}`)).body;
    let since = stringAt(await sync(), "next_batch");
    for (let round = 0; round < 100; round += 1) {
      const text = String(round);
      expect((await alice.put(`${V3}/user/${alice.user_id}/account_data/round`, { text })).status).to.equal(200);
      let body = await sync(since);
      expect(objectsAt(body, "account_data", "events").map((event) => stringAt(event, "content", "text"))).to.deep.equal([text]);
      expect((await alice.put(`${V3}/rooms/${encodeURIComponent(room)}/send/m.room.message/${text}`, { body: text })).status).to.equal(200);
      body = await sync(stringAt(body, "next_batch"));
      const shown = objectsAt(objectAt(body, "rooms", "join", room), "timeline", "events");
      expect(shown.map((event) => stringAt(event, "content", "body"))).to.deep.equal([text]);
      since = stringAt(body, "next_batch");
    }
  });

  it("are so also where another process writes to the room", async () => {
    const address = await freshDatabase();
    await using owner = await startTestServer({}, address);
    await using other = await startTestServer({}, address);
    const room = await roomOf(await owner.register("alice"));
    const alice = other.client(await owner.login("alice"));
    let since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch");
    for (let round = 0; round < 100; round += 1) {
      expect((await alice.put(`${V3}/rooms/${encodeURIComponent(room)}/send/m.room.message/${round}`, { body: `${round}` })).status).to.equal(200);
      const { body } = await alice.get(`${V3}/sync?since=${since}`);
      const shown = objectsAt(objectAt(body, "rooms", "join", room), "timeline", "events");
      expect(shown.map((event) => stringAt(event, "content", "body"))).to.deep.equal([`${round}`]);
      since = stringAt(body, "next_batch");
    }
  });

  it("are so also where positions were left out", async () => {
    await using server = await startTestServer({}, await freshDatabase());
    const alice = await server.register("alice");
    const room = await roomOf(alice);
    let since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch");
    for (let round = 0; round < 100; round += 1) {
      await server.database.read({ name: "leave_out", text: "SELECT nextval('log_position')" }, []);
      expect((await alice.put(`${V3}/rooms/${encodeURIComponent(room)}/send/m.room.message/${round}`, { body: `${round}` })).status).to.equal(200);
      const { body } = await alice.get(`${V3}/sync?since=${since}`);
      const shown = objectsAt(objectAt(body, "rooms", "join", room), "timeline", "events");
      expect(shown.map((event) => stringAt(event, "content", "body"))).to.deep.equal([`${round}`]);
      since = stringAt(body, "next_batch");
    }
  });
});
