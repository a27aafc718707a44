import { expect } from "chai";
import { startTestServer, type TestServer } from "../support/server.js";

describe("getVersions", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  it("answers with the versions, readable from any web page", async () => {
    const answer = await server.anonymous.get("/_matrix/client/versions");
    expect(answer.status).to.equal(200);
    expect(answer.headers.get("access-control-allow-origin")).to.equal("*");
    expect(answer.body).to.have.property("versions").that.includes("v1.1");
  });

  it("refuses a token that is not known, though it needs none", async () => {
    const answer = await server.client({ access_token: "nonsense" }).get("/_matrix/client/versions");
    expect([answer.status, answer.body["errcode"]]).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
  });
});
