// Login tokens and OpenID tokens.
import { expect } from "chai";
import { stringAt } from "../support/json-path.js";
import { type Answer, passwordOf, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const GET_TOKEN = "/_matrix/client/v1/login/get_token";
const USERINFO = "/_matrix/federation/v1/openid/userinfo";

describe("user tokens", () => {
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    server = await startTestServer();
    alice = await server.register("alice");
  });
  after(() => server[Symbol.asyncDispose]());

  const loginToken = async (): Promise<string> => {
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: passwordOf("alice") };
    const answer = await alice.post(GET_TOKEN, { auth });
    expect(answer.status).to.equal(200);
    expect(answer.body["expires_in_ms"]).to.equal(120_000);
    return stringAt(answer.body, "login_token") ?? "";
  };
  const login = (token?: string): Promise<Answer> =>
    server.anonymous.post(`${V3}/login`, { type: "m.login.token", ...(token !== undefined && { token }) });
  const expire = (): Promise<unknown> =>
    server.database.write({ name: "test_expire", text: "UPDATE user_tokens SET expires_ts = 1" }, []);

  it("lets another client in, once, after authentication", async () => {
    expect((await alice.post(GET_TOKEN, {})).status).to.equal(401);
    expect(refusal(await server.anonymous.post(GET_TOKEN, {}))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    const token = await loginToken();
    const answers = await Promise.all(Array.from({ length: 5 }, () => login(token)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).to.deep.equal([200, 403, 403, 403, 403]);
    const body = answers.find(({ status }) => status === 200)?.body;
    expect(body).to.include({ user_id: alice.user_id });
    expect(body?.["device_id"]).to.not.equal(alice.device_id);
  });

  it("refuses login tokens that are unknown, expired or missing, and other tokens in their place", async () => {
    expect(refusal(await login("unknown"))).to.deep.equal([403, "M_FORBIDDEN"]);
    expect(refusal(await login())).to.deep.equal([400, "M_MISSING_PARAM"]);
    expect(refusal(await login(alice.access_token))).to.deep.equal([403, "M_FORBIDDEN"]);
    const openid = await alice.post(`${V3}/user/${alice.user_id}/openid/request_token`, {});
    expect(refusal(await login(stringAt(openid.body, "access_token")))).to.deep.equal([403, "M_FORBIDDEN"]);
    const token = await loginToken();
    await expire();
    expect(refusal(await login(token))).to.deep.equal([403, "M_FORBIDDEN"]);
  });

  it("gives no login tokens where they are switched off", async () => {
    await using other = await startTestServer({ tokens: { login_tokens: false } });
    const bob = await other.register("bob");
    expect(refusal(await bob.post(GET_TOKEN, {}))).to.deep.equal([404, "M_UNRECOGNIZED"]);
    expect((await bob.get(`${V3}/login`)).body).to.deep.equal({ flows: [{ type: "m.login.password" }] });
    expect((await bob.get(`${V3}/capabilities`)).body["capabilities"]).to.deep.include({ "m.get_login_token": { enabled: false } });
  });

  it("tells another service who the user is, by an OpenID token that opens nothing else", async () => {
    const answer = await alice.post(`${V3}/user/${alice.user_id}/openid/request_token`, {});
    expect(answer.status).to.equal(200);
    expect(answer.body).to.include({ token_type: "Bearer", matrix_server_name: "localhost", expires_in: 3600 });
    const token = stringAt(answer.body, "access_token") ?? "";
    expect((await server.anonymous.get(`${USERINFO}?access_token=${token}`)).body).to.deep.equal({ sub: alice.user_id });
    expect((await server.anonymous.get(`${USERINFO}?access_token=${token}`)).status).to.equal(200);
    expect(refusal(await server.client({ access_token: token }).get(`${V3}/account/whoami`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
    expect(refusal(await server.anonymous.get(`${USERINFO}?access_token=${alice.access_token}`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
    expect(refusal(await server.anonymous.get(USERINFO))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    expect(refusal(await alice.post(`${V3}/user/@bob:localhost/openid/request_token`, {}))).to.deep.equal([403, "M_FORBIDDEN"]);
    await expire();
    expect(refusal(await server.anonymous.get(`${USERINFO}?access_token=${token}`))).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
  });
});
