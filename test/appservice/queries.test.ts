// What application services are asked: unknown users and rooms, third-party networks, pings.
import { expect } from "chai";
import { AppServiceClient } from "../../src/appservice/client.js";
import { pingAppService } from "../../src/appservice/ping.js";
import { loadAppServices } from "../../src/appservice/registration.js";
import { checkConfig, localServers } from "../../src/config.js";
import { MatrixError } from "../../src/errors.js";
import { Outgoing } from "../../src/federation/outgoing.js";
import { registerOwn, startAppService, type TestAppService } from "../support/application-service.js";
import { numberAt, objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const PROTOCOL = {
  user_fields: ["nick"],
  location_fields: ["channel"],
  icon: "mxc://localhost/icon",
  field_types: { nick: { regexp: "[a-z]+", placeholder: "nick" } },
  instances: [{ desc: "A network", network_id: "net", fields: {} }],
};

function expectError(answer: Answer, status: number, errcode: string): void {
  expect([answer.status, stringAt(answer.body, "errcode")]).to.deep.equal([status, errcode]);
}

describe("what application services are asked", () => {
  let bridge: TestAppService;
  let silent: TestAppService;
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    bridge = await startAppService({ protocols: ["irc"] });
    silent = await startAppService({ id: "silent", url: null, sender_localpart: "silentbot", namespaces: {}, protocols: ["irc"] });
    server = await startTestServer({ app_services: [bridge.file, silent.file], registration: { open: true } });
    alice = await server.register("alice");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await bridge[Symbol.asyncDispose]();
    await silent[Symbol.asyncDispose]();
  });
  afterEach(() => {
    bridge.answer = () => undefined;
    bridge.asked.length = 0;
  });

  const made = { status: 200 };

  it("makes users whose profile is asked for, or who are invited, on demand", async () => {
    bridge.answer = async (_method, path) => {
      const name = /\/users\/%40(_bridge_demand\w+)%3Alocalhost$/.exec(path)?.[1];
      if (name === undefined) return undefined;
      await registerOwn(bridge, server, name);
      return made;
    };
    const profiles = await Promise.all([1, 2, 3].map(() => server.anonymous.get(`${V3}/profile/@_bridge_demand1:localhost`)));
    expect(profiles.map(({ status }) => status)).to.deep.equal([200, 200, 200]);
    expect(bridge.asked.filter((path) => path.includes("/users/"))).to.have.length(1);
    const room = stringAt((await alice.post(`${V3}/createRoom`, { invite: ["@_bridge_demand2:localhost"] })).body, "room_id");
    expect((await alice.post(`${V3}/rooms/${room}/invite`, { user_id: "@_bridge_demand3:localhost" })).status).to.equal(200);
    for (const number of [2, 3]) {
      const profile = await server.anonymous.get(`${V3}/profile/@_bridge_demand${number}:localhost`);
      expect(profile.status).to.equal(200);
    }
    expect(bridge.asked.filter((path) => path.includes("/users/"))).to.have.length(3);
  });

  it("knows no users that the application service does not know, and does not ask for others", async () => {
    expectError(await server.anonymous.get(`${V3}/profile/@_bridge_no:localhost`), 404, "M_NOT_FOUND");
    expectError(await server.anonymous.get(`${V3}/profile/@nobody:localhost`), 404, "M_NOT_FOUND");
    expect(bridge.asked.filter((path) => path.startsWith("GET /_matrix"))).to.deep.equal([
      "GET /_matrix/app/v1/users/%40_bridge_no%3Alocalhost",
    ]);
  });

  it("makes rooms on demand", async () => {
    bridge.answer = async (_method, path) => {
      if (!path.includes("/rooms/%23_bridge_room")) return undefined;
      await bridge.request(server, "POST", `${V3}/createRoom`, { preset: "public_chat", room_alias_name: "_bridge_room" });
      return made;
    };
    expect((await alice.post(`${V3}/join/%23_bridge_room:localhost`)).status).to.equal(200);
    expect((await server.anonymous.get(`${V3}/directory/room/%23_bridge_room:localhost`)).status).to.equal(200);
    expect(bridge.asked.filter((path) => path.includes("/rooms/"))).to.have.length(1);
    expectError(await alice.post(`${V3}/join/%23_bridge_none:localhost`), 404, "M_NOT_FOUND");
  });

  it("falls back to the old paths, with the token in the query", async () => {
    bridge.answer = async (_method, path) => {
      if (!path.startsWith("/users/")) return { status: 404, body: { errcode: "M_UNRECOGNIZED" } };
      await registerOwn(bridge, server, "_bridge_old");
      return made;
    };
    expect((await server.anonymous.get(`${V3}/profile/@_bridge_old:localhost`)).status).to.equal(200);
    expect(bridge.asked).to.include(`GET /users/%40_bridge_old%3Alocalhost?access_token=${bridge.hs_token}`);
  });

  it("tells clients of networks, and leaves out what is not sound", async () => {
    bridge.answer = (_method, path) => (path.endsWith("/thirdparty/protocol/irc") ? { status: 200, body: PROTOCOL } : undefined);
    const all = (await alice.get(`${V3}/thirdparty/protocols`)).body;
    expect(Object.keys(all)).to.deep.equal(["irc"]);
    expect(objectsAt(all, "irc", "instances")[0]).to.include({ network_id: "net", instance_id: "bridge|net" });
    expect(objectAt((await alice.get(`${V3}/thirdparty/protocol/irc`)).body)).to.deep.equal(all["irc"]);
    expectError(await alice.get(`${V3}/thirdparty/protocol/xmpp`), 404, "M_NOT_FOUND");
    bridge.answer = () => ({ status: 200, body: { instances: "none" } });
    expect((await alice.get(`${V3}/thirdparty/protocols`)).body).to.deep.equal({});
    expectError(await server.anonymous.get(`${V3}/thirdparty/protocols`), 401, "M_MISSING_TOKEN");
  });

  it("looks users and places up", async () => {
    const places = [{ alias: "#_bridge_x:localhost", protocol: "irc", fields: { channel: "#x" } }];
    const users = [{ userid: "@_bridge_x:localhost", protocol: "irc", fields: { nick: "x" } }];
    bridge.answer = (_method, path) => ({ status: 200, body: path.includes("/location") ? [...places, { wrong: true }] : users });
    const asJson = async (path: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${alice.access_token}` };
      return await (await fetch(`${server.url}${V3}/thirdparty/${path}`, { headers })).json();
    };
    expect(await asJson("location/irc?channel=%23x")).to.deep.equal(places);
    expect(await asJson("user/irc?nick=x")).to.deep.equal(users);
    expect(await asJson("location?alias=%23_bridge_x:localhost")).to.deep.equal(places);
    expect(await asJson("user?userid=@_bridge_x:localhost")).to.deep.equal(users);
    expect(bridge.asked).to.include("GET /_matrix/app/v1/thirdparty/location/irc?channel=%23x");
    expect(bridge.asked).to.include("GET /_matrix/app/v1/thirdparty/user?userid=%40_bridge_x%3Alocalhost");
    expectError(await alice.get(`${V3}/thirdparty/user/xmpp`), 404, "M_NOT_FOUND");
    expectError(await alice.get(`${V3}/thirdparty/location`), 400, "M_MISSING_PARAM");
  });

  it("publishes rooms of a network in a list of their own", async () => {
    const room = stringAt((await alice.post(`${V3}/createRoom`, { name: "bridged" })).body, "room_id") ?? "";
    const path = `${V3}/directory/list/appservice/net/${room}`;
    const listed = async (body: Record<string, unknown> = { third_party_instance_id: "bridge|net" }): Promise<unknown[]> =>
      objectsAt((await alice.post(`${V3}/publicRooms`, body)).body, "chunk").map(({ room_id }) => room_id);
    const plain = stringAt((await alice.post(`${V3}/createRoom`, { visibility: "public" })).body, "room_id");
    expect((await bridge.request(server, "PUT", path, { visibility: "public" })).status).to.equal(200);
    expect(await listed()).to.deep.equal([room]);
    expect(objectsAt((await alice.get(`${V3}/publicRooms`)).body, "chunk").map(({ room_id }) => room_id)).not.to.include(room);
    expect((await bridge.request(server, "PUT", path.replace("/net/", "/other/"), { visibility: "public" })).status).to.equal(200);
    expect(await listed({ include_all_networks: true })).to.have.members([room, plain]);
    expect(await listed({ include_all_networks: false })).to.deep.equal([plain]);
    expect((await bridge.request(server, "PUT", path, { visibility: "private" })).status).to.equal(200);
    expect(await listed()).to.deep.equal([]);
    expectError(await alice.put(path, { visibility: "public" }), 403, "M_FORBIDDEN");
    expect((await bridge.request(server, "PUT", path, { visibility: "public" })).status).to.equal(200);
    expectError(await alice.delete(path), 403, "M_FORBIDDEN");
    expect((await bridge.request(server, "DELETE", path)).status).to.equal(200);
    expect(await listed()).to.deep.equal([]);
    expectError(await bridge.request(server, "PUT", `${V3}/directory/list/appservice/net/!no:localhost`, { visibility: "public" }), 404, "M_NOT_FOUND");
  });

  it("gives up a ping that is not answered", async () => {
    const config = checkConfig({ app_services: [bridge.file], outgoing: { idle_seconds: 1, allowed_addresses: ["127.0.0.0/8"] } });
    await using impatient = new Outgoing(config.outgoing);
    const { all } = loadAppServices(config, localServers(config));
    let go = (): void => undefined;
    const asked = new Promise<void>((resolve) => (go = resolve));
    bridge.answer = async () => {
      await asked;
      return undefined;
    };
    const [known] = all;
    if (known === undefined) throw new Error("no application service");
    const refused: unknown = await pingAppService(new AppServiceClient(impatient), known, "abc").catch((cause: unknown) => cause);
    go();
    expect(refused instanceof MatrixError && [refused.status, refused.errcode]).to.deep.equal([504, "M_CONNECTION_TIMEOUT"]);
  });

  it("pings", async () => {
    const ping = (as: TestAppService, id = "bridge") =>
      as.request(server, "POST", `/_matrix/client/v1/appservice/${id}/ping`, { transaction_id: "abc" });
    let sent: unknown;
    bridge.answer = (_method, path, body) => {
      if (path.endsWith("/ping")) sent = body;
      return undefined;
    };
    expect(numberAt((await ping(bridge)).body, "duration_ms")).to.be.a("number");
    expect(sent).to.deep.equal({ transaction_id: "abc" });
    bridge.answer = () => ({ status: 418, body: { no: "tea" } });
    const refused = await ping(bridge);
    expectError(refused, 502, "M_BAD_STATUS");
    expect(refused.body).to.include({ status: 418, body: '{"no":"tea"}' });
    expectError(await ping(silent, "silent"), 400, "M_URL_NOT_SET");
    expectError(await ping(bridge, "silent"), 403, "M_FORBIDDEN");
    expectError(await alice.post("/_matrix/client/v1/appservice/bridge/ping", {}), 403, "M_FORBIDDEN");
    await bridge.down();
    expectError(await ping(bridge), 502, "M_CONNECTION_FAILED");
    await bridge.up();
  });
});
