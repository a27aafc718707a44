// QR sign-in: the place where two clients meet, under the paths of both proposals.
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { expect } from "chai";
import { stringAt } from "../support/json-path.js";
import { refusal, startTestServer, type TestServer } from "../support/server.js";

const NEW = "/_matrix/client/unstable/io.element.msc4388/rendezvous";
const OLD = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";

describe("rendezvous", () => {
  let server: TestServer;
  let other: TestServer;
  const servers = [{ name: "localhost", public_base_url: "https://matrix.example.org" }];
  before(async () => {
    server = await startTestServer({ servers });
    other = await startTestServer({ servers }, server.address);
  });
  after(async () => {
    await other[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it("lets two clients leave things for each other, at any process, one after the other", async () => {
    const [mine, theirs] = [server.anonymous, other.anonymous];
    expect((await mine.get(NEW)).body).to.deep.equal({ create_available: true });
    const opened = await mine.post(NEW, { data: "" });
    const path = `${NEW}/${stringAt(opened.body, "id")}`;
    const token = stringAt(opened.body, "sequence_token") ?? "";
    expect((await theirs.get(path)).body).to.include({ data: "", sequence_token: token });
    const put = await theirs.put(`${path}/t1`, { sequence_token: token, data: "hello" });
    expect((await theirs.put(`${path}/t1`, { sequence_token: token, data: "hello" })).body).to.deep.equal(put.body);
    expect(refusal(await mine.put(path, { sequence_token: token, data: "late" }))).to.deep.equal([409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE"]);
    expect(refusal(await mine.put(path, { sequence_token: "nonsense", data: "x" }))).to.deep.equal([409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE"]);
    expect((await mine.get(path)).body).to.include({ data: "hello", ...put.body });
    // As a browser asks when somebody follows a link; fetch would not let us say so.
    const [page] = (await once(request(server.url + path, { headers: { "sec-fetch-mode": "navigate" } }).end(), "response")) as [IncomingMessage];
    expect(page.resume().statusCode).to.equal(403);
    expect((await mine.delete(path)).body).to.deep.equal({});
    expect(refusal(await theirs.get(path))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await theirs.put(path, { sequence_token: "1", data: "x" }))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await theirs.delete(path))).to.deep.equal([404, "M_NOT_FOUND"]);
  });

  it("keeps little, for a short time, and only where OAuth is", async () => {
    expect(refusal(await server.anonymous.post(NEW, { data: "x".repeat(4097) }))).to.deep.equal([413, "M_TOO_LARGE"]);
    const path = `${NEW}/${stringAt((await server.anonymous.post(NEW, { data: "x" })).body, "id")}`;
    await server.database.write({ name: "test_rendezvous", text: "UPDATE rendezvous SET expires_ts = 1" }, []);
    expect(refusal(await server.anonymous.get(path))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await server.anonymous.get("/_matrix/client/versions")).body["unstable_features"]).to.include({ "io.element.msc4388": true });
    await using without = await startTestServer();
    expect((await without.anonymous.get("/_matrix/client/versions")).body["unstable_features"]).to.not.have.property("io.element.msc4388");
    expect(refusal(await without.anonymous.get(NEW))).to.deep.equal([404, "M_UNRECOGNIZED"]);
  });

  it("serves clients of 2024 with ETags", async () => {
    const text = { "content-type": "text/plain" };
    const ask = (method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(server.url + path, { method, headers: { ...text, ...headers }, ...(body !== undefined && { body }) });
    const opened = await ask("POST", OLD, "first");
    expect([opened.status, opened.headers.get("access-control-expose-headers")]).to.deep.equal([201, "ETag"]);
    const { url } = (await opened.json()) as { url: string };
    expect(url.startsWith("https://matrix.example.org/")).to.equal(true);
    const path = new URL(url).pathname;
    const tag = opened.headers.get("etag") ?? "";
    expect((await ask("GET", path, undefined, { "if-none-match": tag })).status).to.equal(304);
    const got = await ask("GET", path);
    expect([got.status, got.headers.get("content-type"), await got.text()]).to.deep.equal([200, "text/plain", "first"]);
    const put = await ask("PUT", path, "second", { "if-match": tag });
    expect([put.status, put.headers.get("etag") === tag]).to.deep.equal([202, false]);
    expect((await ask("PUT", path, "third", { "if-match": tag })).status).to.equal(412);
    expect((await ask("PUT", path, "third")).status).to.equal(412);
    expect(await (await ask("GET", path, undefined, { "if-none-match": tag })).text()).to.equal("second");
    expect((await ask("POST", OLD, "x".repeat(20_000))).status).to.equal(413);
    expect((await ask("DELETE", path)).status).to.equal(204);
    expect((await ask("GET", path)).status).to.equal(404);
  });
});
