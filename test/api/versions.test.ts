import { expect } from "chai";
import { supported } from "../../src/api/client/versions.js";
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

  it("tells of the WebSocket where there is one", async () => {
    expect((await server.anonymous.get("/_matrix/client/versions")).body["unstable_features"]).to.include({ "org.hansa.websocket": true });
    await using without = await startTestServer({ limits: { sockets_per_user: 0 } });
    const { body } = await without.anonymous.get("/_matrix/client/versions");
    expect(body["unstable_features"]).to.include({ "org.matrix.msc3391": true }).and.not.have.property("org.hansa.websocket");
    expect(body["versions"]).to.include("v1.1");
  });

  it("refuses a token that is not known, though it needs none", async () => {
    const answer = await server.client({ access_token: "nonsense" }).get("/_matrix/client/versions");
    expect([answer.status, answer.body["errcode"]]).to.deep.equal([401, "M_UNKNOWN_TOKEN"]);
  });
});

describe("supported versions", () => {
  it("end before the first whose operations are not all there", () => {
    expect(supported(new Set()).versions).to.deep.equal(["v1.1"]);
    const some = new Set(["registrationTokenValidity", "getSpaceHierarchy", "refresh"]);
    expect(supported(some).versions).to.deep.equal(["v1.1", "v1.2"]);
    some.add("getRelatingEvents");
    expect(supported(some).versions).to.deep.equal(["v1.1", "v1.2", "v1.3"]);
    expect(supported(some).unstable_features).to.have.property("org.matrix.msc3981", true).and.not.have.property("org.matrix.msc3440.stable");
    some.add("getThreadRoots");
    expect(supported(some).versions).to.deep.equal(["v1.1", "v1.2", "v1.3", "v1.4", "v1.5"]);
    expect(supported(some).unstable_features).to.include({ "org.matrix.msc3440.stable": true, "org.matrix.msc3856.stable": true });
  });
});
