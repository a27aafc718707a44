// Every answer that the specification names for an operation of clients: each is provoked here or in a test that is named,
// or it is said why it never comes.
import { startAppService } from "../support/application-service.js";
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { startPeer } from "../support/peer.js";
import { startTestServer, type TestClient } from "../support/server.js";
import { expectAnswers, expectComplete } from "../support/specified-answers.js";
import { accountCases } from "./specified/accounts.js";
import { type Cases, SERVER, type World } from "./specified/case.js";
import { encryptionCases } from "./specified/encryption.js";
import { mediaCases } from "./specified/media.js";
import { roomCases } from "./specified/rooms.js";

const CASES: Cases = { ...accountCases, ...encryptionCases, ...mediaCases, ...roomCases };

describe("the answers that the specification names", () => {
  let world: World;
  let parts: AsyncDisposable[];
  before(async () => {
    const [bridge, silent, dead, peer] = await Promise.all([
      startAppService({ protocols: ["irc"] }),
      startAppService({ id: "silent", url: null, sender_localpart: "silentbot", namespaces: {} }),
      startAppService({ id: "dead", url: "http://127.0.0.1:9", sender_localpart: "deadbot", namespaces: {} }),
      startPeer(),
    ]);
    // Where nobody listens.
    const port = await freePort();
    const { outgoing } = federationSettings(port);
    const server = await startTestServer({
      outgoing,
      servers: [{ name: SERVER, public_base_url: "https://matrix.example.org", policy_server_key: "a".repeat(43), support_page: "https://example.org/" }],
      app_services: [bridge.file, silent.file, dead.file],
      registration: { open: true },
      mail: { host: "127.0.0.1", port, security: "none", from: "Hansa <noreply@example.org>" },
      sms: { url: `http://127.0.0.1:${port}/` },
      third_party_ids: { allowed: ["*@example.org", "447700*"] },
      media: { max_upload_bytes: 150_000, max_image_pixels: 4_000_000, unauthenticated_access: true },
    });
    const bare = await startTestServer({ registration: { open: false } });
    const full = await startTestServer({ media: { quota: { total_bytes: 0 } } }, server.address);
    parts = [full, server, bare, bridge, silent, dead, peer];
    const known = { location: [{ alias: "#_bridge_known:localhost", protocol: "irc", fields: {} }], user: [{ userid: "@_bridge_known:localhost", protocol: "irc", fields: {} }] };
    bridge.answer = (_method, path) => {
      if (path.includes("/thirdparty/protocol/irc")) return { status: 200, body: { user_fields: [], location_fields: [], icon: "", field_types: {}, instances: [] } };
      if (path.includes("none")) return undefined;
      if (path.includes("/thirdparty/location")) return { status: 200, body: known.location };
      return path.includes("/thirdparty/user") ? { status: 200, body: known.user } : undefined;
    };
    let users = 0;
    const someone = async (): Promise<{ user: TestClient; name: string }> => {
      const name = `someone${(users += 1)}`;
      return { user: await server.register(name), name };
    };
    const [alice, bob, root] = [await server.register("alice"), await server.register("bob"), await server.register("root")];
    await server.database.write({ name: "test_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE nid = user_nid AND user_id = $1" }, [root.user_id]);
    world = { server, bare, alice, bob, admin: await server.login("root"), full: full.client(alice), bridge, silent, dead, peer, someone };
  });
  after(async () => {
    for (const part of parts) await part[Symbol.asyncDispose]();
  });

  it("have a case each, for every operation of clients", () => expectComplete("client-server", CASES));

  for (const [operation, answers] of Object.entries(CASES)) it(operation, () => expectAnswers(answers, world));
});
