// Admission to group calls, which a LiveKit server carries.
import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { TokenVerifier } from "livekit-server-sdk";
import { checkConfig, ConfigError } from "../../src/config.js";
import { eventually } from "../support/eventually.js";
import { type FederatingServer, federationSettings, startFederatingServer } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectAt, stringAt } from "../support/json-path.js";
import { type Answer, refusal, roomOf, startTestServer, type TestClient, type TestServer } from "../support/server.js";
import { startWebServer, type WebServer } from "../support/web-server.js";

const V3 = "/_matrix/client/v3";
const KEY = "hansa";
const SECRET = "what the two servers share, long enough";
const hashOf = (...parts: string[]): string => createHash("sha256").update(JSON.stringify(parts)).digest("base64").replace(/=+$/, "");

describe("group calls by LiveKit", () => {
  let sfu: WebServer;
  let server: TestServer;
  let name: string;
  let other: FederatingServer;
  let opened: { room: string; authorization: string }[];
  let sfuStatus = 200;
  let room: string;
  let alice: TestClient;

  before(async () => {
    opened = [];
    sfu = await startWebServer({
      "/twirp/livekit.RoomService/CreateRoom": (response, request) => {
        void (async () => {
          opened.push({ room: stringAt(objectAt(JSON.parse((await buffer(request)).toString())), "name") ?? "", authorization: request.headers.authorization ?? "" });
          response.writeHead(sfuStatus, { "content-type": "application/json" }).end("{}");
        })();
      },
    });
    const port = await freePort();
    name = `localhost:${port}`;
    server = await startTestServer({
      ...federationSettings(port),
      servers: [{ name, public_base_url: "https://matrix.example.org/" }],
      voip: { livekit: { url: "wss://livekit.example.org", internal_url: sfu.url.replace("http", "ws"), api_key: KEY, api_secret: SECRET, token_seconds: 600 } },
    });
    other = await startFederatingServer();
    alice = await server.register("alice");
    room = await roomOf(alice, { preset: "public_chat" });
  });
  after(async () => {
    for (const part of [server, other, sfu]) await part[Symbol.asyncDispose]();
  });

  const tokenOf = async (client: TestClient): Promise<Record<string, unknown>> => (await client.post(`${V3}/user/${encodeURIComponent(client.user_id)}/openid/request_token`)).body;
  const older = async (client: TestClient, more: Record<string, unknown> = {}): Promise<Answer> =>
    server.anonymous.post("/livekit/jwt/sfu/get", { room, device_id: client.device_id, openid_token: await tokenOf(client), ...more });
  const newer = async (client: TestClient, more: Record<string, unknown> = {}): Promise<Answer> =>
    server.anonymous.post("/livekit/jwt/get_token", {
      room_id: room,
      slot_id: "m.call#other",
      openid_token: await tokenOf(client),
      member: { id: "m1", claimed_user_id: client.user_id, claimed_device_id: client.device_id },
      ...more,
    });
  async function claimsOf({ status, body }: Answer): Promise<{ sub: unknown; video: unknown; seconds: number }> {
    expect([status, body["url"]]).to.deep.equal([200, "wss://livekit.example.org"]);
    const { sub, video, exp } = await new TokenVerifier(KEY, SECRET).verify(stringAt(body, "jwt") ?? "");
    return { sub, video, seconds: (exp ?? 0) - Date.now() / 1000 };
  }
  const grant = (slot: string): Record<string, unknown> => ({
    roomJoin: true,
    room: hashOf(room, slot),
    roomCreate: false,
    canPublish: true,
    canSubscribe: true,
    canUpdateOwnMetadata: true,
  });

  it("are announced", async () => {
    const transports = [{ type: "livekit", livekit_service_url: "https://matrix.example.org/livekit/jwt" }];
    expect((await alice.get("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports")).body).to.deep.equal({ rtc_transports: transports });
    expect((await server.anonymous.get("/.well-known/matrix/client")).body["org.matrix.msc4143.rtc_foci"]).to.deep.equal(transports);
    const preflight = await fetch(`${server.url}/livekit/jwt/sfu/get`, { method: "OPTIONS" });
    expect(preflight.headers.get("access-control-allow-origin")).to.equal("*");
  });

  it("let members of rooms in, and open the call at the LiveKit server for users of ours", async () => {
    const old = await claimsOf(await older(alice));
    expect(old).to.deep.include({ sub: `${alice.user_id}:${alice.device_id}`, video: grant("m.call#ROOM") });
    expect(old.seconds).to.be.within(500, 600);
    const { sub, video } = await claimsOf(await newer(alice));
    expect({ sub, video }).to.deep.equal({ sub: hashOf(alice.user_id, alice.device_id, "m1"), video: grant("m.call#other") });
    expect(opened.map((each) => each.room)).to.deep.equal([hashOf(room, "m.call#ROOM"), hashOf(room, "m.call#other")]);
    const { video: own } = await new TokenVerifier(KEY, SECRET).verify(opened[0]?.authorization.replace("Bearer ", "") ?? "");
    expect(own).to.deep.equal({ roomCreate: true });
    sfuStatus = 500;
    expect(refusal(await older(alice))).to.deep.equal([502, "M_UNKNOWN"]);
    sfuStatus = 200;
  });

  it("let users of other servers in, who open nothing", async () => {
    const bob = await other.register("bob");
    expect(refusal(await older(bob))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect((await bob.post(`${V3}/join/${encodeURIComponent(room)}?server_name=${name}`)).status).to.equal(200);
    const before = opened.length;
    const admitted = await eventually("the join", async () => {
      const answer = await newer(bob);
      return answer.status === 200 && answer;
    });
    expect((await claimsOf(admitted)).sub).to.equal(hashOf(bob.user_id, bob.device_id, "m1"));
    expect(opened.length).to.equal(before);
    const wrong = { ...(await tokenOf(bob)), access_token: "made-up" };
    expect(refusal(await older(bob, { openid_token: wrong }))).to.deep.equal([401, "M_UNAUTHORIZED"]);
    const away = { access_token: "any", matrix_server_name: `localhost:${await freePort()}` };
    expect(refusal(await older(bob, { openid_token: away }))).to.deep.equal([502, "M_UNKNOWN"]);
  });

  it("let nobody else in", async () => {
    const carol = await server.register("carol");
    expect(refusal(await older(carol))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await older(alice, { room: "!none:example.org" }))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await older(alice, { openid_token: { access_token: "made-up", matrix_server_name: name } }))).to.deep.equal([401, "M_UNAUTHORIZED"]);
    // A token says who somebody is at the server that gave it, and nowhere else.
    expect(refusal(await older(alice, { openid_token: { ...(await tokenOf(alice)), matrix_server_name: other.name } }))).to.deep.equal([401, "M_UNAUTHORIZED"]);
    expect(refusal(await newer(alice, { member: { id: "m1", claimed_user_id: carol.user_id, claimed_device_id: "X" } }))).to.deep.equal([401, "M_UNAUTHORIZED"]);
    for (const bad of [{ room: 5 }, { device_id: "" }, { openid_token: {} }, { delay_id: "x", delay_timeout: 1000 }]) {
      expect((await older(alice, bad)).status, JSON.stringify(bad)).to.equal(400);
    }
    expect(refusal(await other.anonymous.post("/livekit/jwt/sfu/get", { room, device_id: "X", openid_token: await tokenOf(alice) }))).to.deep.equal([404, "M_UNRECOGNIZED"]);
    const livekit = { url: "wss://x", api_key: "x", api_secret: "x" };
    expect(() => checkConfig({ voip: { livekit } })).to.throw(ConfigError, /voip\.livekit needs servers\.public_base_url/);
    expect(() => checkConfig({ voip: { livekit: { ...livekit, url: "https://x" } } })).to.throw(ConfigError, /ws:\/\/ or wss/);
  });
});
