// What application services may do with their token, and what they keep from others.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadAppServices } from "../../src/appservice/registration.js";
import { checkConfig, localServers } from "../../src/config.js";
import { registerOwn, startAppService, type TestAppService } from "../support/application-service.js";
import { newKey, ownKey } from "../support/device-keys.js";
import { numberAt, objectsAt, stringAt } from "../support/json-path.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

function expectError(answer: Answer, status: number, errcode: string): void {
  expect([answer.status, stringAt(answer.body, "errcode")]).to.deep.equal([status, errcode]);
}

describe("what application services do", () => {
  let bridge: TestAppService;
  let other: TestAppService;
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    bridge = await startAppService({ url: null });
    const users = { users: [{ exclusive: false, regex: "@shared_.*" }] };
    other = await startAppService({ id: "other", url: null, sender_localpart: "otherbot", namespaces: users });
    server = await startTestServer({
      app_services: [bridge.file, other.file],
      registration: { open: true },
      rate_limits: { login: { per_second: 0.001, burst: 30 }, message: { per_second: 0.001, burst: 1 } },
    });
    alice = await server.register("alice");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await bridge[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });

  const whoami = (user?: string, more = "") => bridge.request(server, "GET", `${V3}/account/whoami${more}`, undefined, user);

  it("acts as its own user if it names none", async () => {
    expect(stringAt((await whoami()).body, "user_id")).to.equal("@bridgebot:localhost");
    // As old bridges send the token.
    expect(stringAt((await server.anonymous.get(`${V3}/account/whoami?access_token=${bridge.as_token}`)).body, "user_id")).to.equal("@bridgebot:localhost");
  });

  it("registers and acts as users of its namespaces", async () => {
    const user = await registerOwn(bridge, server, "_bridge_one");
    expect(user).to.equal("@_bridge_one:localhost");
    expect(stringAt((await whoami(user)).body, "user_id")).to.equal(user);
    const body = { type: "m.login.application_service", username: "_bridge_one" };
    expectError(await bridge.request(server, "POST", `${V3}/register`, body), 400, "M_USER_IN_USE");
  });

  it("acts as nobody else, and as nobody who is not registered", async () => {
    expectError(await whoami(alice.user_id), 403, "M_FORBIDDEN");
    expectError(await whoami("@_bridge_nobody:localhost"), 403, "M_FORBIDDEN");
    expectError(await whoami("@_bridge_one:elsewhere.example"), 403, "M_FORBIDDEN");
    expectError(await whoami("nonsense"), 400, "M_INVALID_PARAM");
  });

  it("lets no user act as another", async () => {
    const answer = await alice.get(`${V3}/account/whoami?user_id=@_bridge_one:localhost`);
    expect(stringAt(answer.body, "user_id")).to.equal(alice.user_id);
  });

  it("acts no more as who was deactivated", async () => {
    const user = await registerOwn(bridge, server, "_bridge_gone");
    await server.database.write(
      {
        name: "",
        text: "UPDATE accounts SET deactivated_ts = 1 WHERE user_nid = (SELECT nid FROM users WHERE user_id = $1)",
      },
      [user],
    );
    expectError(await whoami(user), 403, "M_USER_DEACTIVATED");
  });

  it("needs its token to register and to log in", async () => {
    for (const path of ["register", "login"]) {
      const body = { type: "m.login.application_service", username: "_bridge_x", identifier: { type: "m.id.user", user: "_bridge_one" } };
      expectError(await server.anonymous.post(`${V3}/${path}`, body), 401, "M_MISSING_TOKEN");
      expectError(await alice.post(`${V3}/${path}`, body), 401, "M_UNKNOWN_TOKEN");
    }
  });

  it("logs in as its users only", async () => {
    const login = (user: string) =>
      bridge.request(server, "POST", `${V3}/login`, { type: "m.login.application_service", identifier: { type: "m.id.user", user } });
    const answer = await login("_bridge_one");
    expect(answer.status).to.equal(200);
    const client = server.client({ access_token: stringAt(answer.body, "access_token") });
    expect(stringAt((await client.get(`${V3}/account/whoami`)).body, "user_id")).to.equal("@_bridge_one:localhost");
    expectError(await login("alice"), 400, "M_EXCLUSIVE");
    expectError(await login("_bridge_nobody"), 403, "M_FORBIDDEN");
    const flows = objectsAt((await server.anonymous.get(`${V3}/login`)).body, "flows").map(({ type }) => type);
    expect(flows).to.include("m.login.application_service");
  });

  it("keeps exclusive names from everybody else", async () => {
    const body = { auth: { type: "m.login.dummy" }, password: "a good password" };
    for (const username of ["_bridge_two", "bridgebot", "BridgeBot"]) {
      expectError(await server.anonymous.post(`${V3}/register`, { ...body, username }), 400, "M_EXCLUSIVE");
      expectError(await server.anonymous.get(`${V3}/register/available?username=${username}`), 400, "M_EXCLUSIVE");
    }
    expectError(
      await other.request(server, "POST", `${V3}/register`, { type: "m.login.application_service", username: "_bridge_two" }),
      400,
      "M_EXCLUSIVE",
    );
    expectError(
      await bridge.request(server, "POST", `${V3}/register`, { type: "m.login.application_service", username: "bob" }),
      400,
      "M_EXCLUSIVE",
    );
    // Names that are shared are free.
    expect((await server.register("shared_one")).user_id).to.equal("@shared_one:localhost");
  });

  it("keeps exclusive aliases from everybody else", async () => {
    const mine = stringAt((await alice.post(`${V3}/createRoom`)).body, "room_id");
    expectError(await alice.put(`${V3}/directory/room/%23_bridge_a:localhost`, { room_id: mine }), 400, "M_EXCLUSIVE");
    expectError(await alice.post(`${V3}/createRoom`, { room_alias_name: "_bridge_b" }), 400, "M_EXCLUSIVE");
    const created = await bridge.request(server, "POST", `${V3}/createRoom`, { room_alias_name: "_bridge_b" });
    expect(created.status).to.equal(200);
    expectError(await alice.delete(`${V3}/directory/room/%23_bridge_b:localhost`), 400, "M_EXCLUSIVE");
    expectError(await bridge.request(server, "POST", `${V3}/createRoom`, { room_alias_name: "plain" }), 400, "M_EXCLUSIVE");
    // Of its own aliases it makes those of rooms that it is not in, too.
    expect((await bridge.request(server, "PUT", `${V3}/directory/room/%23_bridge_c:localhost`, { room_id: mine })).status).to.equal(200);
    expectError(await bridge.request(server, "PUT", `${V3}/directory/room/%23plain:localhost`, { room_id: mine }), 400, "M_EXCLUSIVE");
  });

  it("deactivates its users without asking for a password", async () => {
    const user = await registerOwn(bridge, server, "_bridge_ended");
    expect((await bridge.request(server, "POST", `${V3}/account/deactivate`, {}, user)).status).to.equal(200);
    expectError(await whoami(user), 403, "M_USER_DEACTIVATED");
  });

  it("makes, names and deletes devices without asking for a password, and acts as them", async () => {
    const user = await registerOwn(bridge, server, "_bridge_devices");
    const asUser = (method: string, path: string, body?: unknown) => bridge.request(server, method, V3 + path, body, user);
    expect((await asUser("PUT", "/devices/BRIDGE", { display_name: "the bridge" })).status).to.equal(201);
    expect((await asUser("PUT", "/devices/BRIDGE", { display_name: "renamed" })).status).to.equal(200);
    expect(stringAt((await asUser("GET", "/devices/BRIDGE")).body, "display_name")).to.equal("renamed");
    for (const name of ["device_id", "org.matrix.msc3202.device_id"]) {
      expect(stringAt((await whoami(user, `?${name}=BRIDGE`)).body, "device_id")).to.equal("BRIDGE");
    }
    expectError(await whoami(user, "?device_id=UNKNOWN"), 400, "M_UNKNOWN_DEVICE");
    const key = newKey();
    expect((await asUser("POST", "/keys/device_signing/upload", { master_key: ownKey({ user_id: user }, "master", key) })).status).to.equal(200);
    expectError(await asUser("PUT", `/devices/${encodeURIComponent(key.publicKey)}`, {}), 403, "M_FORBIDDEN");
    expect((await asUser("DELETE", "/devices/BRIDGE", {})).status).to.equal(200);
    expectError(await whoami(user, "?device_id=BRIDGE"), 400, "M_UNKNOWN_DEVICE");
    expectError(await alice.put(`${V3}/devices/NEW`, { display_name: "x" }), 404, "M_NOT_FOUND");
  });

  it("says when events happened; users do not", async () => {
    const user = await registerOwn(bridge, server, "_bridge_time");
    const asUser = (method: string, path: string, body?: unknown) => bridge.request(server, method, V3 + path, body, user);
    const room = stringAt((await asUser("POST", "/createRoom", { preset: "public_chat" })).body, "room_id") ?? "";
    const timeOf = async (event: Answer): Promise<number | undefined> =>
      numberAt((await asUser("GET", `/rooms/${room}/event/${stringAt(event.body, "event_id")}`)).body, "origin_server_ts");
    expect(await timeOf(await asUser("PUT", `/rooms/${room}/send/m.room.message/1?ts=1234`, { body: "old" }))).to.equal(1234);
    expect(await timeOf(await asUser("PUT", `/rooms/${room}/state/m.room.topic?ts=2345`, { topic: "old" }))).to.equal(2345);
    const member = `/rooms/${room}/state/m.room.member/${user}`;
    expect(await timeOf(await asUser("PUT", `${member}?ts=3456`, { membership: "join", displayname: "x" }))).to.equal(3456);
    expectError(await asUser("PUT", `/rooms/${room}/send/m.room.message/2?ts=-1`, {}), 400, "M_INVALID_PARAM");
    await alice.post(`${V3}/join/${room}`);
    const now = await timeOf(await alice.put(`${V3}/rooms/${room}/send/m.room.message/1?ts=1234`, { body: "new" }));
    expect(now).to.be.greaterThan(1_600_000_000_000);
  });

  it("is not held up by rate limits unless its registration says so", async () => {
    const user = await registerOwn(bridge, server, "_bridge_fast");
    const created = await bridge.request(server, "POST", `${V3}/createRoom`, {}, user);
    const path = `${V3}/rooms/${stringAt(created.body, "room_id")}/send/m.room.message`;
    for (const txn of ["a", "b", "c"]) {
      expect((await bridge.request(server, "PUT", `${path}/${txn}`, { body: txn }, user)).status).to.equal(200);
    }
    const limited = await startAppService({ id: "limited", url: null, sender_localpart: "limitedbot", rate_limited: true });
    await using second = await startTestServer({ app_services: [limited.file], rate_limits: { account: { per_second: 0.001, burst: 1 } } });
    const slow = await registerOwn(limited, second, "_bridge_slow");
    const rename = (who?: string) => limited.request(second, "PUT", `${V3}/devices/DEVICE`, {}, who);
    expect((await rename(slow)).status).to.equal(201);
    expectError(await rename(slow), 429, "M_LIMIT_EXCEEDED");
    for (const status of [201, 200, 200]) expect((await rename()).status).to.equal(status);
    await limited[Symbol.asyncDispose]();
  });
});

describe("registration files", () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), "hansa-registrations-"))));
  after(() => rm(folder, { recursive: true, force: true }));

  const sound = { id: "a", url: null, as_token: "a", hs_token: "h", sender_localpart: "a", namespaces: {} };
  const load = async (...files: unknown[]) => {
    const paths = files.map((_, index) => join(folder, `${index}.yaml`));
    await Promise.all(files.map((file, index) => writeFile(paths[index] ?? "", typeof file === "string" ? file : JSON.stringify(file))));
    const config = checkConfig({ app_services: paths });
    return loadAppServices(config, localServers(config));
  };
  const refusal = async (...files: unknown[]): Promise<string> => {
    try {
      await load(...files);
      return "";
    } catch (error) {
      return error instanceof Error ? error.message : "";
    }
  };

  it("are taken as other homeservers take them", async () => {
    const { all, ofToken } = await load({ ...sound, rate_limited: false, "org.matrix.msc3202": true, push_ephemeral: true });
    expect(all[0]).to.include({ id: "a", sender: "@a:localhost", rate_limited: false, ephemeral: false, url: undefined });
    expect(ofToken("a")).to.equal(all[0]);
    expect(ofToken("b")).to.equal(undefined);
  });

  it("are taken from a folder", async () => {
    await writeFile(join(folder, "notes.txt"), "no registration");
    await load(sound, { ...sound, id: "b", as_token: "b", sender_localpart: "b" });
    const config = checkConfig({ app_services: [folder] });
    expect(loadAppServices(config, localServers(config)).all.map(({ id }) => id)).to.deep.equal(["a", "b"]);
  });

  it("are refused with a sentence that says what is wrong", async () => {
    expect(await refusal({ ...sound, id: undefined })).to.match(/0\.yaml .*'id'/);
    expect(await refusal({ ...sound, url: "ftp://x" })).to.match(/url/);
    expect(await refusal({ ...sound, namespaces: { users: [{ exclusive: true, regex: "(" }] } })).to.match(/users whose regex/);
    expect(await refusal({ ...sound, server_name: "else.example" })).to.match(/server_name/);
    expect(await refusal({ ...sound, sender_localpart: "x".repeat(300) })).to.match(/sender_localpart/);
    expect(await refusal("a: [")).to.match(/YAML/);
    expect(await refusal(sound, { ...sound, as_token: "b", sender_localpart: "b" })).to.match(/1\.yaml has the id/);
    expect(await refusal(sound, { ...sound, id: "b", sender_localpart: "b" })).to.match(/1\.yaml has the as_token/);
    expect(await refusal(sound, { ...sound, id: "b", as_token: "b" })).to.match(/1\.yaml has the sender_localpart/);
  });
});
