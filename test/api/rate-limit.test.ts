// Rate limits: the buckets of one process, those that processes share over Redis, and what callers see of them.
import { spawnSync } from "node:child_process";
import { expect } from "chai";
import { RateLimiter, type Counted } from "../../src/api/rate-limit.js";
import { systemClock, type Clock } from "../../src/clock.js";
import { checkConfig } from "../../src/config.js";
import { MatrixError } from "../../src/errors.js";
import { setLogLevel } from "../../src/log.js";
import { SharedBuckets } from "../../src/storage/shared-buckets.js";
import { ConfigSchema, type RateLimit } from "../../spec/config.js";
import type { Operation } from "../../spec/operation.js";
import { operations } from "../../spec/operations.js";
import { eventually } from "../support/eventually.js";
import { stringAt } from "../support/json-path.js";
import { RedisServer } from "../support/redis-server.js";
import { SocketClient } from "../support/socket-client.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";
import { facts } from "../support/specified-answers.js";

const V3 = "/_matrix/client/v3";
const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

/** Milliseconds to wait; 0 if the call went through. */
async function wait(limits: RateLimiter, caller: string | Counted, limit: RateLimit = "login"): Promise<number> {
  try {
    await limits.take(limit, caller);
    return 0;
  } catch (error) {
    return error instanceof MatrixError ? Number(error.extra["retry_after_ms"]) : NaN;
  }
}

async function waits(count: number, limits: RateLimiter, caller: string | Counted, limit?: RateLimit): Promise<number[]> {
  const all = [];
  for (let call = 0; call < count; call++) all.push(await wait(limits, caller, limit));
  return all;
}

describe("RateLimiter", () => {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now };
  const limiter = (settings: Record<string, unknown>): RateLimiter =>
    new RateLimiter(checkConfig({ rate_limits: settings }).rate_limits, clock);

  it("lets a burst through, then one call per interval, for each caller alone", async () => {
    now = 1_000_000;
    const limits = limiter({ login: { per_second: 2, burst: 3 } });
    expect(await waits(4, limits, "a")).to.deep.equal([0, 0, 0, 500]);
    expect(await wait(limits, "b")).to.equal(0);
    now += 499;
    expect(await wait(limits, "a")).to.equal(1);
    now += 1;
    expect(await waits(2, limits, "a")).to.deep.equal([0, 500]);
    now += 60_000;
    expect(await waits(4, limits, "a")).to.deep.equal([0, 0, 0, 500]);
  });

  it("counts nothing when it is off", async () => {
    const limits = limiter({ enabled: false, login: { per_second: 1, burst: 1 } });
    expect(await waits(3, limits, "a")).to.deep.equal([0, 0, 0]);
  });

  it("counts by user, device and address, and what one refuses in none", async () => {
    const limits = limiter({
      message: { per_second: 1, burst: 4, per_device: { per_second: 1, burst: 2 }, per_address: { per_second: 1, burst: 5 } },
    });
    const phone = { user: "@a:h", device: "PHONE", network: "192.0.2.1" };
    const laptop = { ...phone, device: "LAPTOP" };
    expect(await waits(3, limits, phone, "message")).to.deep.equal([0, 0, 1000]);
    expect(await waits(3, limits, laptop, "message")).to.deep.equal([0, 0, 1000]);
    expect(await wait(limits, { ...phone, device: "TABLET" }, "message"), "the user").to.equal(1000);
    expect(await waits(2, limits, { user: "@b:h", device: "B", network: "192.0.2.1" }, "message"), "the address").to.deep.equal([0, 1000]);
    expect(await wait(limits, { user: "@b:h", device: "B", network: "192.0.2.2" }, "message")).to.equal(0);
    expect(await waits(9, limits, { ...phone, own: { per_second: 0, burst: 1 } }, "message"), "a user without limit").to.deep.equal(Array(9).fill(0));
  });
});

(hasRedis ? describe : describe.skip)("RateLimiter with Redis (redis-server is needed)", () => {
  const config = checkConfig({ rate_limits: { login: { per_second: 0.01, burst: 4 }, message: { per_second: 0.01, burst: 4 } } });
  before(() => setLogLevel("silent"));

  async function pair(redis: RedisServer): Promise<{ limits: RateLimiter[]; close: () => void }> {
    const shared = [new SharedBuckets(redis.url), new SharedBuckets(redis.url)];
    for (const [index, buckets] of shared.entries()) {
      await eventually("Redis answers", () => buckets.use("take", [{ key: `ready ${index}`, interval: 1, burst: 9 }]));
    }
    return {
      limits: shared.map((buckets) => new RateLimiter(config.rate_limits, systemClock, buckets)),
      close: () => shared.forEach((buckets) => buckets[Symbol.dispose]()),
    };
  }
  const passed = (all: readonly number[]): number => all.filter((ms) => ms === 0).length;

  it("counts together what several processes are asked", async () => {
    await using redis = await RedisServer.start();
    const { limits, close } = await pair(redis);
    const [first, second] = limits;
    if (first === undefined || second === undefined) throw new Error("two");
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => wait(index % 2 === 0 ? first : second, "a")));
    expect(passed(all)).to.equal(4);
    expect(Math.max(...all)).to.be.within(99_000, 400_000);
    for (let count = 0; count < 10; count++) await first.take("login_failure", "@a:h");
    expect(await second.take("login_failure", "@a:h").catch((error: unknown) => error)).to.be.instanceOf(MatrixError);
    await first.giveBack("login_failure", "@a:h");
    await first.take("login_failure", "@a:h");
    expect(await first.take("login_failure", "@a:h").catch((error: unknown) => error)).to.be.instanceOf(MatrixError);
    close();
  });

  it("learns of messages afterwards", async () => {
    await using redis = await RedisServer.start();
    const { limits, close } = await pair(redis);
    const [first, second] = limits;
    if (first === undefined || second === undefined) throw new Error("two");
    expect(passed(await waits(4, first, "a", "message"))).to.equal(4);
    // It asks Redis with the first, and knows with the answer.
    let more = 0;
    await eventually("the second process has learned", async () => (await wait(second, "a", "message")) > 0 || ++more > 4);
    expect(more).to.be.lessThan(4);
    close();
  });

  it("counts alone while Redis is away or hangs, and keeps nobody waiting", async () => {
    await using redis = await RedisServer.start();
    const { limits, close } = await pair(redis);
    const [first, second] = limits;
    if (first === undefined || second === undefined) throw new Error("two");
    redis.hang();
    const started = performance.now();
    expect(passed(await waits(6, first, "hanging"))).to.equal(4);
    expect(performance.now() - started).to.be.lessThan(20_000);
    await redis.kill();
    expect(passed(await waits(6, first, "gone"))).to.equal(4);
    expect(passed(await waits(6, second, "gone")), "each for itself").to.equal(4);
    close();
  });
});

describe("limits of a server", () => {
  let server: TestServer;
  let alice: TestClient;
  let room = "";
  before(async () => {
    server = await startTestServer({
      rate_limits: { message: { per_second: 0.01, burst: 3, per_device: { per_second: 0.01, burst: 2 } } },
      limits: { syncs_per_device: 2, syncs_per_user: 3 },
    });
    alice = await server.register("alice");
    room = stringAt((await alice.post(`${V3}/createRoom`)).body, "room_id") ?? "";
  });
  after(() => server[Symbol.asyncDispose]());

  it("answer 429 with the time to wait, over HTTP and sockets alike", async () => {
    const send = (client: TestClient, txn: string): ReturnType<TestClient["put"]> =>
      client.put(`${V3}/rooms/${room}/send/m.room.message/${txn}`, { msgtype: "m.text", body: txn });
    expect([(await send(alice, "1")).status, (await send(alice, "2")).status]).to.deep.equal([200, 200]);
    const refused = await send(alice, "3");
    expect([refused.status, refused.body["errcode"]]).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
    expect(refused.body["retry_after_ms"]).to.be.within(90_000, 100_000);
    expect(Number(refused.headers.get("retry-after"))).to.be.within(90, 100);
    const laptop = await server.login("alice");
    const socket = await new SocketClient(server.url, laptop).ready();
    const params = { roomId: room, eventType: "m.room.message" };
    expect((await socket.request("sendMessage", { ...params, txnId: "4" }, { body: "4" })).status).to.equal(200);
    const over = await socket.request("sendMessage", { ...params, txnId: "5" }, { body: "5" });
    expect([over.status, over.body["errcode"]]).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
    expect(over.body["retry_after_ms"]).to.be.within(90_000, 200_000);
    socket.kill();
  });

  it("bound the open syncs of a device and of a user", async () => {
    const bob = await server.register("bob");
    const tablet = await server.login("bob");
    const since = stringAt((await bob.get(`${V3}/sync`)).body, "next_batch") ?? "";
    let refused = 0;
    const all = [bob, bob, bob, tablet, tablet].map(async (client) => {
      const answer = await client.get(`${V3}/sync?timeout=60000&since=${since}`);
      refused += answer.status === 429 ? 1 : 0;
      return answer;
    });
    await eventually("two are too many", () => refused === 2);
    await bob.put(`${V3}/user/${bob.user_id}/account_data/org.example.wakes`, {});
    expect((await Promise.all(all)).map(({ status }) => status).sort((a, b) => a - b)).to.deep.equal([200, 200, 200, 429, 429]);
    expect((await bob.get(`${V3}/sync`)).status).to.equal(200);
  });
});

describe("every operation with a limit", () => {
  const limited = operations.filter(({ limit, auth, operationId }) => limit !== undefined && auth !== "server" && operationId !== "websocketSync");
  let open: TestServer;
  let server: TestServer;
  let alice: TestClient;
  let root: TestClient;
  before(async () => {
    open = await startTestServer();
    [alice, root] = [await open.register("alice"), await open.register("root")];
    await open.database.write({ name: "test_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE nid = user_nid AND user_id = $1" }, [root.user_id]);
    const classes = Object.keys(ConfigSchema.properties.rate_limits.properties).filter((name) => name !== "enabled");
    const rate_limits = Object.fromEntries(classes.map((name) => [name, { per_second: 0.001, burst: 1 }]));
    server = await startTestServer({ rate_limits }, open.address);
    [alice, root] = [server.client(alice), server.client(root)];
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await open[Symbol.asyncDispose]();
  });

  const clientFor = ({ auth }: Operation): TestClient => (auth === "none" ? server.anonymous : auth === "admin" ? root : alice);
  // What is counted is so before anybody looks at what was sent.
  const call = (operation: Operation): Promise<Answer> =>
    clientFor(operation).request(operation.method, operation.paths[0].replace(/\{\w+\}/g, "none"), operation.method === "GET" ? undefined : {});

  for (const limit of new Set(limited.map((operation) => operation.limit))) {
    it(`says M_LIMIT_EXCEEDED when the bucket is empty: ${limit}`, async () => {
      const counted = limited.filter((operation) => operation.limit === limit);
      const buckets = new Map(counted.map((operation) => [clientFor(operation), operation]));
      for (const operation of buckets.values()) {
        const { status } = await call(operation).catch(() => ({ status: 0 }));
        expect(status, `${operation.operationId} emptied it`).to.not.equal(429);
      }
      for (const operation of counted) {
        const { status, body, headers } = await call(operation);
        expect([operation.operationId, status, body["errcode"]]).to.deep.equal([operation.operationId, 429, "M_LIMIT_EXCEEDED"]);
        expect(body["retry_after_ms"], operation.operationId).to.be.greaterThan(0);
        expect(Number(headers.get("retry-after")), operation.operationId).to.be.greaterThan(0);
      }
    });
  }

  it("is every one of which the specification says so", () => {
    const asked = new Set(facts("specified-answers.tsv").flatMap(([api, operation, status]) => (status === "429" && api === "client-server" ? [operation] : [])));
    const routes = facts("operations.tsv").filter(([api, , , operation]) => api === "client-server" && asked.has(operation));
    const names = (path = ""): string => path.replace(/\{\w+\}/g, "{}");
    const counted = new Set(limited.flatMap(({ method, paths }) => paths.map((path) => `${method} ${names(path)}`)));
    expect(routes.filter(([, method, path]) => !counted.has(`${method} ${names(path)}`))).to.deep.equal([]);
  });
});
