// Addresses that were invited are bound to users of other servers (server-server API, "Third-party invites").
import { createHash } from "node:crypto";
import { expect } from "chai";
import { signingKey, signJson } from "../../src/protocol/signing.js";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";
import type { Answer, TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const KEY = signingKey("ed25519:0", createHash("sha256").update("identity").digest());
const OTHER = signingKey("ed25519:0", createHash("sha256").update("another").digest());

describe("third-party invites between servers", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let alice: TestClient;
  let bob: TestClient;
  let peer: Peer;
  let tokens = 0;
  before(async () => {
    [one, two, peer] = await Promise.all([startFederatingServer(), startFederatingServer(), startPeer()]);
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    for (const server of [one, two]) expect((await fsck(server.database)).problems).to.deep.equal([]);
    await Promise.all([one, two, peer].map((server) => server[Symbol.asyncDispose]()));
  });

  /** A room of alice's, to which an address was invited under a token. */
  async function invitedAddress(request: JsonObject = {}): Promise<{ room: string; token: string }> {
    const room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "private_chat", ...request })).body, "room_id") ?? "";
    const token = `token${++tokens}`;
    const content = { display_name: "b...@e...", key_validity_url: "https://identity.example/valid", public_key: KEY.publicKey };
    expect((await alice.put(`${V3}/rooms/${room}/state/m.room.third_party_invite/${token}`, content)).status).to.equal(200);
    return { room, token };
  }
  const signed = (mxid: string, token: string, key = KEY): JsonObject => signJson({ mxid, token }, "identity.example", key);
  const bind = (user: TestClient, room: string, proof: JsonObject, sender = alice.user_id): Promise<Answer> => {
    const address = { medium: "email", address: "b@example.org", mxid: user.user_id };
    // Identity servers send it with POST, the specification with PUT.
    const body = { ...address, invites: [{ ...address, room_id: room, sender, signed: proof }] };
    return two.anonymous.request(tokens % 2 === 0 ? "PUT" : "POST", "/_matrix/federation/v1/3pid/onbind", body);
  };
  const membership = async (room: string, user: string): Promise<unknown> =>
    (await alice.get(`${V3}/rooms/${room}/state/m.room.member/${user}`)).body["membership"];
  const invitation = async (client: TestClient, room: string): Promise<unknown> => objectAt((await client.get(`${V3}/sync`)).body, "rooms", "invite")[room];

  for (const room_version of ["1", "11"]) {
    it(`the inviter's server is asked to invite, version ${room_version}`, async () => {
      const { room, token } = await invitedAddress({ room_version });
      expect((await bind(bob, room, signed(bob.user_id, token))).body).to.deep.equal({});
      expect(await membership(room, bob.user_id)).to.equal("invite");
      const { content } = (await alice.get(`${V3}/rooms/${room}/state/m.room.member/${bob.user_id}?format=event`)).body;
      expect(objectAt(content, "third_party_invite")).to.include({ display_name: "b...@e..." });
      await eventually("bob is invited", async () => (await invitation(bob, room)) !== undefined);
      expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
      // Once more: nothing happens to who is there.
      expect((await bind(bob, room, signed(bob.user_id, token))).body).to.deep.equal({});
      expect(await membership(room, bob.user_id)).to.equal("join");
    });

    it(`a server in the room invites by itself, version ${room_version}`, async () => {
      const { room, token } = await invitedAddress({ room_version });
      const carol = await two.register(`carol${room_version}`);
      await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id });
      expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}`)).status).to.equal(200);
      expect((await bind(carol, room, signed(carol.user_id, token))).body).to.deep.equal({});
      expect(await invitation(carol, room)).not.to.equal(undefined);
      await eventually("alice sees it", async () => (await membership(room, carol.user_id)) === "invite");
    });
  }

  it("what was signed by another, for another or for nobody here, invites nobody", async () => {
    const { room, token } = await invitedAddress();
    const dave = await two.register("dave");
    expect((await bind(dave, room, signed(dave.user_id, token, OTHER))).status).to.equal(200);
    expect((await bind(dave, room, signed(bob.user_id, token))).status).to.equal(200);
    expect((await bind(dave, room, signed(dave.user_id, "no token"))).status).to.equal(200);
    expect((await bind(dave, room, signed(dave.user_id, token), `@nobody:${one.name}`)).status).to.equal(200);
    expect(await membership(room, dave.user_id)).to.equal(undefined);
    const nobody = { ...dave, user_id: `@nobody:${two.name}` };
    expect((await bind(nobody, room, signed(nobody.user_id, token))).body["errcode"]).to.equal("M_INVALID_PARAM");
    expect((await bind(alice, room, signed(alice.user_id, token))).body["errcode"]).to.equal("M_INVALID_PARAM");
    expect((await two.anonymous.put("/_matrix/federation/v1/3pid/onbind", { medium: "email" })).body["errcode"]).to.equal("M_BAD_JSON");
  });

  it("servers ask for their own users' invitations, by who has invited", async () => {
    const { room, token } = await invitedAddress();
    const eve = `@eve:${peer.name}`;
    const exchange = async (change: JsonObject = {}, proof = signed(eve, token), path = room): Promise<unknown[]> => {
      const content = { membership: "invite", third_party_invite: { display_name: "e", signed: proof } };
      const body = { type: "m.room.member", room_id: room, sender: alice.user_id, state_key: eve, content, ...change };
      const uri = `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(path)}`;
      const answer = await peer.request(one.federationUrl, one.name, "PUT", uri, body as never);
      return [answer.status, answer.body["errcode"]];
    };
    const asked = (): number => peer.asked.filter((line) => line.startsWith("PUT /_matrix/federation/v2/invite/")).length;
    peer.answer("/_matrix/federation/v2/invite/", ({ body }) => ({ status: 200, body: { event: (body as { event: never }).event } }));
    expect(await exchange({ type: "m.room.name" })).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(await exchange({ room_id: "!other:x" })).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(await exchange({ content: {} })).to.deep.equal([400, "M_BAD_JSON"]);
    expect(await exchange({ state_key: bob.user_id }, signed(bob.user_id, token))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await exchange({ sender: bob.user_id })).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await exchange({ sender: `@zoe:${one.name}` })).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await exchange({}, signed(eve, "another"))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await exchange({}, signed(eve, token, OTHER))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await exchange({}, signed(bob.user_id, token))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(await exchange({ room_id: "!other:x" }, signed(eve, token), "!other:x")).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(asked()).to.equal(0);
    expect(await exchange()).to.deep.equal([200, undefined]);
    expect([asked(), await membership(room, eve)]).to.deep.equal([1, "invite"]);
  });
});
