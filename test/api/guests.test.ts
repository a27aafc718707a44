// Guests: what they may do, where they may be, and how they become users.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { stringAt } from "../support/json-path.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const FORBIDDEN = [403, "M_GUEST_ACCESS_FORBIDDEN"];

describe("guests", () => {
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    server = await startTestServer({ registration: { guests: true } });
    alice = await server.register("alice");
  });
  after(() => server[Symbol.asyncDispose]());

  async function newGuest(): Promise<TestClient> {
    const answer = await server.anonymous.post(`${V3}/register?kind=guest`, { username: "chosen", device_id: "CHOSEN", password: "long enough" });
    expect(answer.status).to.equal(200);
    expect(answer.body["user_id"]).to.not.equal("@chosen:localhost");
    expect(answer.body["device_id"]).to.not.equal("CHOSEN");
    const { user_id, device_id, access_token } = answer.body;
    return server.client({ user_id: String(user_id), device_id: String(device_id), access_token: String(access_token) });
  }

  const roomOf = async (guest_access: string): Promise<string> => {
    const initial_state = [{ type: "m.room.guest_access", state_key: "", content: { guest_access } }];
    const { body } = await alice.post(`${V3}/createRoom`, { preset: "public_chat", initial_state });
    return encodeURIComponent(stringAt(body, "room_id") ?? "");
  };

  it("may do some things and no others", async () => {
    const guest = await newGuest();
    expect((await guest.get(`${V3}/account/whoami`)).body).to.include({ user_id: guest.user_id, is_guest: true });
    const profile = `${V3}/profile/${encodeURIComponent(guest.user_id)}`;
    expect((await guest.put(`${profile}/displayname`, { displayname: "Guest" })).status).to.equal(200);
    expect((await guest.get(`${V3}/devices`)).status).to.equal(200);
    const refused: [string, Promise<Answer>][] = [
      ["avatar", guest.put(`${profile}/avatar_url`, { avatar_url: "mxc://localhost/x" })],
      ["create", guest.post(`${V3}/createRoom`)],
      ["password", guest.post(`${V3}/account/password`, { new_password: "long enough" })],
      ["deactivate", guest.post(`${V3}/account/deactivate`)],
      ["login token", guest.post("/_matrix/client/v1/login/get_token")],
      ["openid", guest.post(`${V3}/user/${guest.user_id}/openid/request_token`)],
    ];
    for (const [what, answer] of refused) expect(refusal(await answer), what).to.deep.equal(FORBIDDEN);
  });

  it("join rooms that allow it and send there, and are out when that is revoked", async () => {
    const guest = await newGuest();
    const open = await roomOf("can_join");
    const closed = await roomOf("forbidden");
    expect(refusal(await guest.post(`${V3}/join/${closed}`))).to.deep.equal(FORBIDDEN);
    expect((await guest.post(`${V3}/join/${open}`)).status).to.equal(200);
    expect((await guest.put(`${V3}/rooms/${open}/send/m.room.message/1`, { msgtype: "m.text", body: "hello" })).status).to.equal(200);
    const bob = await server.register("bob");
    await bob.post(`${V3}/join/${open}`);

    await alice.put(`${V3}/rooms/${open}/state/m.room.guest_access/`, { guest_access: "forbidden" });
    const membershipOf = async (user: TestClient): Promise<unknown> =>
      (await alice.get(`${V3}/rooms/${open}/state/m.room.member/${encodeURIComponent(user.user_id)}`)).body["membership"];
    await eventually("the guest is out", async () => (await membershipOf(guest)) !== "join");
    expect(await membershipOf(guest)).to.equal("leave");
    expect(await membershipOf(bob)).to.equal("join");
  });

  it("become users by registering with their token", async () => {
    const guest = await newGuest();
    const username = guest.user_id.slice(1, guest.user_id.indexOf(":"));
    const body = { username, password: passwordOf("guest"), auth: { type: "m.login.dummy" } };
    const register = (more: Record<string, unknown>): Promise<Answer> => server.anonymous.post(`${V3}/register`, { ...body, ...more });
    expect(refusal(await register({}))).to.deep.equal([400, "M_USER_IN_USE"]);
    expect(refusal(await register({ guest_access_token: "unknown" }))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
    expect(refusal(await register({ guest_access_token: alice.access_token }))).to.deep.equal([403, "M_FORBIDDEN"]);
    const other = await newGuest();
    expect(refusal(await register({ guest_access_token: other.access_token }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await register({ guest_access_token: guest.access_token, username: undefined }))).to.deep.equal([400, "M_MISSING_PARAM"]);
    const done = await register({ guest_access_token: guest.access_token });
    expect(done.body["user_id"]).to.equal(guest.user_id);
    expect((await guest.get(`${V3}/account/whoami`)).body).to.include({ is_guest: false });
    const login = await server.anonymous.post(`${V3}/login`, { type: "m.login.password", user: username, password: passwordOf("guest") });
    expect(login.status).to.equal(200);
    expect(refusal(await register({ guest_access_token: guest.access_token }))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("are not taken in unless configured", async () => {
    await using closed = await startTestServer();
    expect(refusal(await closed.anonymous.post(`${V3}/register?kind=guest`))).to.deep.equal(FORBIDDEN);
  });
});
