// What another server was sent and has not answered: it may have taken it all the same.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { startPeer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import { freshDatabase } from "../support/postgres.js";
import { roomOf, startTestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const OPEN = { name: "test_open", text: "SELECT open_until FROM destinations WHERE server_name = $1 AND claimed_by IS NOT NULL" };

interface Taken {
  readonly path: string;
  readonly bodies: (string | undefined)[];
}

describe("a transaction without an answer", () => {
  it("is sent again under the same id with the same events, also by the next process", async () => {
    const [port, address] = [await freePort(), await freshDatabase()];
    const [name, federationUrl] = [`localhost:${port}`, `https://localhost:${port}`];
    await using peer = await startPeer();
    const taken: Taken[] = [];
    const fixed: unknown[] = [];
    let status = 502;
    const first = await startTestServer(federationSettings(port), address);
    peer.answer("/_matrix/federation/v1/send/", async ({ path, body }) => {
      const bodies = objectsAt(body, "pdus").map((pdu) => stringAt(pdu, "content", "body"));
      // What is sent is fixed before it is: who is killed now goes on with the same.
      if (bodies.length === 0) return { status: 200, body: { pdus: {} } };
      if (taken.length === 0) fixed.push(...(await first.database.read(OPEN, [peer.name])));
      taken.push({ path, bodies });
      return { status, body: { pdus: {} } };
    });
    const alice = await first.register("alice");
    const room = await roomOf(alice, { preset: "public_chat" });
    await joinAsPeer(peer, { name, federationUrl }, room);
    const say = async (server: { client: typeof first.client }, body: string): Promise<void> => {
      expect((await server.client(alice).put(`${V3}/rooms/${room}/send/m.room.message/${body}`, { msgtype: "m.text", body })).status).to.equal(200);
    };
    // Who is heard of is tried at once.
    const wake = async (): Promise<void> => void (await peer.request(federationUrl, name, "GET", `/_matrix/federation/v1/query/profile?user_id=${encodeURIComponent(alice.user_id)}`));
    await say(first, "one");
    await eventually("it is sent", () => taken.length > 0);
    expect(fixed).to.have.length(1);
    await say(first, "two");
    await alice.put(`${V3}/rooms/${room}/typing/${alice.user_id}`, { typing: false });
    await eventually("it is sent again", async () => await wake().then(() => taken.length > 1));
    await first[Symbol.asyncDispose]();
    await using second = await startTestServer(federationSettings(port), address);
    await say(second, "three");
    const before = taken.length;
    await eventually("it is sent once more", async () => await wake().then(() => taken.length > before));
    status = 200;
    await eventually("all is sent", async () => await wake().then(() => taken.some(({ bodies }) => bodies.includes("three"))));
    const again = taken.filter(({ bodies }) => bodies.includes("one"));
    expect(again.length).to.be.greaterThan(2);
    expect(new Set(again.map(({ path, bodies }) => `${path} ${bodies.join(" ")}`)).size).to.equal(1);
    expect(again[0]?.bodies).to.deep.equal(["one"]);
    expect(taken.at(-1)).to.deep.include({ bodies: ["two", "three"] });
    expect(taken.at(-1)?.path).to.not.equal(again[0]?.path);
  });
});
