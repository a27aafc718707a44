// Guests in rooms of other servers ("Guest Access").
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { refusal, roomOf, type TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";

describe("guests in rooms of other servers", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let alice: TestClient;
  let guest: TestClient;
  before(async () => {
    [here, there] = await Promise.all([startFederatingServer(), startFederatingServer({ registration: { guests: true } })]);
    alice = await here.register("alice");
    const { user_id, device_id, access_token } = (await there.anonymous.post(`${V3}/register?kind=guest`)).body;
    guest = there.client({ user_id: String(user_id), device_id: String(device_id), access_token: String(access_token) });
  });
  after(async () => {
    for (const server of [here, there]) await server[Symbol.asyncDispose]();
  });

  const withAccess = (guest_access: string): object => ({ initial_state: [{ type: "m.room.guest_access", state_key: "", content: { guest_access } }] });
  const join = (room: string): ReturnType<TestClient["post"]> => guest.post(`${V3}/rooms/${encodeURIComponent(room)}/join?via=${here.name}`);

  it("join where the room lets guests join, and are out when it no longer does", async () => {
    const open = await roomOf(alice, { preset: "public_chat", ...withAccess("can_join") });
    const closed = await roomOf(alice, { preset: "public_chat", ...withAccess("forbidden") });
    expect(refusal(await join(closed))).to.deep.equal([403, "M_GUEST_ACCESS_FORBIDDEN"]);
    expect((await guest.post(`${V3}/join/${encodeURIComponent(open)}?via=${here.name}`)).status).to.equal(200);
    await alice.put(`${V3}/rooms/${open}/state/m.room.guest_access`, { guest_access: "forbidden" });
    await eventually("the guest is out", async () => {
      const { body } = await alice.get(`${V3}/rooms/${open}/state/m.room.member/${encodeURIComponent(guest.user_id)}`);
      return body["membership"] === "leave";
    });
  });

  it("join where they are invited, if guests may", async () => {
    for (const [access, status] of [["can_join", 200], ["forbidden", 403]] as const) {
      const room = await roomOf(alice, { preset: "private_chat", invite: [guest.user_id], ...withAccess(access) });
      expect((await join(room)).status, access).to.equal(status);
    }
  });
});
