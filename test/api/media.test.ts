// Uploads and downloads as clients see them.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AUTHED, download, filesIn, send, THUMBNAIL, uploaded } from "../support/media.js";
import { eventually } from "../support/eventually.js";
import { objectAt, stringAt } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const UPLOAD = ["POST", "/_matrix/media/v3/upload"] as const;
const OLD = "/_matrix/media/v3/download";

describe("media", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hansa-media-"));
    server = await startTestServer({ media: { folder, max_upload_bytes: 100_000, max_pending_uploads: 3 } });
    alice = await server.register("alice");
    bob = await server.register("bob");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it("gives everybody with a token what was uploaded", async () => {
    const content = randomBytes(50_000);
    const uri = await uploaded(server, alice, content, "image/png", "a b.png");
    expect(uri).to.match(/^localhost\/[A-Za-z0-9_-]{20,}$/);
    const answer = await download(server, bob, `${AUTHED}/${uri}`);
    expect([answer.status, answer.bytes.equals(content)]).to.deep.equal([200, true]);
    const names = ["content-type", "content-length", "content-disposition", "cross-origin-resource-policy", "x-content-type-options", "accept-ranges"];
    expect(names.map((name) => answer.headers.get(name))).to.deep.equal([
      "image/png",
      "50000",
      'inline; filename="a b.png"',
      "cross-origin",
      "nosniff",
      "bytes",
    ]);
    expect(answer.headers.get("content-security-policy")).to.contain("sandbox; default-src 'none';");
    expect(answer.headers.get("cache-control")).to.contain("private");
  });

  it("takes empty content and content without a type", async () => {
    const uri = await uploaded(server, alice, "", "");
    const { status, headers, bytes } = await download(server, alice, `${AUTHED}/${uri}`);
    expect([status, headers.get("content-type"), headers.get("content-disposition"), bytes.length]).to.deep.equal([
      200,
      "application/octet-stream",
      "attachment",
      0,
    ]);
  });

  it("stores the same content once", async () => {
    const content = randomBytes(1000);
    const before = filesIn(folder).length;
    const uris = await Promise.all([1, 2, 3].map(() => uploaded(server, alice, content)));
    expect(new Set(uris).size).to.equal(3);
    expect(filesIn(folder).length).to.equal(before + 1);
  });

  it("serves no media without a token", async () => {
    const uri = await uploaded(server, alice, "secret");
    expect((await download(server, server.anonymous, `${AUTHED}/${uri}`)).errcode).to.equal("M_MISSING_TOKEN");
    expect((await download(server, server.anonymous, `${THUMBNAIL}/${uri}?width=1&height=1`)).errcode).to.equal("M_MISSING_TOKEN");
    for (const path of [`${OLD}/${uri}`, `${OLD}/${uri}/name`, `/_matrix/media/v3/thumbnail/${uri}?width=1&height=1`, `/_matrix/media/r0/download/${uri}`]) {
      const { status, errcode } = await download(server, server.anonymous, path);
      expect([status, errcode], path).to.deep.equal([404, "M_NOT_FOUND"]);
    }
    expect((await server.anonymous.request(...UPLOAD, "x")).status).to.equal(401);
    expect((await server.anonymous.get("/_matrix/client/v1/media/config")).status).to.equal(401);
  });

  it("tells the largest upload, and takes no larger one", async () => {
    for (const path of ["/_matrix/client/v1/media/config", "/_matrix/media/v3/config", "/_matrix/media/r0/config"]) {
      expect((await alice.get(path)).body).to.deep.equal({ "m.upload.size": 100_000 });
    }
    expect((await send(server, alice, UPLOAD, Buffer.alloc(100_000))).status).to.equal(200);
    const { status, body } = await send(server, alice, UPLOAD, Buffer.alloc(100_001));
    expect([status, stringAt(body, "errcode")]).to.deep.equal([413, "M_TOO_LARGE"]);
  });

  it("refuses an upload that grows too large while it comes, and leaves nothing of it", async () => {
    const before = filesIn(folder).length;
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${alice.access_token}` };
      const outgoing = request(server.url + UPLOAD[1], { method: "POST", headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
        outgoing.destroy();
      });
      outgoing.on("error", reject);
      outgoing.write(Buffer.alloc(60_000));
      outgoing.write(Buffer.alloc(60_000));
    });
    expect(status).to.equal(413);
    expect(filesIn(folder).length).to.equal(before);
  });

  it("goes on with a connection whose upload it has refused unread", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const put = (path: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${alice.access_token}`, "content-length": "90000" };
        const outgoing = request(server.url + path, { method: "PUT", agent, headers }, (response) => {
          response.resume().on("end", () => resolve(response.statusCode));
        });
        outgoing.on("error", reject);
        outgoing.end(Buffer.alloc(90_000));
      });
    for (let round = 0; round < 10; round += 1) expect(await put("/_matrix/media/v3/upload/localhost/unknown")).to.equal(404);
    agent.destroy();
  });

  it("leaves nothing of an upload that is cut off", async () => {
    const before = filesIn(folder).length;
    const { port, hostname } = new URL(server.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname);
      const head = `POST ${UPLOAD[1]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${alice.access_token}\r\nContent-Length: 5000\r\n\r\n`;
      socket.write(head + "x".repeat(1000), () => setTimeout(() => socket.destroy(), 100));
      socket.on("close", () => resolve());
    });
    await eventually("what came of it is gone", () => Promise.resolve(filesIn(folder).length === before));
  });

  it("answers HEAD, and only that nothing has changed to those who have it", async () => {
    const uri = await uploaded(server, alice, "content", "text/plain");
    const head = await download(server, alice, `${AUTHED}/${uri}`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), head.bytes.length]).to.deep.equal([200, "7", 0]);
    const etag = head.headers.get("etag") ?? "";
    for (const [tag, status] of [[etag, 304], [`"x", W/${etag}`, 304], ["*", 304], ['"x"', 200]] as const) {
      expect((await download(server, alice, `${AUTHED}/${uri}`, { headers: { "if-none-match": tag } })).status, tag).to.equal(status);
    }
  });

  describe("parts of content", () => {
    const cases: [range: string, status: number, bytes: string, contentRange: string | null][] = [
      ["bytes=0-3", 206, "0123", "bytes 0-3/10"],
      ["bytes=4-", 206, "456789", "bytes 4-9/10"],
      ["bytes=-3", 206, "789", "bytes 7-9/10"],
      ["bytes=8-100", 206, "89", "bytes 8-9/10"],
      ["bytes=-100", 206, "0123456789", "bytes 0-9/10"],
      ["bytes=9-9", 206, "9", "bytes 9-9/10"],
      ["bytes=10-", 416, "", "bytes */10"],
      ["bytes=-0", 416, "", "bytes */10"],
      ["bytes=3-2", 200, "0123456789", null],
      ["bytes=0-1,3-4", 200, "0123456789", null],
      ["lines=0-1", 200, "0123456789", null],
      ["bytes=99999999999999999999-", 200, "0123456789", null],
    ];
    let uri: string;
    before(async () => {
      uri = await uploaded(server, alice, "0123456789", "text/plain");
    });
    for (const [range, status, bytes, contentRange] of cases) {
      it(`${range}: ${status}`, async () => {
        const answer = await download(server, alice, `${AUTHED}/${uri}`, { headers: { range } });
        const got = [answer.status, status === 416 ? "" : answer.bytes.toString(), answer.headers.get("content-range")];
        expect(got).to.deep.equal([status, bytes, contentRange]);
      });
    }
    it("gives the whole if it is not what the caller has a part of", async () => {
      const headers = { range: "bytes=0-3", "if-range": '"other"' };
      expect((await download(server, alice, `${AUTHED}/${uri}`, { headers })).status).to.equal(200);
    });
  });

  describe("types and names", () => {
    const cases: [type: string, name: string | undefined, gotType: string, disposition: string][] = [
      ["image/jpeg", undefined, "image/jpeg", "inline"],
      ["Text/Plain; charset=utf-8", "a.txt", "Text/Plain; charset=utf-8", 'inline; filename="a.txt"'],
      ["text/html", "a.html", "text/html", 'attachment; filename="a.html"'],
      ["text/html;x", "a.html", "application/octet-stream", 'attachment; filename="a.html"'],
      ["image/svg+xml", undefined, "image/svg+xml", "attachment"],
      ["application/pdf", undefined, "application/pdf", "attachment"],
      ["application/xhtml+xml", undefined, "application/xhtml+xml", "attachment"],
      ["image/png, text/html", undefined, "application/octet-stream", "attachment"],
      ["nonsense", undefined, "application/octet-stream", "attachment"],
      [`image/png; a=${"x".repeat(300)}`, undefined, "application/octet-stream", "attachment"],
      ["image/png", "name;with;semicolons", "image/png", 'inline; filename="name;with;semicolons"'],
      ["image/png", 'say "hi"', "image/png", 'inline; filename="say \\"hi\\""'],
      ["image/png", "../../etc/passwd", "image/png", 'inline; filename=".._.._etc_passwd"'],
      ["image/png", "a\r\nSet-Cookie: b", "image/png", 'inline; filename="aSet-Cookie: b"'],
      ["image/png", "gpj.\u202eexe", "image/png", 'inline; filename="gpj.exe"'],
      ["image/png", "🐔's*", "image/png", "inline; filename=\"_'s*\"; filename*=UTF-8''%F0%9F%90%94%27s%2A"],
      ["image/png", "..", "image/png", "inline"],
      ["image/png", "x".repeat(1000), "image/png", `inline; filename="${"x".repeat(200)}"`],
    ];
    for (const [type, name, gotType, disposition] of cases) {
      it(`${type.slice(0, 40)} ${JSON.stringify(name ?? "").slice(0, 40)}`, async () => {
        const uri = await uploaded(server, alice, "x", type, name);
        const { headers } = await download(server, alice, `${AUTHED}/${uri}`);
        expect([headers.get("content-type"), headers.get("content-disposition")]).to.deep.equal([gotType, disposition]);
      });
    }
    it("lets the reader choose another name", async () => {
      const uri = await uploaded(server, alice, "x", "image/png", "a.png");
      const { headers } = await download(server, alice, `${AUTHED}/${uri}/${encodeURIComponent("☕/b.png")}`);
      expect(headers.get("content-disposition")).to.equal("inline; filename=\"__b.png\"; filename*=UTF-8''%E2%98%95_b.png");
    });
  });

  describe("what is not there", () => {
    const cases: [path: string, status: number, errcode: string][] = [
      ["localhost/unknown", 404, "M_NOT_FOUND"],
      ["elsewhere.example/unknown", 502, "M_UNKNOWN"],
      ["localhost/..%2f..%2fetc", 400, "M_INVALID_PARAM"],
      ["localhost/a%00b", 400, "M_INVALID_PARAM"],
      [`localhost/${"a".repeat(256)}`, 400, "M_INVALID_PARAM"],
      ["..%2f../unknown", 400, "M_INVALID_PARAM"],
      ["not%20a%20server/unknown", 400, "M_INVALID_PARAM"],
    ];
    for (const [path, status, errcode] of cases) {
      it(`${path.slice(0, 40)}: ${errcode}`, async () => {
        const answer = await download(server, alice, `${AUTHED}/${path}`);
        expect([answer.status, answer.errcode]).to.deep.equal([status, errcode]);
      });
    }
  });

  describe("reserved URIs", () => {
    const reserve = async (client: TestClient): Promise<string> => {
      const { body } = await client.post("/_matrix/media/v1/create");
      return (stringAt(body, "content_uri") ?? "").slice("mxc://".length);
    };
    const fill = (client: TestClient, uri: string, content = "content"): Promise<{ status: number; body: unknown }> =>
      send(server, client, ["PUT", `/_matrix/media/v3/upload/${uri}`], content, "text/plain");

    it("get their content later, once, from who reserved them", async () => {
      const { body } = await alice.post("/_matrix/media/v1/create");
      expect(body["unused_expires_at"]).to.be.within(Date.now() + 86_000_000, Date.now() + 87_000_000);
      const uri = (stringAt(body, "content_uri") ?? "").slice("mxc://".length);
      const early = await download(server, bob, `${AUTHED}/${uri}?timeout_ms=0`);
      expect([early.status, early.errcode]).to.deep.equal([504, "M_NOT_YET_UPLOADED"]);
      const foreign = await fill(bob, uri);
      expect([foreign.status, stringAt(foreign.body, "errcode")]).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(await fill(alice, uri)).to.deep.equal({ status: 200, body: {} });
      const again = await fill(alice, uri, "other");
      expect([again.status, stringAt(again.body, "errcode")]).to.deep.equal([409, "M_CANNOT_OVERWRITE_MEDIA"]);
      const { bytes, headers } = await download(server, bob, `${AUTHED}/${uri}`);
      expect([bytes.toString(), headers.get("content-type")]).to.deep.equal(["content", "text/plain"]);
    });

    it("let readers of another process wait for the content", async () => {
      await using other = await startTestServer({ media: { folder } }, server.address);
      const uri = await reserve(alice);
      const waiting = download(other, bob, `${AUTHED}/${uri}?timeout_ms=20000`);
      await new Promise((resolve) => setTimeout(resolve, 200));
      await fill(alice, uri);
      expect((await waiting).bytes.toString()).to.equal("content");
    });

    it("take the first of several uploads", async () => {
      const uri = await reserve(alice);
      const answers = await Promise.all(["a", "b", "c"].map((content) => fill(alice, uri, content)));
      expect(answers.map(({ status }) => status)).to.have.members([200, 409, 409]);
    });

    it("are refused if they are not ours or have expired", async () => {
      for (const uri of ["localhost/unknown", "elsewhere.example/unknown"]) expect((await fill(alice, uri)).status, uri).to.equal(404);
      const uri = await reserve(alice);
      await server.database.write({ name: "", text: "UPDATE media SET expires_ts = 1 WHERE digest IS NULL" }, []);
      const { status, body } = await fill(alice, uri);
      expect([status, stringAt(body, "errcode")]).to.deep.equal([404, "M_NOT_FOUND"]);
      expect((await download(server, alice, `${AUTHED}/${uri}?timeout_ms=0`)).status).to.equal(404);
    });

    it("are few at a time", async () => {
      const answers = await Promise.all([1, 2, 3, 4, 5].map(() => bob.post("/_matrix/media/v1/create")));
      expect(answers.map(({ status }) => status)).to.have.members([200, 200, 200, 429, 429]);
      const refused = answers.find(({ status }) => status === 429);
      expect(refused?.body["errcode"]).to.equal("M_LIMIT_EXCEEDED");
      const uri = (stringAt(objectAt(answers.find(({ status }) => status === 200)?.body), "content_uri") ?? "").slice(6);
      await fill(bob, uri);
      expect((await bob.post("/_matrix/media/v1/create")).status).to.equal(200);
    });
  });

  it("may be set to serve media without a token", async () => {
    await using open = await startTestServer({ media: { unauthenticated_access: true } });
    const carol = await open.register("carol");
    const uri = await uploaded(open, carol, "shared", "text/plain", "a");
    for (const path of [`${OLD}/${uri}`, `${OLD}/${uri}?allow_remote=false&allow_redirect=true`, `/_matrix/media/r0/download/${uri}`, `/_matrix/media/v1/download/${uri}/b`]) {
      const { status, bytes } = await download(open, open.anonymous, path);
      expect([status, bytes.toString()], path).to.deep.equal([200, "shared"]);
    }
  });

  describe("quotas", () => {
    const upload = async (limited: TestServer, client: TestClient, bytes: number): Promise<unknown[]> => {
      const { status, body } = await send(limited, client, UPLOAD, randomBytes(bytes));
      return [status, stringAt(body, "errcode")];
    };

    it("bound what a user has stored, also for uploads at the same time", async () => {
      await using limited = await startTestServer({ media: { quota: { total_bytes: 1000 } } });
      const [carol, dave] = [await limited.register("carol"), await limited.register("dave")];
      const answers = await Promise.all([1, 2, 3, 4].map(() => upload(limited, carol, 400)));
      expect(answers.map(([status]) => status)).to.have.members([200, 200, 403, 403]);
      expect(await upload(limited, carol, 201)).to.deep.equal([403, "M_FORBIDDEN"]);
      expect(await upload(limited, carol, 200)).to.deep.equal([200, undefined]);
      expect((await carol.post("/_matrix/media/v1/create")).status).to.equal(403);
      expect(await upload(limited, dave, 200)).to.deep.equal([200, undefined]);
    });

    it("bound what a user uploads within a period, and say where to read about it", async () => {
      const quota = { period_bytes: 1000, period_seconds: 3600, info_uri: "https://example.org/limits" };
      await using limited = await startTestServer({ media: { quota } });
      const carol = await limited.register("carol");
      expect(await upload(limited, carol, 1000)).to.deep.equal([200, undefined]);
      const { status, body } = await send(limited, carol, UPLOAD, "x");
      expect([status, stringAt(body, "errcode"), stringAt(body, "info_uri")]).to.deep.equal([403, "M_USER_LIMIT_EXCEEDED", quota.info_uri]);
      await limited.database.write({ name: "", text: "UPDATE media SET created_ts = created_ts - 3601000" }, []);
      expect(await upload(limited, carol, 1000)).to.deep.equal([200, undefined]);
    });
  });

  it("counts uploads and downloads", async () => {
    const rate = { per_second: 0.001, burst: 1 };
    await using limited = await startTestServer({ rate_limits: { upload: rate, download: rate } });
    const carol = await limited.register("carol");
    const uri = await uploaded(limited, carol, "x");
    expect((await send(limited, carol, UPLOAD, "x")).status).to.equal(429);
    expect((await download(limited, carol, `${AUTHED}/${uri}`)).status).to.equal(200);
    expect((await download(limited, carol, `${AUTHED}/${uri}`)).errcode).to.equal("M_LIMIT_EXCEEDED");
  });
});
