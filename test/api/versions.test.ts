import { expect } from "chai";
import { checkConfig } from "../../src/config.js";
import { startServer } from "../../src/server.js";

describe("getVersions", () => {
  it("answers with the versions, readable from any web page", async () => {
    await using server = await startServer(checkConfig({ listen: { port: 0 }, log: { requests: false } }), { validateAnswers: true });
    const response = await fetch(`${server.url}/_matrix/client/versions`);
    expect(response.status).to.equal(200);
    expect(response.headers.get("access-control-allow-origin")).to.equal("*");
    expect(await response.json()).to.have.property("versions").that.includes("v1.1");
  });

  it("tells an unknown path from a wrong method", async () => {
    await using server = await startServer(checkConfig({ listen: { port: 0 }, log: { requests: false } }));
    const unknown = await fetch(`${server.url}/_matrix/client/nothing`);
    expect([unknown.status, await unknown.json()]).to.have.nested.property("[1].errcode", "M_UNRECOGNIZED");
    expect(unknown.status).to.equal(404);
    const wrong = await fetch(`${server.url}/_matrix/client/versions`, { method: "DELETE" });
    expect(wrong.status).to.equal(405);
  });
});
