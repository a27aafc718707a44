// Login with a token that another system has signed.
import { createSecretKey, generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { SignJWT } from "jose";
import { ConfigError } from "../../src/config.js";
import { startAppService } from "../support/application-service.js";
import { Browser, formsOf } from "../support/browser.js";
import { type Answer, refusal, startTestServer, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const SECRET = "a secret that the other system shares";

describe("login with a signed token", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ jwt_login: { algorithm: "HS256", key: SECRET, issuer: "them", audiences: ["us"], display_name: "name" } });
  });
  after(() => server[Symbol.asyncDispose]());

  const tokenOf = async (claims: Record<string, string>, { secret = SECRET, audience = "us", issuer = "them", expires = "5m", algorithm = "HS256" } = {}): Promise<string> =>
    await new SignJWT(claims).setProtectedHeader({ alg: algorithm }).setIssuer(issuer).setAudience(audience).setExpirationTime(expires).sign(createSecretKey(Buffer.from(secret)));
  const login = (token?: string, at = server): Promise<Answer> => at.anonymous.post(`${V3}/login`, { type: "org.matrix.login.jwt", ...(token !== undefined && { token }) });

  it("lets users in and opens accounts for new ones", async () => {
    expect((await server.anonymous.get(`${V3}/login`)).body["flows"]).to.deep.include({ type: "org.matrix.login.jwt" });
    const answers = await Promise.all([1, 2, 3].map(async () => login(await tokenOf({ sub: "Alice", name: "Alice A." }))));
    for (const { status, body } of answers) expect([status, body["user_id"]]).to.deep.equal([200, "@alice:localhost"]);
    expect((await server.anonymous.get(`${V3}/profile/@alice:localhost/displayname`)).body).to.deep.equal({ displayname: "Alice A." });
  });

  it("refuses every other token", async () => {
    const wrong = [
      tokenOf({ sub: "alice" }, { secret: SECRET.toUpperCase() }),
      tokenOf({ sub: "alice" }, { audience: "others" }),
      tokenOf({ sub: "alice" }, { issuer: "others" }),
      tokenOf({ sub: "alice" }, { expires: "-5m" }),
      tokenOf({ sub: "alice" }, { algorithm: "HS512", secret: SECRET + SECRET }),
      tokenOf({ sub: "not a name" }),
      tokenOf({ sub: "_server" }),
      tokenOf({}),
      Promise.resolve(`${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from('{"sub":"alice","iss":"them","aud":"us"}').toString("base64url")}.`),
      Promise.resolve("nonsense"),
    ];
    for (const token of wrong) expect(refusal(await login(await token))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await login())).to.deep.equal([400, "M_MISSING_PARAM"]);
    await server.database.write({ name: "test_lock", text: "UPDATE accounts SET locked = true" }, []);
    expect(refusal(await login(await tokenOf({ sub: "alice" })))).to.deep.equal([401, "M_USER_LOCKED"]);
  });

  it("gives nobody a name that is kept for an application service, nor does the page to register on", async () => {
    await using bridge = await startAppService({ namespaces: { users: [{ exclusive: true, regex: "@bridge_.*" }] } });
    const base = "http://matrix.example.org";
    await using other = await startTestServer({
      app_services: [bridge.file],
      jwt_login: { algorithm: "HS256", key: SECRET },
      servers: [{ name: "localhost", public_base_url: base }],
    });
    expect(refusal(await login(await tokenOf({ sub: "bridge_alice" }), other))).to.deep.equal([400, "M_EXCLUSIVE"]);
    const browser = new Browser([other.url]);
    const page = await browser.go(`${other.url}/_hansa/account/register`);
    const csrf = formsOf(page.text)[0]?.fields.get("csrf") ?? "";
    const answer = await browser.go(page.url, { csrf, user: "bridge_alice", password: "a fine password" });
    expect([answer.status, answer.text.includes("application service")]).to.deep.equal([400, true]);
  });

  it("takes public keys, lets only known users in if so configured, and is not there otherwise", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = publicKey.export({ format: "pem", type: "spki" }).toString();
    await using other = await startTestServer({ jwt_login: { algorithm: "ES256", key, create_accounts: false } });
    const bob = await other.register("bob");
    const signed = (sub: string): Promise<string> => new SignJWT({ sub }).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
    expect((await login(await signed("bob"), other)).body["user_id"]).to.equal(bob.user_id);
    expect(refusal(await login(await signed("nobody"), other))).to.deep.equal([403, "M_FORBIDDEN"]);
    // The public key is no secret that anybody may sign with.
    expect(refusal(await login(await tokenOf({ sub: "bob" }, { secret: key }), other))).to.deep.equal([403, "M_FORBIDDEN"]);
    await using without = await startTestServer();
    expect(refusal(await login(await tokenOf({ sub: "bob" }), without))).to.deep.equal([400, "M_UNKNOWN"]);
    const refused = await startTestServer({ jwt_login: { algorithm: "RS256", key: "this is no key, but it is long enough" } }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).to.be.instanceOf(ConfigError);
  });
});
