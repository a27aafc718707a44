// Server names to addresses: each step of the specification, and what is remembered.
import { expect } from "chai";
import type { Clock } from "../../src/clock.js";
import { Discovery, type Lookups, maxAgeOf } from "../../src/federation/discovery.js";
import { parseServerName } from "../../src/protocol/identifiers.js";

interface Network {
  wellKnown: Record<string, { server: string; maxAge?: number }>;
  srv: Record<string, { name: string; port: number }[]>;
}

describe("server discovery", () => {
  let now = 0;
  let network: Network;
  let asked: string[];
  let discovery: Discovery;
  beforeEach(() => {
    now = 1_000_000;
    network = { wellKnown: {}, srv: {} };
    asked = [];
    const lookups: Lookups = {
      async wellKnown(host) {
        asked.push(`well-known ${host}`);
        const found = network.wellKnown[host];
        return found === undefined ? undefined : { server: found.server, maxAge: found.maxAge };
      },
      async srv(name) {
        asked.push(name);
        return network.srv[name] ?? [];
      },
    };
    const clock: Clock = { now: () => now, monotonic: () => now };
    discovery = new Discovery(lookups, clock);
  });

  async function at(name: string): Promise<string> {
    const server = parseServerName(name);
    if (server === undefined) throw new Error("no server name");
    const { targets, hostHeader } = await discovery.resolve(server);
    return `${targets.map(({ host, port }) => `${host} ${port}`).join(", ")} as ${hostHeader}`;
  }

  it("1. takes IP literals as they are", async () => {
    expect(await at("192.0.2.1")).to.equal("192.0.2.1 8448 as 192.0.2.1");
    expect(await at("[2001:db8::1]:99")).to.equal("2001:db8::1 99 as [2001:db8::1]:99");
    expect(asked).to.deep.equal([]);
  });

  it("2. takes a port as it is", async () => {
    expect(await at("example.org:99")).to.equal("example.org 99 as example.org:99");
    expect(asked).to.deep.equal([]);
  });

  it("3. follows the well-known document", async () => {
    network.wellKnown = {
      "one.example": { server: "192.0.2.1" },
      "two.example": { server: "192.0.2.1:99" },
      "three.example": { server: "there.example:99" },
      "four.example": { server: "fed.example" },
      "five.example": { server: "old.example" },
      "six.example": { server: "none.example" },
    };
    network.srv = {
      "_matrix-fed._tcp.fed.example": [{ name: "a.example", port: 1 }, { name: "b.example", port: 2 }],
      "_matrix._tcp.fed.example": [{ name: "wrong.example", port: 3 }],
      "_matrix._tcp.old.example": [{ name: "c.example", port: 4 }],
    };
    expect(await at("one.example")).to.equal("192.0.2.1 8448 as 192.0.2.1");
    expect(await at("two.example")).to.equal("192.0.2.1 99 as 192.0.2.1:99");
    expect(await at("three.example")).to.equal("there.example 99 as there.example:99");
    expect(await at("four.example")).to.equal("a.example 1, b.example 2 as fed.example");
    expect(await at("five.example")).to.equal("c.example 4 as old.example");
    expect(await at("six.example")).to.equal("none.example 8448 as none.example");
  });

  it("4. to 6. goes on without one, or with one that is no server name", async () => {
    network.wellKnown = { "bad.example": { server: "https://bad.example/" } };
    network.srv = {
      "_matrix-fed._tcp.one.example": [{ name: "a.example", port: 1 }],
      "_matrix._tcp.two.example": [{ name: "b.example", port: 2 }],
    };
    expect(await at("one.example")).to.equal("a.example 1 as one.example");
    expect(await at("two.example")).to.equal("b.example 2 as two.example");
    expect(await at("bad.example")).to.equal("bad.example 8448 as bad.example");
  });

  it("asks once for many at once, and again when the document is too old", async () => {
    network.wellKnown = { "one.example": { server: "there.example:99", maxAge: 3_600_000 } };
    await Promise.all([at("one.example"), at("one.example"), at("one.example")]);
    now += 3_599_000;
    await at("one.example");
    expect(asked).to.deep.equal(["well-known one.example"]);
    now += 2_000;
    network.wellKnown = { "one.example": { server: "elsewhere.example:99" } };
    expect(await at("one.example")).to.equal("elsewhere.example 99 as elsewhere.example:99");
    now += 48 * 3_600_000;
    await at("one.example");
    expect(asked).to.have.length(3);
  });

  it("believes a document for two more days when it cannot be had any more, and asks ever more seldom", async () => {
    network.wellKnown = { "one.example": { server: "there.example:99", maxAge: 60_000 } };
    await at("one.example");
    network.wellKnown = {};
    const questions: number[] = [];
    for (let minute = 1; minute <= 12; minute += 1) {
      now += 61_000;
      asked = [];
      expect(await at("one.example")).to.equal("there.example 99 as there.example:99");
      if (asked.length > 0) questions.push(minute);
    }
    expect(questions).to.deep.equal([1, 2, 4, 8]);
    now += 49 * 3_600_000;
    expect(await at("one.example")).to.equal("one.example 8448 as one.example");
  });

  it("reads how long a document may be kept", () => {
    const header = (cacheControl: string | undefined, expires?: string): number | undefined => maxAgeOf({ cacheControl, expires }, 0);
    expect(header("public, max-age=60")).to.equal(60_000);
    expect(header("no-store")).to.equal(0);
    expect(header(undefined, "Thu, 01 Jan 1970 00:01:00 GMT")).to.equal(60_000);
    expect(header(undefined, "nonsense")).to.equal(undefined);
    expect(header(undefined)).to.equal(undefined);
  });
});
