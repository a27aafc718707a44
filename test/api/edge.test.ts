// What every operation has in common, seen over the wire: limits, methods, CORS, hostile requests, health.
import { request } from "node:http";
import { connect } from "node:net";
import { expect } from "chai";
import { Type } from "typebox";
import { operation } from "../../spec/operation.js";
import { createApp } from "../../src/api/dispatch.js";
import { answerProbe, listen, publicLimits, type Listener } from "../../src/api/listener.js";
import { RateLimiter } from "../../src/api/rate-limit.js";
import { systemClock } from "../../src/clock.js";
import { checkConfig, localServers } from "../../src/config.js";
import { unknownToken } from "../../src/errors.js";
import { eventually } from "../support/eventually.js";
import { UserId } from "../../spec/types/identifiers.js";

const echo = operation({
  operationId: "echo",
  method: "POST",
  paths: ["/_matrix/client/v3/echo/{userId}"],
  auth: "none",
  limit: "lookup",
  summary: "Gives its body back.",
  params: Type.Object({ userId: UserId }),
  query: Type.Object({ times: Type.Integer({ minimum: 1, default: 1 }) }),
  body: Type.Object({ text: Type.Optional(Type.String({ maxBytes: 4 })) }),
  response: Type.Object({ body: Type.Unknown(), address: Type.String(), times: Type.Integer() }),
});
const wait = operation({
  operationId: "wait",
  method: "GET",
  paths: ["/_matrix/client/v3/wait"],
  auth: "none",
  summary: "Waits until the server stops.",
  response: Type.Object({ ended: Type.Boolean() }),
});

interface Edge extends Listener {
  readonly stopping: AbortController;
  /** Aborted when somebody waits. */
  readonly begun: AbortSignal;
}

async function startEdge(settings: Record<string, unknown> = {}): Promise<Edge> {
  const config = checkConfig({ log: { level: "silent", requests: false }, ...settings });
  const stopping = new AbortController();
  const begun = new AbortController();
  const app = createApp(
    {
      config,
      servers: localServers(config),
      limiter: new RateLimiter(config.rate_limits, systemClock),
      authenticate: () => Promise.reject(unknownToken("not known")),
      isAppService: () => false,
      wholeBody: (_operation, _asker, body) => Promise.resolve(body),
      authenticateServer: () => Promise.reject(unknownToken("not known")),
      seen: () => undefined,
      validateAnswers: true,
      stopping: stopping.signal,
    },
    [
      {
        operation: echo,
        answer: async ({ body, address, query }) => ({ body, address, times: (query as { times: number }).times }),
      },
      {
        operation: wait,
        answer: ({ signal }) => {
          begun.abort();
          return new Promise((resolve) => signal.addEventListener("abort", () => resolve({ ended: true })));
        },
      },
    ],
  );
  const answer = app.callback();
  const listener = await listen({ address: "127.0.0.1", port: 0, setting: "listen" }, publicLimits(config), (req, res) => {
    const probes = { trouble: () => Promise.resolve(stopping.signal.aborted ? "stopping" : undefined), metrics: true };
    if (!answerProbe(probes, req, res)) void answer(req, res);
  });
  return { ...listener, url: listener.url, stopping, begun: begun.signal };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

async function post(edge: Edge, body: string | Buffer, path = "/_matrix/client/v3/echo/@a:b", headers = {}): Promise<Answer> {
  const response = await fetch(`${edge.url}${path}`, { method: "POST", body, headers });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, unknown> };
}

/** Sends bytes as they are and gives everything that comes back until the connection ends. */
function raw(edge: Edge, text: string, milliseconds = 30_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(edge.url).port), "127.0.0.1");
    let received = "";
    socket.setTimeout(milliseconds, () => socket.end());
    socket.on("data", (chunk: Buffer) => (received += chunk.toString()));
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
    socket.write(text);
  });
}

describe("the edge", () => {
  let edge: Edge;
  before(async () => {
    edge = await startEdge({ limits: { body_bytes: 2048, json_depth: 10 }, rate_limits: { enabled: false } });
  });
  after(() => edge[Symbol.asyncDispose]());

  describe("bodies", () => {
    const nested = (depth: number): string => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    const cases: [name: string, body: string | Buffer, status: number, errcode?: string][] = [
      ["an object", "{}", 200],
      ["nothing at all", "", 200],
      ["no JSON", "{", 400, "M_NOT_JSON"],
      ["bytes after the value", "{}x", 400, "M_NOT_JSON"],
      ["a byte order mark", "\ufeff{}", 400, "M_NOT_JSON"],
      ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400, "M_NOT_JSON"],
      ["the same key twice", '{"a":1,"a":2}', 400, "M_NOT_JSON"],
      ["NaN", '{"a":NaN}', 400, "M_NOT_JSON"],
      ["an array", "[]", 400, "M_BAD_JSON"],
      ["the wrong type", '{"text":1}', 400, "M_BAD_JSON"],
      ["a text of too many bytes", '{"text":"ööö"}', 400, "M_BAD_JSON"],
      ["nesting at the limit", nested(9), 200],
      ["nesting beyond the limit", nested(10), 400, "M_BAD_JSON"],
      ["U+0000", '{"a":"\\u0000"}', 200],
      ["hostile keys", '{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}}}', 200],
      ["too many bytes", `{"a":"${"x".repeat(3000)}"}`, 413, "M_TOO_LARGE"],
    ];
    for (const [name, body, status, errcode] of cases) {
      it(`${name}: ${status}${errcode === undefined ? "" : ` ${errcode}`}`, async () => {
        const answer = await post(edge, body);
        expect([answer.status, answer.body["errcode"]]).to.deep.equal([status, errcode]);
        expect(Object.hasOwn(Object.prototype, "x")).to.equal(false);
      });
    }

    it("hostile keys stay data", async () => {
      const text = '{"__proto__":{"x":1}}';
      const response = await fetch(`${edge.url}/_matrix/client/v3/echo/@a:b`, { method: "POST", body: text });
      expect(await response.text()).to.contain(`"body":${text}`);
    });

    it("refuses a body that grows too large while it comes, and answers before it ends", async () => {
      const status = await new Promise((resolve, reject) => {
        const outgoing = request(`${edge.url}/_matrix/client/v3/echo/@a:b`, { method: "POST" }, (response) => {
          resolve(response.statusCode);
          outgoing.destroy();
        });
        outgoing.on("error", reject);
        outgoing.write(`{"a":"${"x".repeat(4096)}`);
      });
      expect(status).to.equal(413);
    });

    it("keeps the connection after a refused body that has come whole", async () => {
      const large = "x".repeat(5000);
      const head = `POST /_matrix/client/v3/echo/@a:b HTTP/1.1\r\nHost: x\r\nContent-Length: ${large.length}\r\n\r\n`;
      const received = await raw(edge, `${head}${large}GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(received).to.contain("413 Payload Too Large").and.to.contain("200 OK");
    });

    it("cuts off a body that does not come after its answer", async () => {
      const received = await raw(edge, "POST /_matrix/client/v3/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 30_000);
      expect(received).to.contain("404 Not Found");
    }).timeout(600_000);

    it("refuses a body that comes too slowly", async () => {
      await using slow = await startEdge({ limits: { body_seconds: 1 }, rate_limits: { enabled: false } });
      const received = await raw(slow, "POST /_matrix/client/v3/echo/@a:b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
      expect(received).to.contain("408 Request Timeout");
    });
  });

  it("checks path and query", async () => {
    const user = await post(edge, "{}", "/_matrix/client/v3/echo/nobody");
    expect([user.status, user.body["errcode"]]).to.deep.equal([400, "M_INVALID_PARAM"]);
    const query = await post(edge, "{}", "/_matrix/client/v3/echo/@a:b?times=0");
    expect([query.status, query.body["errcode"]]).to.deep.equal([400, "M_INVALID_PARAM"]);
    const broken = await post(edge, "{}", "/_matrix/client/v3/echo/%ff");
    expect([broken.status, broken.body["errcode"]]).to.deep.equal([400, "M_INVALID_PARAM"]);
    const twice = await post(edge, "{}", "/_matrix/client/v3/echo/@a:b?times=3");
    expect(twice.body["times"]).to.equal(3);
  });

  it("tells unknown paths from wrong methods, and lets every page read the answer", async () => {
    const unknown = await post(edge, "{}", "/_matrix/client/v3/nothing");
    expect([unknown.status, unknown.body["errcode"]]).to.deep.equal([404, "M_UNRECOGNIZED"]);
    expect(unknown.headers.get("access-control-allow-origin")).to.equal("*");
    const slash = await post(edge, "{}", "/_matrix/client/v3/echo/@a:b/");
    expect(slash.status).to.equal(404);
    const upper = await post(edge, "{}", "/_matrix/client/v3/ECHO/@a:b");
    expect(upper.status).to.equal(404);
    const wrong = await fetch(`${edge.url}/_matrix/client/v3/echo/@a:b`);
    expect([wrong.status, ((await wrong.json()) as Record<string, unknown>)["errcode"]]).to.deep.equal([405, "M_UNRECOGNIZED"]);
  });

  it("answers preflight requests of browsers without authentication", async () => {
    const response = await fetch(`${edge.url}/_matrix/client/v3/echo/@a:b`, { method: "OPTIONS" });
    expect(response.status).to.equal(200);
    expect(response.headers.get("access-control-allow-methods")).to.equal("GET, POST, PUT, DELETE, OPTIONS");
    expect(response.headers.get("access-control-allow-headers")).to.contain("Authorization");
  });

  it("limits calls and says how long to wait", async () => {
    await using limited = await startEdge({ rate_limits: { lookup: { per_second: 0.001, burst: 2 } } });
    expect((await post(limited, "{}")).status).to.equal(200);
    expect((await post(limited, "{}")).status).to.equal(200);
    const third = await post(limited, "{}");
    expect([third.status, third.body["errcode"]]).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
    const wait = Number(third.body["retry_after_ms"]);
    expect(wait).to.be.within(900_000, 1_000_000);
    expect(third.headers.get("retry-after")).to.equal(String(Math.ceil(wait / 1000)));
  });

  it("believes X-Forwarded-For only of trusted proxies, and only their own hop", async () => {
    const forged = await post(edge, "{}", undefined, { "x-forwarded-for": "9.9.9.9" });
    expect(forged.body["address"]).to.equal("127.0.0.1");
    await using behind = await startEdge({ listen: { trusted_proxies: ["127.0.0.0/8", "10.0.0.1"] } });
    const hop = await post(behind, "{}", undefined, { "x-forwarded-for": "9.9.9.9, 8.8.8.8, 10.0.0.1" });
    expect(hop.body["address"]).to.equal("8.8.8.8");
    for (const [written, address] of [["8.8.8.8:1234", "8.8.8.8"], ["[2001:db8::1]:1234", "2001:db8::1"], ["[2001:db8::1]", "2001:db8::1"], ["2001:db8::1", "2001:db8::1"], ["8.8:1", "127.0.0.1"]] as const) {
      expect((await post(behind, "{}", undefined, { "x-forwarded-for": `9.9.9.9, ${written}` })).body["address"], written).to.equal(address);
    }
    const garbage = await post(behind, "{}", undefined, { "x-forwarded-for": "9.9.9.9, x" });
    expect(garbage.body["address"]).to.equal("127.0.0.1");
  });

  it("refuses what is not sound HTTP", async () => {
    expect(await raw(edge, "nonsense\r\n\r\n")).to.contain("400 Bad Request");
    expect(await raw(edge, `GET /health HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`)).to.contain(" 431 ");
    const smuggled =
      "POST /_matrix/client/v3/echo/@a:b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    expect(await raw(edge, smuggled)).to.contain("400 Bad Request");
  });

  it("refuses targets that are no path, and goes on", async () => {
    const ask = (target: string, method = "GET"): Promise<string> => raw(edge, `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    for (const target of ["http://[::1", "//a@[::1#x", "/health#x", "*", "http://a:99999999/health"]) {
      expect(await ask(target), target).to.match(/^HTTP\/1\.1 400 [^]*M_UNRECOGNIZED/);
    }
    expect(await ask("http://elsewhere.example/health")).to.contain("200 OK");
    expect(await ask("*", "OPTIONS")).to.contain("200 OK");
    expect(await ask("//a@[::1")).to.contain("404 Not Found");
  });

  it("bounds the connections of one address", async () => {
    await using few = await startEdge({ limits: { connections_per_address: 1 } });
    const first = connect(Number(new URL(few.url).port), "127.0.0.1");
    await new Promise((resolve) => first.once("connect", resolve));
    expect(await raw(few, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").catch(() => "")).to.equal("");
    first.destroy();
    const ask = (): Promise<string> => raw(few, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").catch(() => "");
    await eventually("there is room again", async () => (await ask()).includes("200 OK"));
  });

  it("tells load balancers and Prometheus how it is", async () => {
    expect((await fetch(`${edge.url}/health`)).status).to.equal(200);
    expect((await fetch(`${edge.url}/ready`)).status).to.equal(200);
    const metrics = await (await fetch(`${edge.url}/metrics`)).text();
    expect(metrics).to.contain("hansa_request_seconds").and.to.contain("process_resident_memory_bytes");
  });

  it("ends waiting requests when it stops", async () => {
    const stopped = await startEdge();
    const waiting = fetch(`${stopped.url}/_matrix/client/v3/wait`);
    await eventually("the request waits", () => stopped.begun.aborted);
    stopped.stopping.abort();
    await stopped[Symbol.asyncDispose]();
    expect(await (await waiting).json()).to.deep.equal({ ended: true });
  });
});
