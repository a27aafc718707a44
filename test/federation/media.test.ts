// Media of other servers: fetched once, shown and made small here.
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import sharp from "sharp";
import { boundaryOf, mixed, secondPart } from "../../src/federation/multipart.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { AUTHED, download, THUMBNAIL, uploaded } from "../support/media.js";
import { startPeer, type Peer } from "../support/peer.js";
import type { TestClient } from "../support/server.js";

describe("media of other servers", () => {
  let here: FederatingServer;
  let there: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [here, there, peer] = await Promise.all([startFederatingServer({ media: { max_upload_bytes: 500_000 } }), startFederatingServer(), startPeer()]);
    [alice, bob] = await Promise.all([here.register("alice"), there.register("bob")]);
  });
  after(async () => {
    for (const part of [here, there, peer]) await part[Symbol.asyncDispose]();
  });

  it("are given with their type and name, also when the other server has forgotten them", async () => {
    const content = randomBytes(300_000);
    const uri = await uploaded(there, bob, content, "image/png", "Grüße.png");
    for (const round of ["fetched", "kept"]) {
      const answer = await download(here, alice, `${AUTHED}/${uri}`);
      expect([round, answer.status, answer.bytes.equals(content), answer.headers.get("content-type")]).to.deep.equal([round, 200, true, "image/png"]);
      expect(answer.headers.get("content-disposition")).to.contain("filename*=UTF-8''Gr%C3%BC%C3%9Fe.png");
      await there.database.transaction((tx) => tx.query({ name: "test_forget_media", text: "DELETE FROM media" }, []));
    }
  });

  it("get thumbnails from the copy", async () => {
    const image = await sharp({ create: { width: 900, height: 600, channels: 3, background: "red" } }).png().toBuffer();
    const uri = await uploaded(there, bob, image, "image/png");
    const { status, bytes } = await download(here, alice, `${THUMBNAIL}/${uri}?width=300&height=200&method=scale`);
    expect(status).to.equal(200);
    expect((await sharp(bytes).metadata()).width).to.be.lessThan(900);
  });

  it("are refused where there are none, or too many bytes", async () => {
    const none = await download(here, alice, `${AUTHED}/${there.name}/none`);
    expect([none.status, none.errcode]).to.deep.equal([404, "M_NOT_FOUND"]);
    const uri = await uploaded(there, bob, randomBytes(600_000));
    const large = await download(here, alice, `${AUTHED}/${uri}`);
    expect([large.status, large.errcode]).to.deep.equal([502, "M_TOO_LARGE"]);
    const gone = await download(here, alice, `${AUTHED}/localhost:1/media`);
    expect([gone.status, gone.errcode]).to.deep.equal([502, "M_UNKNOWN"]);
  });

  it("of older servers are asked for without a signature", async () => {
    peer.answer("/_matrix/media/v3/download/", () => ({ status: 200, body: { old: true } }));
    const { status, bytes } = await download(here, alice, `${AUTHED}/${peer.name}/old`);
    expect([status, bytes.toString()]).to.deep.equal([200, '{"old":true}']);
    expect(peer.asked.at(-1)).to.match(/^GET \/_matrix\/media\/v3\/download\/localhost%3A\d+\/old\?allow_remote=false&timeout_ms=\d+$/);
    for (const [id, status, body, expected] of [
      ["nothing", 400, {}, 200],
      ["refused", 400, { errcode: "M_FORBIDDEN", error: "no" }, 404],
      ["none", 404, { errcode: "M_NOT_FOUND", error: "no" }, 404],
    ] as const) {
      peer.answer(`/_matrix/federation/v1/media/download/${id}`, () => ({ status, body }));
      expect((await download(here, alice, `${AUTHED}/${peer.name}/${id}`)).status, id).to.equal(expected);
    }
  });

  it("are given to servers that sign, in two parts, and only those of the asked server", async () => {
    const uri = await uploaded(there, bob, "for everybody", "text/plain");
    const id = uri.split("/")[1] ?? "";
    const path = `/_matrix/federation/v1/media/download/${id}`;
    const answer = await download(there, there.anonymous, path);
    expect([answer.status, answer.errcode]).to.deep.equal([401, "M_UNAUTHORIZED"]);
    const none = await peer.request(there.federationUrl, there.name, "GET", "/_matrix/federation/v1/media/download/none");
    expect([none.status, none.body["errcode"]]).to.deep.equal([404, "M_NOT_FOUND"]);
  });
});

describe("answers of two parts", () => {
  it("come out as they went in, however they are cut", async () => {
    const content = Buffer.concat([Buffer.from("\r\n--no boundary\r\n\r\n"), randomBytes(5_000), Buffer.from("\r\n-")]);
    const { contentType, body } = mixed({ "Content-Type": "text/plain", Location: "x:y" }, Readable.from([content]));
    const whole = await buffer(body);
    const boundary = boundaryOf(contentType) ?? "";
    for (const size of [1, 2, 7, 64, 10_000]) {
      const cut = async function* (): AsyncGenerator<Buffer> {
        for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
      };
      const part = await secondPart(cut(), boundary);
      expect([...part.headers]).to.deep.equal([["content-type", "text/plain"], ["location", "x:y"]]);
      expect((await buffer(part.content)).equals(content), `cut into ${size}`).to.equal(true);
    }
  });

  it("fail if they end too early", async () => {
    const { contentType, body } = mixed({}, Readable.from([Buffer.from("abc")]));
    const whole = await buffer(body);
    const part = await secondPart(Readable.from([whole.subarray(0, -10)]), boundaryOf(contentType) ?? "");
    const failure = await buffer(part.content).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
  });

  it("have a boundary that may be quoted, and only if they are mixed", () => {
    expect(boundaryOf('Multipart/Mixed; charset=x; boundary="a b"')).to.equal("a b");
    expect(boundaryOf("multipart/mixed;boundary=ab")).to.equal("ab");
    expect(boundaryOf("multipart/form-data; boundary=ab")).to.equal(undefined);
    expect(boundaryOf(undefined)).to.equal(undefined);
  });
});
