// Encryption on one server and between two.
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { describeEncryption } from "./encryption.js";

describeEncryption("encryption on one server", async () => {
  const server = await startTestServer({ registration: { open: true } });
  return { urls: [server.url, server.url], [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
});

describeEncryption("encryption between two servers", async () => {
  const servers: TestServer[] = [];
  for (let number = 0; number < 2; number++) servers.push(await startTestServer(federationSettings(await freePort())));
  const [first, second] = servers;
  return {
    urls: [first?.url ?? "", second?.url ?? ""],
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
});
