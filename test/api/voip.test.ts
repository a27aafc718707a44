// What calls go through.
import { createHmac } from "node:crypto";
import { expect } from "chai";
import { ConfigError, checkConfig } from "../../src/config.js";
import { stringAt } from "../support/json-path.js";
import { startTestServer, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const uris = ["turn:turn.example.org:3478?transport=udp"];
const transport = { type: "livekit", livekit_service_url: "https://rtc.example.org" };

describe("calls", () => {
  let server: TestServer;
  afterEach(() => server[Symbol.asyncDispose]());

  it("each user gets a password for TURN that expires", async () => {
    const voip = { turn_uris: uris, turn_shared_secret: "quiet", turn_seconds: 600, rtc_transports: [transport], turn_guests: false };
    server = await startTestServer({
      voip,
      registration: { guests: true, open: true },
      servers: [{ name: "localhost", public_base_url: "https://localhost" }],
    });
    const alice = await server.register("alice");
    const { body } = await alice.get(`${V3}/voip/turnServer`);
    const username = stringAt(body, "username") ?? "";
    const [expires, user] = username.split(/:(.*)/s);
    expect(user).to.equal(alice.user_id);
    expect(Number(expires)).to.be.closeTo(Date.now() / 1000 + 600, 60);
    expect(body).to.deep.equal({ uris, ttl: 600, username, password: createHmac("sha1", "quiet").update(username).digest("base64") });
    for (const path of ["v1/rtc/transports", "unstable/org.matrix.msc4143/rtc/transports"]) {
      expect((await alice.get(`/_matrix/client/${path}`)).body).to.deep.equal({ rtc_transports: [transport] });
    }
    const known = await server.anonymous.get("/.well-known/matrix/client");
    expect(known.body["org.matrix.msc4143.rtc_foci"]).to.deep.equal([transport]);
    const guest = await server.anonymous.post(`${V3}/register?kind=guest`, {});
    const token = stringAt(guest.body, "access_token");
    expect((await server.client({ access_token: token }).get(`${V3}/voip/turnServer`)).body).to.deep.equal({});
    expect((await server.anonymous.get(`${V3}/voip/turnServer`)).status).to.equal(401);
    expect((await server.anonymous.get("/_matrix/client/v1/rtc/transports")).status).to.equal(401);
  });

  it("or all the same, or there is nothing", async () => {
    server = await startTestServer({ voip: { turn_uris: uris, turn_username: "all", turn_password: "open" } });
    const body = (await (await server.register("alice")).get(`${V3}/voip/turnServer`)).body;
    expect(body).to.deep.equal({ uris, ttl: 86_400, username: "all", password: "open" });
    await server[Symbol.asyncDispose]();
    server = await startTestServer();
    const alice = await server.register("alice");
    expect((await alice.get(`${V3}/voip/turnServer`)).body).to.deep.equal({});
    expect((await alice.get("/_matrix/client/v1/rtc/transports")).body).to.deep.equal({ rtc_transports: [] });
    for (const voip of [{ turn_uris: uris }, { turn_username: "x" }, { turn_uris: ["http://x"] }]) {
      expect(() => checkConfig({ voip }), JSON.stringify(voip)).to.throw(ConfigError, /voip/);
    }
  });
});
