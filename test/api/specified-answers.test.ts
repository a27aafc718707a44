// Every answer that the specification names for an operation of clients: each is provoked here or in a test that is named,
// or it is said why it never comes. The facts are in spec/specified-answers.tsv.
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { startAppService } from "../support/application-service.js";
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { startPeer } from "../support/peer.js";
import { startTestServer, type TestClient } from "../support/server.js";
import { accountCases } from "./specified/accounts.js";
import { type Cases, SERVER, type World } from "./specified/case.js";
import { encryptionCases } from "./specified/encryption.js";
import { mediaCases } from "./specified/media.js";
import { roomCases } from "./specified/rooms.js";

const CASES: Cases = { ...accountCases, ...encryptionCases, ...mediaCases, ...roomCases };

/** The rows of a list of facts, without its head. */
function facts(file: string): string[][] {
  const [, ...lines] = readFileSync(`spec/${file}`, "utf8").trimEnd().split("\n");
  return lines.map((line) => line.split("\t"));
}

const nameOf = (status = "", errcode = ""): string => (errcode === "" ? status : `${status} ${errcode}`);
/** What rate-limit.test.ts provokes for every operation that has a limit. */
const LIMITED = "429 M_LIMIT_EXCEEDED";

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

  it("have a case each, for every operation of clients", () => {
    const named = facts("specified-answers.tsv").map(([operation = "", status, errcode]) => [operation, nameOf(status, errcode)] as const);
    const without = named.filter(([operation, answer]) => answer !== LIMITED && CASES[operation]?.[answer] === undefined);
    expect(without, "answers without a case").to.deep.equal([]);
    const operations = facts("operations.tsv").filter(([api]) => api === "client-server");
    const known = new Set(named.map(([operation]) => operation));
    expect(operations.filter(([, , , operation = ""]) => !known.has(operation) || CASES[operation]?.["200"] === undefined && CASES[operation]?.["302"] === undefined)).to.deep.equal([]);
    expect(Object.keys(CASES).filter((operation) => !known.has(operation)), "operations that are not specified").to.deep.equal([]);
  });

  it("come in the tests that are said to provoke them", () => {
    const tests = Object.values(CASES).flatMap((answers) => Object.values(answers)).flatMap((given) => ("test" in given ? [given.test] : []));
    const missing = tests.filter(([file, title]) => !readFileSync(`test/${file}.test.ts`, "utf8").includes(`it("${title}"`));
    expect(missing).to.deep.equal([]);
  });

  for (const [operation, answers] of Object.entries(CASES)) {
    it(operation, async () => {
      const got: Record<string, string> = {};
      const wanted: Record<string, string> = {};
      for (const [answer, given] of Object.entries(answers)) {
        if (typeof given !== "function") continue;
        const { status, body } = await given(world);
        wanted[answer] = answer;
        // Where the specification names no code, any will do.
        got[answer] = answer.includes(" ") ? nameOf(String(status), String(body["errcode"])) : String(status);
      }
      expect(got).to.deep.equal(wanted);
    });
  }
});

