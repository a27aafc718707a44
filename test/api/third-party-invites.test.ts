// People of whom only an address is known are invited, by way of an identity server.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { signingKey, signJson } from "../../src/protocol/signing.js";
import { LOCAL_CERTIFICATE, LOCAL_KEY } from "../support/certificate.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const KEY = signingKey("ed25519:0", createHash("sha256").update("identity").digest());
const OTHER = signingKey("ed25519:0", createHash("sha256").update("another").digest());

const path = (room: string, rest: string): string => `${V3}/rooms/${encodeURIComponent(room)}/${rest}`;

interface IdentityServer extends AsyncDisposable {
  readonly name: string;
  readonly bound: Map<string, string>;
  readonly stored: JsonObject[];
  /** What it answers to instead. */
  broken: boolean;
}

async function bodyOf(request: IncomingMessage): Promise<JsonObject> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? {} : objectAt(JSON.parse(text));
}

async function startIdentityServer(): Promise<IdentityServer> {
  const bound = new Map<string, string>();
  const stored: JsonObject[] = [];
  const state = { broken: false };
  const answer = async (request: IncomingMessage): Promise<[number, unknown]> => {
    if (state.broken) return [500, "broken"];
    if (request.headers.authorization !== "Bearer identity token") return [401, { errcode: "M_UNAUTHORIZED" }];
    const body = await bodyOf(request);
    switch (request.url) {
      case "/_matrix/identity/v2/hash_details":
        return [200, { algorithms: ["none", "sha256"], lookup_pepper: "pepper" }];
      case "/_matrix/identity/v2/lookup": {
        const mappings = [...bound].map(([address, user]) => [createHash("sha256").update(`${address} email pepper`).digest("base64url"), user]);
        const asked = Array.isArray(body["addresses"]) ? body["addresses"] : [];
        return [200, { mappings: Object.fromEntries(mappings.filter(([digest]) => asked.includes(digest))) }];
      }
      case "/_matrix/identity/v2/store-invite":
        stored.push(body);
        return [200, { token: `token${stored.length}`, display_name: "c...@example...", public_keys: [{ public_key: KEY.publicKey, key_validity_url: "https://x/valid" }] }];
      default:
        return [404, {}];
    }
  };
  const server = createServer({ cert: LOCAL_CERTIFICATE, key: LOCAL_KEY }, (request, response) => {
    void answer(request).then(([status, body]) => response.writeHead(status).end(JSON.stringify(body)));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    name: `localhost:${port}`,
    bound,
    stored,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

describe("third-party invites", () => {
  let identity: IdentityServer;
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    identity = await startIdentityServer();
    server = await startTestServer({ outgoing: { allowed_addresses: ["127.0.0.1"], ca: LOCAL_CERTIFICATE } });
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await identity[Symbol.asyncDispose]();
  });

  const by = (address: string): Record<string, string> => ({
    medium: "email",
    address,
    id_server: identity.name,
    id_access_token: "identity token",
  });
  const invite = (room: string, body: Record<string, unknown>, client = alice): Promise<Answer> => client.post(path(room, "invite"), body);
  const membership = async (room: string, user: TestClient): Promise<unknown> =>
    (await alice.get(path(room, `state/m.room.member/${user.user_id}`))).body["membership"];

  it("go to the user whom this server knows by the address, without asking anybody", async () => {
    const text = `INSERT INTO third_party_ids (server_name, medium, address, user_nid, validated_ts, added_ts)
      SELECT 'localhost', 'email', 'bob@example.org', nid, 1, 1 FROM users WHERE user_id = $1 RETURNING 1 AS one`;
    await server.database.write({ name: "test_bind", text }, [bob.user_id]);
    const room = await roomOf(alice);
    expect((await invite(room, { medium: "email", address: " Bob@Example.org" })).body).to.deep.equal({});
    expect(await membership(room, bob)).to.equal("invite");
  });

  it("go to the user whom the identity server knows", async () => {
    identity.bound.set("bob@elsewhere.example", bob.user_id);
    const room = await roomOf(alice);
    expect((await invite(room, by("bob@elsewhere.example"))).body).to.deep.equal({});
    expect(await membership(room, bob)).to.equal("invite");
    expect(identity.stored).to.have.length(0);
  });

  it("become invitations of who shows that the address is theirs", async () => {
    const [carol, mallory] = await Promise.all([server.register("carol"), server.register("mallory")]);
    const room = await roomOf(alice, { name: "Talk", invite_3pid: [by("carol@example.org")] });
    expect(identity.stored.at(-1)).to.include({ medium: "email", address: "carol@example.org", room_id: room, sender: alice.user_id, room_name: "Talk" });
    const token = `token${identity.stored.length}`;
    const event = await alice.get(path(room, `state/m.room.third_party_invite/${token}`));
    expect(event.body).to.include({ display_name: "c...@example...", public_key: KEY.publicKey });
    expect(JSON.stringify(event.body)).not.to.include("carol@");

    const signed = (user: TestClient, key = KEY): Record<string, unknown> => ({
      sender: alice.user_id,
      ...signJson({ mxid: user.user_id, token }, identity.name, key),
    });
    const join = (user: TestClient, proof: Record<string, unknown>): Promise<Answer> =>
      user.post(path(room, "join"), { third_party_signed: proof });
    expect(refusal(await join(mallory, signed(mallory, OTHER)))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await join(mallory, signed(carol)))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await join(mallory, { ...signed(mallory), token: "none" }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(await membership(room, mallory)).to.equal(undefined);
    expect((await join(carol, signed(carol))).body).to.deep.equal({ room_id: room });
    expect(await membership(room, carol)).to.equal("join");
    const members = objectsAt((await alice.get(path(room, "messages?dir=b&limit=10"))).body, "chunk").filter(({ state_key }) => state_key === carol.user_id);
    expect(members.map((member) => stringAt(member, "content", "membership"))).to.deep.equal(["join", "invite"]);
    // Some identity servers sign the inviter with it.
    const more = signJson({ mxid: mallory.user_id, token, sender: alice.user_id }, identity.name, KEY);
    expect((await join(mallory, { ...more, unsigned: {} })).body).to.deep.equal({ room_id: room });
    expect(stringAt(members[1], "content", "third_party_invite", "signed", "token")).to.equal(token);
  });

  it("are refused where they cannot be", async () => {
    const room = await roomOf(alice);
    const stored = identity.stored.length;
    const { id_server, id_access_token, ...address } = by("dave@example.org");
    expect(refusal(await invite(room, address))).to.deep.equal([400, "M_MISSING_PARAM"]);
    expect(refusal(await invite(room, { ...address, id_server }))).to.deep.equal([400, "M_MISSING_PARAM"]);
    expect(refusal(await invite(room, { ...address, id_access_token, id_server: "no server" }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await invite(room, by("nobody")))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await invite(room, { ...by("dave@example.org"), medium: "pigeon" }))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect(refusal(await invite(room, {}))).to.deep.equal([400, "M_BAD_JSON"]);
    expect(refusal(await invite(room, by("dave@example.org"), bob))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await invite(room, { ...by("dave@example.org"), id_access_token: "wrong" }))).to.deep.equal([502, "M_UNKNOWN"]);
    expect(refusal(await invite(room, { ...by("dave@example.org"), id_server: "10.0.0.1" }))).to.deep.equal([502, "M_UNKNOWN"]);
    identity.broken = true;
    expect(refusal(await invite(room, by("dave@example.org")))).to.deep.equal([502, "M_UNKNOWN"]);
    identity.broken = false;
    expect(identity.stored).to.have.length(stored);
  });
});
