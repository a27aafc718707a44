// Several server names in one deployment: the Host header says which one is meant.
import { request } from "node:http";
import { expect } from "chai";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
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

  function ask(host: string, method: string, path: string, body?: JsonObject, token?: unknown): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      const headers = { host, ...(typeof token === "string" && { authorization: `Bearer ${token}` }) };
      const outgoing = request(server.url + path, { method, headers }, (response) => {
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

  it("lets their users meet in one room, and keeps a directory and aliases for each", async () => {
    const v3 = "/_matrix/client/v3";
    const [one, two] = ["one.example", "two.example"];
    const register = async (host: string): Promise<JsonObject> =>
      await ask(host, "POST", `${v3}/register`, { auth: { type: "m.login.dummy" }, username: "rosa", password: "long enough" });
    const [hers, his] = [(await register(one))["access_token"], (await register(two))["access_token"]];
    const created = { visibility: "public", room_alias_name: "meeting", invite: ["@rosa:two.example"] };
    const room_id = stringAt(await ask(one, "POST", `${v3}/createRoom`, created, hers), "room_id") ?? "";
    const room = encodeURIComponent(room_id);
    expect(await ask(two, "POST", `${v3}/join/${encodeURIComponent("#meeting:one.example")}`, {}, his)).to.deep.equal({ room_id });
    const alias = `${v3}/directory/room/${encodeURIComponent("#meeting:two.example")}`;
    expect(await ask(one, "PUT", alias, { room_id }, hers)).to.include({ errcode: "M_INVALID_PARAM" });
    expect(await ask(two, "PUT", alias, { room_id }, his)).to.deep.equal({});
    expect(await ask(one, "GET", alias)).to.deep.equal({ room_id, servers: [two, one] });
    const listed = async (host: string): Promise<unknown[]> =>
      objectsAt(await ask(host, "GET", `${v3}/publicRooms`), "chunk").map((entry) => entry["room_id"]);
    expect([await listed(one), await listed(two)]).to.deep.equal([[room_id], []]);
    expect(await ask(two, "GET", `${v3}/directory/list/room/${room}`)).to.deep.equal({ visibility: "private" });
    expect(await ask(two, "PUT", `${v3}/rooms/${room}/send/m.room.message/1`, { body: "hello" }, his)).to.have.property("event_id");
    expect(await ask(one, "GET", `${v3}/rooms/${room}/members`, undefined, hers)).to.have.property("chunk").with.length(2);
  });
});
