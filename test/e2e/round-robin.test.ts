// The proxy between clients and several processes: turns, the name it asks under, and processes that are gone.
import { expect } from "chai";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { roundRobin } from "./round-robin.js";

describe("round robin", () => {
  const servers: Server[] = [];

  /** A process that answers its name and the host it was asked for; `breaks`: it takes the request and hangs up. */
  async function process(name: string, breaks = false): Promise<{ url: string; requests: () => number }> {
    let requests = 0;
    const server = createServer((request, response) => {
      requests++;
      if (breaks) response.destroy();
      else response.end(`${name} ${request.headers.host}`);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests };
  }

  const ask = async (url: string): Promise<string> => {
    const response = await fetch(url, { method: "POST", body: "x" });
    return `${response.status} ${await response.text()}`;
  };

  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  it("takes turns, under the name it was given", async () => {
    const targets = [(await process("one")).url, (await process("two")).url];
    await using proxy = await roundRobin(targets, "harbour.example");
    expect([await ask(proxy.url), await ask(proxy.url), await ask(proxy.url)]).to.deep.equal([
      "200 one harbour.example",
      "200 two harbour.example",
      "200 one harbour.example",
    ]);
  });

  it("passes over a process that is gone, and says so when all are", async () => {
    const two = await process("two");
    await using proxy = await roundRobin(["http://127.0.0.1:1", two.url], "harbour.example");
    expect([await ask(proxy.url), await ask(proxy.url)]).to.deep.equal(["200 two harbour.example", "200 two harbour.example"]);
    await using nobody = await roundRobin(["http://127.0.0.1:1"]);
    expect(await ask(nobody.url)).to.match(/^502 /);
  });

  it("does not repeat a request that a process has taken", async () => {
    const broken = await process("broken", true);
    const other = await process("other");
    await using proxy = await roundRobin([broken.url, other.url]);
    expect(await ask(proxy.url)).to.match(/^502 /);
    expect([broken.requests(), other.requests()]).to.deep.equal([1, 0]);
  });
});
