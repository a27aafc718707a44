// What the OAuth 2.0 API and logins elsewhere leave behind, and when it goes.
import { expect } from "chai";
import { expireExternal } from "../../src/storage/external-identities.js";
import { expireOauth } from "../../src/storage/oauth.js";
import { startTestServer, type TestServer } from "../support/server.js";

const NOW = 1_000_000;

describe("the upkeep of OAuth", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  let serial = 0;
  const run = (text: string, values: readonly unknown[] = []) => server.database.write({ name: `test_${++serial}`, text }, values);
  const count = async (table: string): Promise<number> => Number((await run(`SELECT count(*)::int AS count FROM ${table}`))[0]?.["count"]);

  it("forgets what has expired, and clients that nobody uses", async () => {
    const { user_id, device_id } = await server.register("alice");
    const [row] = await run("SELECT nid FROM users WHERE user_id = $1", [user_id]);
    const nid = row?.["nid"];
    for (const [client, used] of [["used", 1], ["unused", 1], ["recent", NOW]] as const) {
      await run("INSERT INTO oauth_clients (client_id, digest, metadata, used_ts) VALUES ($1, $2, '{}', $3)", [client, Buffer.from(client), used]);
    }
    await run("UPDATE access_tokens SET oauth_client_id = 'used', oauth_scope = 'x' WHERE user_nid = $1", [nid]);
    for (const expires of [NOW, NOW + 1]) {
      const key = Buffer.from(String(expires));
      await run("INSERT INTO oauth_codes (digest, client_id, user_nid, device_id, scope, redirect_uri, code_challenge, expires_ts) VALUES ($1, 'recent', $2, 'D', 's', 'r', 'c', $3)", [key, nid, expires]);
      // A device may ask for an hour longer, to learn that its code has expired.
      await run("INSERT INTO oauth_device_codes (digest, user_code, client_id, device_id, scope, interval_seconds, expires_ts) VALUES ($1, $2, 'recent', 'D', 's', 5, $3)", [key, String(expires), expires - 3_600_000]);
      await run("INSERT INTO oauth_spent_tokens (refresh_digest, user_nid, device_id, expires_ts) VALUES ($1, $2, $3, $4)", [key, nid, device_id, expires]);
      await run("INSERT INTO browser_sessions (digest, user_nid, created_ts, expires_ts) VALUES ($1, $2, 0, $3)", [key, nid, expires]);
      await run("INSERT INTO external_logins (digest, provider, browser, verifier, nonce, next, expires_ts) VALUES ($1, 'p', $1, 'v', 'n', '/', $2)", [key, expires]);
    }
    await run("INSERT INTO external_sessions (provider, subject, user_nid, created_ts) SELECT 'p', name, $1, 0 FROM unnest(ARRAY['idle', 'browser', 'device']) AS name", [nid]);
    await run("UPDATE browser_sessions SET external_session = nid FROM external_sessions WHERE subject = 'browser' AND expires_ts > $1", [NOW]);
    await run("UPDATE devices SET external_session = nid FROM external_sessions WHERE subject = 'device' AND devices.user_nid = $1", [nid]);
    await expireOauth(server.database, NOW, NOW);
    await expireExternal(server.database, NOW, NOW);
    for (const table of ["oauth_codes", "oauth_device_codes", "oauth_spent_tokens", "browser_sessions", "external_logins"]) expect(await count(table), table).to.equal(1);
    expect((await run("SELECT client_id FROM oauth_clients ORDER BY client_id")).map(({ client_id }) => client_id)).to.deep.equal(["recent", "used"]);
    expect((await run("SELECT subject FROM external_sessions ORDER BY subject")).map(({ subject }) => subject)).to.deep.equal(["browser", "device"]);
  });
});
