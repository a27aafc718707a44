// Requests to other machines: who may be asked, and what bounds the answer.
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { checkConfig } from "../../src/config.js";
import { addressPolicy, Outgoing, OutgoingError, type OutgoingRequest } from "../../src/federation/outgoing.js";
import { LOCAL_CERTIFICATE, LOCAL_KEY } from "../support/certificate.js";
import { eventually } from "../support/eventually.js";
import { startWebServer, type WebServer } from "../support/web-server.js";

const open = (settings: Record<string, unknown> = { allowed_addresses: ["127.0.0.0/8"] }): Outgoing =>
  new Outgoing(checkConfig({ outgoing: settings }).outgoing);

async function get(outgoing: Outgoing, url: string, options: Partial<OutgoingRequest> = {}): Promise<string> {
  const answer = await outgoing.request(new URL(url), { maxBytes: 1000, milliseconds: 30_000, ...options });
  let text = "";
  for await (const chunk of answer.body) text += String(chunk);
  return `${answer.status} ${answer.url.pathname} ${text}`;
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    if (error instanceof OutgoingError) return error.failure;
    throw error;
  }
}

describe("outgoing requests", () => {
  let web: WebServer;
  before(async () => {
    web = await startWebServer({
      "/": (response) => response.end("hello"),
      "/long": (response) => response.end("x".repeat(1001)),
      "/endless": (response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write("x".repeat(100)), 1);
        response.on("close", () => clearInterval(timer));
      },
      "/silent": (response) => response.writeHead(200).write("x"),
      "/drip": (response) => {
        const timer = setInterval(() => response.write("x"), 50);
        response.on("close", () => clearInterval(timer));
      },
      "/moved": (response) => response.writeHead(302, { location: "/" }).end("gone"),
      "/loop": (response) => response.writeHead(302, { location: "/loop" }).end(),
      "/to-private": (response) => response.writeHead(302, { location: "http://127.0.0.2:1/" }).end(),
      "/to-file": (response) => response.writeHead(302, { location: "file:///etc/passwd" }).end(),
      "/to-nowhere": (response) => response.writeHead(302, { location: "http://[" }).end(),
      "/echo": (response, request) => void request.pipe(response),
    });
  });
  after(() => web[Symbol.asyncDispose]());

  describe("addresses", () => {
    const mayAsk = addressPolicy({ allowed_addresses: [], denied_addresses: ["8.8.4.4"] });
    const cases: [address: string, may: boolean][] = [
      ["8.8.8.8", true],
      ["8.8.4.4", false],
      ["2606:4700::1111", true],
      ["127.0.0.1", false],
      ["0.0.0.0", false],
      ["10.1.2.3", false],
      ["172.31.255.255", false],
      ["192.168.0.1", false],
      ["100.64.0.1", false],
      ["169.254.169.254", false],
      ["192.0.0.8", false],
      ["192.0.2.1", false],
      ["198.18.0.1", false],
      ["224.0.0.1", false],
      ["255.255.255.255", false],
      ["::", false],
      ["::1", false],
      ["::ffff:127.0.0.1", false],
      ["::ffff:8.8.8.8", true],
      ["::127.0.0.1", false],
      ["64:ff9b::7f00:1", false],
      ["2002:7f00:1::", false],
      ["2001::1", false],
      ["fe80::1", false],
      ["fec0::1", false],
      ["fd00::1", false],
      ["ff02::1", false],
      ["2001:db8::1", false],
      ["not an address", false],
    ];
    for (const [address, may] of cases) {
      it(`${address}: ${may ? "may" : "may not"} be asked`, () => expect(mayAsk(address)).to.equal(may));
    }

    it("lets settings allow private ranges, and deny parts of them", () => {
      const policy = addressPolicy({ allowed_addresses: ["10.0.0.0/8", "fd00::/8"], denied_addresses: ["10.1.0.0/16"] });
      const addresses = ["10.0.0.1", "10.1.0.1", "::ffff:10.0.0.1", "::ffff:10.1.0.1", "fd00::1", "192.168.0.1"];
      expect(addresses.map(policy)).to.deep.equal([true, false, true, false, true, false]);
    });

    it("asks nobody on this machine, however the address is written", async () => {
      await using outgoing = open({});
      const before = web.requests.length;
      const hosts = ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "localhost", "[::1]", "[::ffff:127.0.0.1]"];
      for (const host of hosts) expect(await failure(get(outgoing, `http://${host}:${web.port}/`)), host).to.equal("denied");
      expect(web.requests.length).to.equal(before);
    });
  });

  it("gives the answer", async () => {
    await using outgoing = open();
    expect(await get(outgoing, `${web.url}/`)).to.equal("200 / hello");
    expect(await get(outgoing, `http://localhost:${web.port}/`)).to.equal("200 / hello");
    expect(await get(outgoing, `${web.url}/echo`, { method: "POST", body: "ping" })).to.equal("200 /echo ping");
    expect(await get(outgoing, `${web.url}/none`)).to.equal("404 /none ");
  });

  it("follows redirects as far as it is told to, and judges each", async () => {
    await using outgoing = open({ allowed_addresses: ["127.0.0.1"] });
    expect(await get(outgoing, `${web.url}/moved`)).to.equal("302 /moved gone");
    expect(await get(outgoing, `${web.url}/moved`, { redirects: 1 })).to.equal("200 / hello");
    expect(await failure(get(outgoing, `${web.url}/moved`, { redirects: 0 }))).to.equal("too_many_redirects");
    expect(await failure(get(outgoing, `${web.url}/loop`, { redirects: 3 }))).to.equal("too_many_redirects");
    expect(await failure(get(outgoing, `${web.url}/to-private`, { redirects: 3 }))).to.equal("denied");
    expect(await failure(get(outgoing, `${web.url}/to-file`, { redirects: 3 }))).to.equal("denied");
    expect(await failure(get(outgoing, `${web.url}/to-nowhere`, { redirects: 3 }))).to.equal("failed");
    const permits = (url: URL): boolean => url.pathname !== "/";
    expect(await failure(get(outgoing, `${web.url}/moved`, { redirects: 1, permits }))).to.equal("denied");
  });

  it("sends no passwords of addresses", async () => {
    await using outgoing = open();
    expect(await failure(get(outgoing, `http://user:secret@127.0.0.1:${web.port}/`))).to.equal("denied");
  });

  it("bounds the bytes of an answer", async () => {
    await using outgoing = open();
    expect(await failure(get(outgoing, `${web.url}/long`))).to.equal("too_large");
    expect(await failure(get(outgoing, `${web.url}/endless`))).to.equal("too_large");
  });

  it("bounds the time of an answer, as a whole and between its bytes", async () => {
    await using outgoing = open({ allowed_addresses: ["127.0.0.1"], idle_seconds: 1 });
    expect(await failure(get(outgoing, `${web.url}/drip`, { milliseconds: 300 }))).to.equal("too_slow");
    expect(await failure(get(outgoing, `${web.url}/silent`))).to.equal("too_slow");
  });

  it("ends when its caller does", async () => {
    await using outgoing = open();
    const caller = new AbortController();
    const work = failure(get(outgoing, `${web.url}/drip`, { signal: caller.signal }));
    setTimeout(() => caller.abort(), 50);
    expect(await work).to.equal("failed");
  });

  it("trusts the certificates of the settings besides the usual ones, and no others", async () => {
    const server = createServer({ key: LOCAL_KEY, cert: LOCAL_CERTIFICATE }, (_request, response) => response.end("safe"));
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    try {
      const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
      await using trusting = open({ allowed_addresses: ["127.0.0.1"], ca: LOCAL_CERTIFICATE });
      expect(await get(trusting, url)).to.equal("200 / safe");
      await using usual = open();
      expect(await failure(get(usual, url))).to.equal("failed");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it("frees the connection of an answer that nobody reads", async () => {
    await using outgoing = open();
    const before = await web.connections();
    for (let round = 0; round < 8; round += 1) {
      const { body } = await outgoing.request(new URL(`${web.url}/endless`), { maxBytes: 1000, milliseconds: 10_000 });
      body.destroy();
    }
    await eventually("their connections are closed", async () => (await web.connections()) <= before);
  });

  it("says that nobody answers", async () => {
    await using outgoing = open();
    expect(await failure(get(outgoing, "http://127.0.0.1:1/"))).to.equal("failed");
    expect(await failure(get(outgoing, "http://nowhere.invalid/"))).to.equal("failed");
  });
});
