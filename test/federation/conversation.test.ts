// Rooms that several servers share: what is said on one is seen on all, also after one of them was away.
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import type { TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("rooms of several servers", () => {
  let servers: FederatingServer[];
  let users: TestClient[];
  let room = "";
  let sent = 0;
  before(async () => {
    servers = await Promise.all([startFederatingServer(), startFederatingServer(), startFederatingServer()]);
    users = await Promise.all(servers.map((server, index) => server.register(["alice", "bob", "carol"][index] ?? "")));
    const [alice, ...others] = users;
    const created = await alice?.post(`${V3}/createRoom`, { preset: "public_chat" });
    room = stringAt(created?.body, "room_id") ?? "";
    for (const user of others) {
      const joined = await user.post(`${V3}/join/${encodeURIComponent(room)}?via=${servers[0]?.name}`);
      expect(joined.status).to.equal(200);
    }
  });
  after(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  /** Waits until an expectation holds; its last failure is what is thrown if it never does. */
  async function settles(expectation: () => Promise<unknown>): Promise<void> {
    let failure: unknown;
    const holds = async (): Promise<boolean> => {
      try {
        await expectation();
        return true;
      } catch (error) {
        failure = error;
        return false;
      }
    };
    await eventually("servers agree", holds).catch(() => {
      throw failure;
    });
  }

  async function say(user: TestClient | undefined, body: string): Promise<string> {
    const answer = await user?.put(`${V3}/rooms/${room}/send/m.room.message/${++sent}`, { msgtype: "m.text", body });
    return stringAt(answer?.body, "event_id") ?? "";
  }
  async function messages(user: TestClient): Promise<string[]> {
    const { body } = await user.get(`${V3}/rooms/${room}/messages?dir=b&limit=100&filter=${encodeURIComponent('{"types":["m.room.message"]}')}`);
    return objectsAt(body, "chunk").map((event) => String(objectAt(event, "content")["body"]));
  }
  async function state(user: TestClient): Promise<Record<string, unknown>> {
    const { body } = await user.request("GET", `${V3}/rooms/${room}/members`);
    return Object.fromEntries(objectsAt(body, "chunk").map((event: JsonObject) => [String(event["state_key"]), objectAt(event, "content")["membership"]]));
  }

  it("have the same members everywhere, also those who joined through another server", async () => {
    for (const user of users) {
      await settles(async () => expect(Object.keys(await state(user))).to.have.members(users.map(({ user_id }) => user_id)));
    }
  });

  it("show everywhere what is said anywhere", async () => {
    const said: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      for (const [index, user] of users.entries()) {
        said.push(`${round}/${index}`);
        await say(user, said.at(-1) ?? "");
      }
    }
    for (const user of users) await settles(async () => expect(await messages(user)).to.have.members(said));
  });

  it("take redactions and kicks from each other", async () => {
    const [alice, bob, carol] = users;
    const event = await say(bob, "to be taken back");
    await settles(async () => expect(await messages(carol as TestClient)).to.include("to be taken back"));
    await bob?.put(`${V3}/rooms/${room}/redact/${event}/${++sent}`, {});
    await settles(async () => expect(await messages(carol as TestClient)).to.not.include("to be taken back"));
    await alice?.post(`${V3}/rooms/${room}/kick`, { user_id: carol?.user_id });
    await settles(async () => expect((await state(bob as TestClient))[carol?.user_id ?? ""]).to.equal("leave"));
    await settles(async () => {
      const answer = await carol?.get(`${V3}/joined_rooms`);
      expect(answer?.body["joined_rooms"]).to.deep.equal([]);
    });
    const before = await messages(carol as TestClient);
    await say(alice, "without carol");
    await settles(async () => expect(await messages(bob as TestClient)).to.include("without carol"));
    expect(await messages(carol as TestClient)).to.deep.equal(before);
    const back = await carol?.post(`${V3}/join/${encodeURIComponent(room)}?via=${servers[1]?.name}`);
    expect(back?.status).to.equal(200);
    await settles(async () => expect((await state(alice as TestClient))[carol?.user_id ?? ""]).to.equal("join"));
    await say(alice, "with carol");
    await settles(async () => expect(await messages(carol as TestClient)).to.include("with carol"));
  });

  it("leave every database sound", async () => {
    for (const server of servers) expect((await fsck(server.database)).problems).to.deep.equal([]);
  });
});
