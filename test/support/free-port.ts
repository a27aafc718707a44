// A port for a server that a test starts.
import { once } from "node:events";
import { createServer } from "node:net";

/** Below the ports that systems hand out by themselves: nobody else gets one of these by chance before it is used. */
const [FIRST, COUNT] = [18_000, 12_000];

let last = process.pid * 101;

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries += 1) {
    const port = FIRST + ((last += 1) % COUNT);
    const server = createServer();
    const listening = once(server, "listening").then(
      () => true,
      () => false,
    );
    server.listen(port, "127.0.0.1");
    if (!(await listening)) continue;
    server.close();
    await once(server, "close");
    return port;
  }
  throw new Error("no free port");
}
