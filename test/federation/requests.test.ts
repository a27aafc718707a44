// Requests between servers: who may ask, how it is signed, and whose keys are believed.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { Agent, request } from "undici";
import type { ServerName } from "../../src/protocol/identifiers.js";
import { requestAuthorization } from "../../src/protocol/request-signing.js";
import { signingKey, type SigningKey, signJson } from "../../src/protocol/signing.js";
import { keyDocument } from "../../src/protocol/server-keys.js";
import { deviceOf } from "../support/device-keys.js";
import { federationSettings, startFederatingServer, type FederatingServer } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startPeer, type Peer, TLS } from "../support/peer.js";
import { startTestServer } from "../support/server.js";

const renewedKey = (): SigningKey => signingKey("ed25519:next", generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32));

describe("requests of other servers", () => {
  let server: FederatingServer;
  let peer: Peer;
  before(async () => {
    [server, peer] = [await startFederatingServer(), await startPeer()];
    const alice = await server.register("alice");
    await alice.put(`/_matrix/client/v3/profile/${alice.user_id}/displayname`, { displayname: "Alice" });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
  });

  const profile = (): string => `/_matrix/federation/v1/query/profile?user_id=${encodeURIComponent(`@alice:${server.name}`)}`;
  const ask = (change?: (header: string) => string): Promise<{ status: number; body: unknown }> =>
    peer.request(server.federationUrl, server.name, "GET", profile(), undefined, change);
  const status = async (change: (header: string) => string): Promise<number> => (await ask(change)).status;

  it("are answered when they are signed", async () => {
    const { status: code, body } = await ask();
    expect([code, body]).to.deep.equal([200, { displayname: "Alice" }]);
  });

  it("may be spelled in each way that the specification allows", async () => {
    expect(await status((header) => header.replace("X-Matrix ", "x-matrix   "))).to.equal(200);
    expect(await status((header) => header.replaceAll(",", " ,\t").replace("origin=", "Origin="))).to.equal(200);
    expect(await status((header) => header.replace(/origin="([^"]*)"/, "origin=$1"))).to.equal(200);
    expect(await status((header) => header.replace(/(\w+)="/g, '$1 =\t"'))).to.equal(200);
    expect(await status((header) => header.replace("localhost:", "local\\host:"))).to.equal(200);
    expect(await status((header) => header.replace(/,destination="[^"]*"/, ""))).to.equal(200);
    expect(await status((header) => `${header},more="x"`)).to.equal(200);
  });

  it("are refused when anything about the signature is wrong", async () => {
    expect(await status(() => "")).to.equal(401);
    expect(await status((header) => header.replace("X-Matrix", "Bearer"))).to.equal(401);
    expect(await status((header) => header.replace(/sig="(.)/, (_, first) => `sig="${first === "A" ? "B" : "A"}`))).to.equal(401);
    expect(await status((header) => header.replace(/sig="[^"]*"/, 'sig=""'))).to.equal(401);
    expect(await status((header) => header.replace(/key="[^"]*"/, 'key="ed25519:other"'))).to.equal(401);
    expect(await status((header) => header.replace(/destination="[^"]*"/, 'destination="elsewhere.example"'))).to.equal(401);
    expect(await status((header) => header.replace(/origin="[^"]*"/, `origin="${server.name}"`))).to.equal(401);
    expect(await status((header) => `${header},origin="other.example"`)).to.equal(401);
    expect(await status((header) => `${header}, ${header}`)).to.equal(401);
    // Two headers, each of which would do.
    const header = requestAuthorization({ method: "GET", uri: profile(), origin: peer.name, destination: server.name as ServerName }, peer.key);
    const agent = new Agent({ connect: { ca: readFileSync(TLS.ca) } });
    for (const [headers, expected] of [[["authorization", header], 200], [["authorization", header, "authorization", header], 401]] as const) {
      const answer = await request(server.federationUrl + profile(), { headers: [...headers], dispatcher: agent });
      await answer.body.dump();
      expect(answer.statusCode).to.equal(expected);
    }
    await agent.destroy();
    // Signed for another path.
    const other = await peer.request(server.federationUrl, server.name, "GET", profile().replace("alice", "alicf"), undefined);
    expect(other.status).to.equal(404);
  });

  it("are refused when the keys of their server are not to be believed", async () => {
    const liar = await startPeer();
    const documents = {
      "of another server": keyDocument(peer.name, liar.key, [], Date.now() + 1000_000),
      "not signed with a current key": { ...keyDocument(liar.name, peer.key, [], Date.now() + 1000_000), verify_keys: { [liar.key.id]: { key: liar.key.publicKey } } },
      "without validity": signJson({ server_name: liar.name, verify_keys: { [liar.key.id]: { key: liar.key.publicKey } } }, liar.name, liar.key),
    };
    for (const [what, document] of Object.entries(documents)) {
      const hostile = await startPeer();
      hostile.answer("/_matrix/key/v2/server", () => ({ status: 200, body: document }));
      const { status: code } = await hostile.request(server.federationUrl, server.name, "GET", profile());
      expect(code, what).to.equal(401);
      await hostile[Symbol.asyncDispose]();
    }
    await liar[Symbol.asyncDispose]();
  });

  it("are refused when they are signed with a key that is no longer one, or that others know", async () => {
    await using renewed = await startPeer();
    await using leaked = await startPeer();
    const next = renewedKey();
    const ends = { [renewed.key.id]: { key: renewed.key.publicKey, expired_ts: Date.now() - 1000 } };
    const document = { server_name: renewed.name, valid_until_ts: Date.now() + 1000_000, verify_keys: { [next.id]: { key: next.publicKey } }, old_verify_keys: ends };
    renewed.answer("/_matrix/key/v2/server", () => ({ status: 200, body: signJson(document, renewed.name, next) }));
    const port = await freePort();
    const settings = federationSettings(port);
    await using wary = await startTestServer({ ...settings, federation: { ...objectAt(settings["federation"]), refused_keys: [leaked.key.publicKey] } });
    expect((await wary.anonymous.get("/_matrix/client/versions")).status).to.equal(200);
    for (const hostile of [renewed, leaked]) {
      const answer = await hostile.request(`https://localhost:${port}`, `localhost:${port}`, "GET", "/_matrix/federation/v1/publicRooms");
      expect([answer.status, answer.body["errcode"]]).to.deep.equal([401, "M_UNAUTHORIZED"]);
    }
    expect((await leaked.request(server.federationUrl, server.name, "GET", profile())).status).to.equal(200);
  });

  it("for one-time keys are few at a time, and the fallback key is left", async () => {
    await using strict = await startFederatingServer({ rate_limits: { federation_keys: { per_second: 0.001, burst: 3 } } });
    const alice = await strict.register("alice");
    const device = deviceOf(alice);
    await alice.post("/_matrix/client/v3/keys/upload", { device_keys: device.device_keys, one_time_keys: device.oneTimeKeys("one"), fallback_keys: device.oneTimeKeys("last") });
    const claim = () => peer.request(strict.federationUrl, strict.name, "POST", "/_matrix/federation/v1/user/keys/claim", { one_time_keys: { [alice.user_id]: { [alice.device_id]: "signed_curve25519" } } });
    const names: string[] = [];
    for (let number = 0; number < 3; number += 1) names.push(...Object.keys(objectAt((await claim()).body, "one_time_keys", alice.user_id, alice.device_id)));
    expect(names).to.deep.equal(["signed_curve25519:one", "signed_curve25519:last", "signed_curve25519:last"]);
    const refused = await claim();
    expect([refused.status, refused.body["errcode"]]).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
  });

  it("ask a server for its keys once, not for each request", async () => {
    const calm = await startPeer();
    await Promise.all(Array.from({ length: 5 }, () => calm.request(server.federationUrl, server.name, "GET", profile())));
    expect(calm.asked).to.deep.equal(["GET /_matrix/key/v2/server"]);
    await calm[Symbol.asyncDispose]();
  });

  it("of kinds that are not known get M_UNRECOGNIZED", async () => {
    const answer = await peer.request(server.federationUrl, server.name, "GET", "/_matrix/federation/v1/query/else");
    expect([answer.status, answer.body["errcode"]]).to.deep.equal([404, "M_UNRECOGNIZED"]);
    const path = await peer.request(server.federationUrl, server.name, "GET", "/_matrix/federation/v1/nothing");
    expect([path.status, path.body["errcode"]]).to.deep.equal([404, "M_UNRECOGNIZED"]);
  });

  it("publish our keys, and vouch for those of others", async () => {
    const own = await peer.request(server.federationUrl, server.name, "GET", "/_matrix/key/v2/server");
    expect(stringAt(own.body, "server_name")).to.equal(server.name);
    const uri = `/_matrix/key/v2/query/${peer.name}`;
    const [document] = objectsAt((await peer.request(server.federationUrl, server.name, "GET", uri)).body, "server_keys");
    expect(objectAt(document, "signatures")).to.have.all.keys(server.name, peer.name);
    const body = { server_keys: { [peer.name]: {}, [server.name]: {} } };
    const both = await peer.request(server.federationUrl, server.name, "POST", "/_matrix/key/v2/query", body);
    expect(objectsAt(both.body, "server_keys").map((one) => one["server_name"])).to.have.members([server.name, peer.name]);
  });

  it("say what this is", async () => {
    const { body } = await peer.request(server.federationUrl, server.name, "GET", "/_matrix/federation/v1/version");
    expect(stringAt(body, "server", "name")).to.equal("Hansa");
  });
});
