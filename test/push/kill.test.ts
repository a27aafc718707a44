// kill -9 of a server between the answer to who sends and the delivery to who is to be told.
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { killPostgres } from "../faults/embedded-server.js";
import { eventually } from "../support/eventually.js";
import { stringAt } from "../support/json-path.js";
import { matrixRequest, type MatrixRequest, ok } from "../support/matrix-request.js";
import { bodiesTold, startPushGateway } from "../support/push-gateway.js";

const V3 = "/_matrix/client/v3";

describe("delivery over the end of a process", () => {
  it("what was answered is told, by the next process, without anything new being said", async function () {
    this.timeout(600_000);
    await using folder = await temporaryFolder();
    await using gateway = await startPushGateway();
    const server = await ServerProcess.start(folder.path, {
      registration: { open: true },
      rate_limits: { enabled: false },
      passwords: { memory_kib: 8, iterations: 1 },
      push: { allow_http: true },
      outgoing: { allowed_addresses: ["127.0.0.0/8"] },
    });
    try {
      const register = async (username: string): Promise<MatrixRequest> => {
        const body = { username, password: "a long enough one", auth: { type: "m.login.dummy" } };
        return matrixRequest(server.url, stringAt(await ok(matrixRequest(server.url), "POST", `${V3}/register`, body), "access_token"));
      };
      const [alice, bob] = await Promise.all([register("alice"), register("bob")]);
      const room = stringAt(await ok(alice, "POST", `${V3}/createRoom`, { preset: "public_chat" }), "room_id");
      await ok(bob, "POST", `${V3}/join/${room}`, {});
      const names = { app_id: "app", app_display_name: "App", device_display_name: "Phone", lang: "en" };
      await ok(bob, "POST", `${V3}/pushers/set`, { kind: "http", pushkey: "key", ...names, data: { url: gateway.url } });
      // The gateway takes the request and says nothing: nobody knows whether it was delivered.
      gateway.answer = "silence";
      for (const body of ["one", "two", "three"]) await ok(alice, "PUT", `${V3}/rooms/${room}/send/m.room.message/${body}`, { msgtype: "m.text", body });
      await eventually("the gateway is asked", () => gateway.asked > 0);
      await server.kill();
      gateway.answer = 200;
      await server.restart();
      await eventually("all is told", () => bodiesTold(gateway).length >= 3);
      expect(bodiesTold(gateway)).to.deep.equal(["one", "two", "three"]);
      expect(gateway.faults).to.deep.equal([]);
    } finally {
      await server.kill();
      await killPostgres(`${folder.path}/data`);
    }
  });
});
