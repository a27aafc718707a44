// The generator's HTTP client: answers in pieces, both ways of saying where a body ends, and connections that end.
import { expect } from "chai";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { Connection, type RawAnswer } from "./connection.js";

describe("bench connection", () => {
  let server: Server;
  let answers: string[][];
  let hangUp: boolean;

  /** Answers each request with the next of `answers`, one piece per packet. */
  beforeEach(async () => {
    hangUp = false;
    server = createServer((socket) => {
      socket.setNoDelay(true);
      socket.on("data", () => {
        const pieces = answers.shift() ?? [];
        const next = (): void => {
          const piece = pieces.shift();
          if (piece !== undefined) socket.write(piece, () => setTimeout(next, 5));
          else if (hangUp) socket.destroy();
        };
        next();
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
  });

  afterEach(async () => {
    server.close();
    await once(server, "close");
  });

  async function ask(times: number, timeoutMs = 1_000): Promise<RawAnswer[]> {
    const connection = new Connection("127.0.0.1", (server.address() as AddressInfo).port);
    try {
      const got: RawAnswer[] = [];
      for (let time = 0; time < times; time++) got.push(await connection.send("GET / HTTP/1.1\r\n\r\n", "", timeoutMs));
      return got;
    } finally {
      connection.close();
    }
  }

  it("takes answers apart however they are cut", async () => {
    answers = [
      ["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 4\r\n\r", "\n{\"", "é"],
      ["HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a", "\r\n2;x=y\r\n\":", "\r\n2\r\n1}\r\n0\r\n", "\r\n"],
      ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ];
    expect(await ask(3)).to.deep.equal([
      { status: 200, body: '{"é' },
      { status: 404, body: '{"a":1}' },
      { status: 200, body: "" },
    ]);
  });

  it("an answer that stops half way is a failure", async () => {
    hangUp = true;
    answers = [["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"]];
    const outcome = await ask(1).catch((error: unknown) => error);
    expect(outcome).to.be.an("error").with.property("message", "the server closed the connection");
  });

  it("an answer that does not come is a failure", async () => {
    answers = [["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"]];
    const outcome = await ask(1, 100).catch((error: unknown) => error);
    expect(outcome).to.be.an("error").with.property("message", "no answer in 100 ms");
  });
});
