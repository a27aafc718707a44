// A small reverse proxy that gives each request to the next process, and to another when nobody listens there.
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface RoundRobin extends AsyncDisposable {
  readonly url: string;
}

function refuse(to: ServerResponse): void {
  to.writeHead(502, { "content-type": "application/json" });
  to.end(JSON.stringify({ errcode: "M_UNKNOWN", error: "No process answers." }));
}

/** Starts it on a free port of 127.0.0.1. With `host`, requests go out under that name instead of the proxy's own. */
export async function roundRobin(targets: readonly string[], host?: string): Promise<RoundRobin> {
  let turn = 0;

  /** Whether the target took the request; one that breaks off is not asked again, because it may have acted already. */
  const send = (target: URL, from: IncomingMessage, body: Buffer, to: ServerResponse): Promise<boolean> =>
    new Promise((settle) => {
      const headers = { ...from.headers, ...(host === undefined ? {} : { host }) };
      const outgoing = forward({ hostname: target.hostname, port: target.port, method: from.method, path: from.url, headers });
      outgoing.once("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ECONNREFUSED") return settle(false);
        if (to.headersSent) to.destroy();
        else refuse(to);
        settle(true);
      });
      outgoing.once("response", (answer) => {
        to.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(to);
        // The target died inside its answer: so does ours.
        answer.once("error", () => to.destroy());
        settle(true);
      });
      to.once("close", () => outgoing.destroy());
      outgoing.end(body);
    });

  const relay = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const body = await buffer(from);
    for (let attempt = 0; attempt < targets.length; attempt++) {
      const target = targets[turn++ % targets.length];
      if (target !== undefined && (await send(new URL(target), from, body, to))) return;
    }
    refuse(to);
  };

  const server = createServer((from, to) => {
    relay(from, to).catch(() => to.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
