// Connections that want to hold, confuse or fill the server, as bytes on the wire: slow and silent ones, requests within requests,
// pipelines, bodies that grow when they are unpacked.
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { startTestServer, type TestServer } from "../support/server.js";

const HELD = 60;
/** What a request hides behind itself: answered, it would have been taken for one of its own. */
const HIDDEN = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
const LOGIN = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\n";

describe("hostile connections", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  /** A connection that does not close its end because the other side does. */
  async function open(): Promise<Socket> {
    const socket = connect({ port: Number(new URL(server.url).port), host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("connect", resolve));
    return socket;
  }

  /** Sends bytes; what came back until the other side closed, or nothing came for a while. */
  async function exchange(text: string | Buffer, quietMs = 700): Promise<string> {
    const socket = await open();
    let received = "";
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    let last = performance.now();
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      received += chunk;
      last = performance.now();
    });
    socket.write(text);
    const quiet = async (): Promise<void> => {
      while (received === "" || performance.now() - last < quietMs) await sleep(50);
    };
    socket.once("end", () => socket.end());
    await Promise.race([closed, quiet(), sleep(60_000)]);
    socket.destroy();
    return received;
  }

  const statuses = (received: string): string[] => [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status = ""]) => status);

  it("that are slow or silent are closed, and keep nobody else waiting", async () => {
    let closed = 0;
    const sockets = await Promise.all(Array.from({ length: HELD }, open));
    for (const [index, socket] of sockets.entries()) {
      socket.once("close", () => (closed += 1)).resume();
      if (index % 2 === 0) socket.write("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    }
    // Who was told that it is over goes on, too: only then it shows whether anybody is there.
    const drip = (socket: Socket, index: number): boolean => (index % 2 === 0 || socket.readableEnded) && socket.writable && socket.write("x");
    const dripping = setInterval(() => sockets.forEach(drip), 500);
    try {
      for (let asked = 0; asked < 20; asked += 1) expect((await fetch(`${server.url}/_matrix/client/versions`)).status).to.equal(200);
      expect(closed, "others were answered meanwhile").to.be.lessThan(HELD);
      await eventually("all of them are closed", () => closed === HELD, 120_000);
    } finally {
      clearInterval(dripping);
      for (const socket of sockets) socket.destroy();
    }
    expect((await fetch(`${server.url}/_matrix/client/versions`)).status).to.equal(200);
  });

  const smuggling: [name: string, request: string][] = [
    ["both a length and chunks", `${LOGIN}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["two lengths", `${LOGIN}Content-Length: 2\r\nContent-Length: 50\r\n\r\n{}${HIDDEN}`],
    ["a list of lengths", `${LOGIN}Content-Length: 2, 50\r\n\r\n{}${HIDDEN}`],
    ["a length with a sign", `${LOGIN}Content-Length: +2\r\n\r\n{}${HIDDEN}`],
    ["a hexadecimal length", `${LOGIN}Content-Length: 0x2\r\n\r\n{}${HIDDEN}`],
    ["a length below zero", `${LOGIN}Content-Length: -2\r\n\r\n{}${HIDDEN}`],
    ["chunks that are not last", `${LOGIN}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["an encoding that nobody knows", `${LOGIN}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["a space before the colon", `${LOGIN}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["a chunk's size that is none", `${LOGIN}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n${HIDDEN}`],
    ["a chunk that is longer than it says", `${LOGIN}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n${HIDDEN}`],
    ["a header across lines", `${LOGIN}X: a\r\n b: c\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
    ["lines that end without CR", `POST /_matrix/client/v3/login HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}${HIDDEN}`],
    ["U+0000 in a header", `${LOGIN}X: a\0b\r\nContent-Length: 2\r\n\r\n{}${HIDDEN}`],
    ["no host", `POST /_matrix/client/v3/login HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}${HIDDEN}`],
    ["two hosts", `GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nHOST: y\r\n\r\n${HIDDEN}`],
    ["another protocol", `POST /_matrix/client/v3/login HTTP/9.9\r\nHost: x\r\n\r\n${HIDDEN}`],
  ];
  for (const [name, request] of smuggling) {
    it(`with ${name} are refused as a whole`, async () => {
      const received = await exchange(request);
      const [status = "", ...more] = statuses(received);
      expect([Number(status) >= 400 && Number(status) < 500, more], received).to.deep.equal([true, []]);
    });
  }

  it("get the answers to a pipeline in its order, one for each", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `nobody${index}`);
    const requests = names.map((name) => `GET /_matrix/client/v3/profile/@${name}%3Alocalhost HTTP/1.1\r\nHost: x\r\n\r\n`);
    const odd = requests.map((request, index) => (index % 3 === 0 ? `GET /health?${index} HTTP/1.1\r\nHost: x\r\n\r\n` : request));
    const received = statuses(await exchange(odd.join(""), 10_000));
    expect(received).to.have.length(odd.length);
    expect(received.flatMap((status, index) => (status === "200" ? [index] : []))).to.deep.equal(names.flatMap((_, index) => (index % 3 === 0 ? [index] : [])));
  });

  it("with a packed body are not unpacked", async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, " "));
    const head = `${LOGIN}Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\nConnection: close\r\n\r\n`;
    const received = await exchange(Buffer.concat([Buffer.from(head), bomb]));
    expect(received).to.match(/^HTTP\/1\.1 4\d\d [^]*"errcode":"M_NOT_JSON"/);
  });

  it("with thousands of headers or parameters are refused or answered, at once", async () => {
    const many = Array.from({ length: 3_000 }, (_, index) => `a${index}=`).join("&");
    expect(statuses(await exchange(`GET /_matrix/client/v3/sync?${many.slice(0, 14_000)} HTTP/1.1\r\nHost: x\r\n\r\n`))).to.deep.equal(["401"]);
    const headers = Array.from({ length: 3_000 }, (_, index) => `a${index}: b\r\n`).join("");
    expect(statuses(await exchange(`GET /health HTTP/1.1\r\nHost: x\r\n${headers}\r\n`))).to.deep.equal(["431"]);
  });
});
