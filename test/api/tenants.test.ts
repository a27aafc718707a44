// Several server names in one deployment: the Host header says which one is meant.
import { request } from "node:http";
import { expect } from "chai";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startTestServer, type TestServer } from "../support/server.js";

describe("several servers in one deployment", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      servers: [
        { name: "one.example", public_base_url: "https://matrix.one.example" },
        { name: "two.example", public_base_url: "https://matrix.two.example:8448" },
      ],
      registration: { open: true },
    });
  });
  after(() => server[Symbol.asyncDispose]());

  function ask(host: string, method: string, path: string, body?: JsonObject): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      const outgoing = request(server.url + path, { method, headers: { host } }, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => (text += chunk.toString()));
        response.on("end", () => resolve(objectAt(JSON.parse(text))));
      });
      outgoing.on("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  const hosts: [host: string, name: string][] = [
    ["matrix.one.example", "one.example"],
    ["matrix.two.example:8448", "two.example"],
    ["TWO.example", "two.example"],
    ["elsewhere.example", "one.example"],
  ];
  for (const [host, name] of hosts) {
    it(`serves ${name} to those who ask ${host}`, async () => {
      const answer = await ask(host, "GET", "/.well-known/matrix/client");
      expect(stringAt(answer, "m.homeserver", "base_url")).to.contain(name);
    });
  }

  it("gives the same localpart out once for each, and logs each in where it belongs", async () => {
    const account = { auth: { type: "m.login.dummy" }, username: "alice", password: "long enough" };
    for (const [host, name] of hosts.slice(0, 2)) {
      const registered = await ask(host, "POST", "/_matrix/client/v3/register", account);
      expect(registered).to.include({ user_id: `@alice:${name}`, home_server: name });
      const body = { type: "m.login.password", user: "alice", password: "long enough" };
      expect(await ask(host, "POST", "/_matrix/client/v3/login", body)).to.include({ user_id: `@alice:${name}` });
    }
    const whole = { type: "m.login.password", user: "@alice:two.example", password: "long enough" };
    expect(await ask("one.example", "POST", "/_matrix/client/v3/login", whole)).to.include({ user_id: "@alice:two.example" });
  });
});
