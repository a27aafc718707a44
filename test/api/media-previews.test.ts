// Previews of web pages as clients see them.
import { expect } from "chai";
import { download, image, AUTHED } from "../support/media.js";
import { stringAt, type JsonObject } from "../support/json-path.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";
import { startWebServer, type WebServer } from "../support/web-server.js";

const PATH = "/_matrix/client/v1/media/preview_url";

describe("previews of web pages", () => {
  let web: WebServer;
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    const picture = await image(40, 30);
    const html = (text: string | Buffer, type = "text/html"): Parameters<typeof startWebServer>[0][string] => (response) =>
      void response.writeHead(200, { "content-type": type }).end(text);
    web = await startWebServer({
      "/picture.png": html(picture, "image/png"),
      "/broken.png": html("no picture", "image/png"),
      "/large.png": html(Buffer.concat([picture, Buffer.alloc(200_000)]), "image/png"),
      "/full": html(`<html prefix="og: http://ogp.me/ns#"><head><title>Other</title>
        <meta property="og:title" content="The &quot;Rock&quot; &amp; roll" /><meta property="og:type" content="video.movie"/>
        <meta property="og:title" content="Second"><meta property="og:image" content="picture.png">
        <meta property="og:image:width" content="9999"><meta property="og:url" content="http://example.org/"></head></html>`),
      "/twitter": html(`<meta name="twitter:title" content="T"><meta name="twitter:description" content="D"><meta name="twitter:image" content="/picture.png">`),
      "/plain": html(`<title>\n Plain   page </title><script>var p = "<p>no</p>";</script><nav><p>Menu</p></nav><p>First <b>words</b>.</p><p>More</p>`),
      "/empty": html(""),
      "/broken-picture": html(`<title>t</title><meta property="og:image" content="/broken.png">`),
      "/large-picture": html(`<title>t</title><meta property="og:image" content="/large.png">`),
      "/missing-picture": html(`<title>t</title><meta property="og:image" content="/none.png">`),
      "/private-picture": html(`<title>t</title><meta property="og:image" content="http://127.0.0.2:1/x.png">`),
      "/data-picture": html(`<title>t</title><meta property="og:image" content="data:image/png;base64,AAAA">`),
      "/latin": html(Buffer.from("<title>Caf\u00e9</title>", "latin1"), "text/html; charset=iso-8859-1"),
      "/meta-charset": html(Buffer.from('<meta charset="windows-1252"><title>Caf\u00e9</title>', "latin1")),
      "/utf16": html(Buffer.from("\ufeff<title>Café</title>", "utf16le")),
      "/unknown-charset": html("<title>Café</title>", "text/html; charset=nonsense"),
      "/oembed": html(`<link rel="alternate" type="application/json+oembed" href="/oembed.json">`),
      "/oembed.json": html(JSON.stringify({ type: "photo", title: "Photo", provider_name: "Album", url: `/picture.png` }), "application/json"),
      "/oembed-broken": html(`<title>t</title><link rel="alternate" type="application/json+oembed" href="/plain">`),
      "/text": html("words", "text/plain"),
      "/moved": (response) => response.writeHead(302, { location: "/full" }).end(),
      "/moved-away": (response) => response.writeHead(302, { location: "http://127.0.0.2/" }).end(),
      "/error": (response) => response.writeHead(500).end("<title>t</title>"),
      "/nested": html(`<title>t</title>${"<div>".repeat(100_000)}${"</b>".repeat(100_000)}<meta property="og:type" content="too late">`),
      "/endless": (response) => {
        response.writeHead(200, { "content-type": "text/html" }).write("<title>t</title>");
        const timer = setInterval(() => response.write(" ".repeat(50_000)), 1);
        response.on("close", () => clearInterval(timer));
      },
      "/script": html(`<title>&lt;script&gt;alert(1)&lt;/script&gt;</title><meta property="__proto__" content="x"><meta property="og:constructor" content="y">`),
      "/counted": html("<title>t</title>"),
    });
    server = await startTestServer({
      outgoing: { allowed_addresses: ["127.0.0.1"] },
      url_previews: { page_bytes: 1_000_000, image_bytes: 100_000, denied_hosts: ["*.denied.example", "localhost"] },
    });
    alice = await server.register("alice");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await web[Symbol.asyncDispose]();
  });

  const preview = async (address: string, client = alice): Promise<{ status: number; body: JsonObject }> => {
    const { status, body } = await client.get(`${PATH}?url=${encodeURIComponent(address)}`);
    return { status, body };
  };
  const bodyOf = async (path: string): Promise<JsonObject> => (await preview(web.url + path)).body;

  it("tell what the page says and show its picture", async () => {
    const body = await bodyOf("/full");
    const { "og:image": uri, "matrix:image:size": size, ...rest } = body;
    expect(rest).to.deep.equal({
      "og:title": 'The "Rock" & roll',
      "og:type": "video.movie",
      "og:url": "http://example.org/",
      "og:image:type": "image/png",
      "og:image:width": 40,
      "og:image:height": 30,
    });
    const answer = await download(server, alice, `${AUTHED}/${String(uri).replace("mxc://", "")}`);
    expect([answer.status, answer.headers.get("content-type"), answer.bytes.length]).to.deep.equal([200, "image/png", size]);
  });

  it("follow redirects", async () => {
    expect((await bodyOf("/moved"))["og:type"]).to.equal("video.movie");
  });

  it("make do with what there is", async () => {
    const twitter = await bodyOf("/twitter");
    expect([twitter["og:title"], twitter["og:description"], twitter["og:image:width"]]).to.deep.equal(["T", "D", 40]);
    expect(await bodyOf("/plain")).to.deep.equal({ "og:title": "Plain page", "og:description": "First words." });
    expect(await bodyOf("/empty")).to.deep.equal({});
    expect(await bodyOf("/text")).to.deep.equal({});
    expect(await bodyOf("/script")).to.deep.equal({ "og:title": "<script>alert(1)</script>", "og:constructor": "y" });
  });

  it("show a picture that is linked itself", async () => {
    const body = await bodyOf("/picture.png");
    expect([body["og:image:width"], stringAt(body, "og:image")?.slice(0, 16)]).to.deep.equal([40, "mxc://localhost/"]);
    expect(await bodyOf("/broken.png")).to.deep.equal({});
  });

  for (const kind of ["broken", "large", "missing", "private", "data"]) {
    it(`leave a ${kind} picture out`, async () => expect(await bodyOf(`/${kind}-picture`)).to.deep.equal({ "og:title": "t" }));
  }

  for (const path of ["/latin", "/meta-charset", "/utf16", "/unknown-charset"]) {
    it(`read ${path}`, async () => expect((await bodyOf(path))["og:title"]).to.equal("Café"));
  }

  it("ask where the page says it can be had as oEmbed", async () => {
    const body = await bodyOf("/oembed");
    expect([body["og:title"], body["og:site_name"], body["og:image:width"]]).to.deep.equal(["Photo", "Album", 40]);
    expect(await bodyOf("/oembed-broken")).to.deep.equal({ "og:title": "t" });
  });

  it("read no more of a page than its beginning", async () => {
    expect(await bodyOf("/endless")).to.deep.equal({ "og:title": "t" });
    expect(await bodyOf("/nested")).to.deep.equal({ "og:title": "t" });
  });

  it("are kept for a while, and made once for many", async () => {
    await Promise.all([1, 2, 3].map(() => bodyOf("/counted")));
    await bodyOf("/counted#part");
    expect(web.requests.filter((path) => path === "/counted").length).to.equal(1);
    await server.database.write({ name: "", text: "UPDATE url_previews SET expires_ts = 1" }, []);
    await bodyOf("/counted");
    expect(web.requests.filter((path) => path === "/counted").length).to.equal(2);
  });

  it("can be asked for at the old path", async () => {
    const { body } = await alice.get(`/_matrix/media/v3/preview_url?url=${encodeURIComponent(`${web.url}/plain`)}&ts=1`);
    expect(body["og:title"]).to.equal("Plain page");
  });

  describe("refuse", () => {
    const cases: [address: () => string, status: number, errcode: string][] = [
      [() => "nonsense", 400, "M_INVALID_PARAM"],
      [() => "file:///etc/passwd", 400, "M_INVALID_PARAM"],
      [() => `http://example.org/${"a".repeat(5000)}`, 400, "M_INVALID_PARAM"],
      [() => "http://169.254.169.254/latest/meta-data", 403, "M_FORBIDDEN"],
      [() => "http://[::1]/", 403, "M_FORBIDDEN"],
      [() => "http://127.0.0.2/", 403, "M_FORBIDDEN"],
      [() => "http://user:secret@127.0.0.1/", 403, "M_FORBIDDEN"],
      [() => "http://www.denied.example/", 403, "M_FORBIDDEN"],
      [() => `http://localhost:${web.port}/full`, 403, "M_FORBIDDEN"],
      [() => `${web.url}/moved-away`, 403, "M_FORBIDDEN"],
      [() => `${web.url}/error`, 502, "M_UNKNOWN"],
      [() => "http://127.0.0.1:1/", 502, "M_UNKNOWN"],
    ];
    for (const [address, status, errcode] of cases) {
      it(`${String(address).slice(6, 60)}: ${errcode}`, async () => {
        const answer = await preview(address());
        expect([answer.status, answer.body["errcode"]]).to.deep.equal([status, errcode]);
      });
    }
    it("who has no token, and who leaves out the address", async () => {
      expect((await preview(`${web.url}/full`, server.anonymous)).status).to.equal(401);
      expect((await alice.get(PATH)).body["errcode"]).to.equal("M_MISSING_PARAM");
    });
  });

  it("can be switched off, and are counted", async () => {
    await using off = await startTestServer({ url_previews: { enabled: false }, rate_limits: { url_preview: { per_second: 0.001, burst: 1 } } });
    const bob = await off.register("bob");
    expect((await preview("http://example.org", bob)).body["errcode"]).to.equal("M_NOT_FOUND");
    expect((await preview("http://example.org", bob)).status).to.equal(429);
  });
});
