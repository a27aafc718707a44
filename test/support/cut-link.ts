// A way to PostgreSQL that is cut for good at a given statement, as when the process that asks is killed there.
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { DatabaseAddress } from "../../src/storage/database.js";

const QUERY = "Q".charCodeAt(0);
const SYNC = "S".charCodeAt(0);

export interface CutLink extends AsyncDisposable {
  readonly address: DatabaseAddress;
  /** Whether it was cut. */
  readonly isCut: boolean;
}

/** Counts the statements in what a client sends, and says how much of it may pass. */
class Statements {
  #rest = Buffer.alloc(0);
  #begun = false;

  /** The whole messages of a chunk with what was left of the last one; true with those that end a statement. */
  take(chunk: Buffer): [message: Buffer, ends: boolean][] {
    let bytes = Buffer.concat([this.#rest, chunk]);
    const messages: [Buffer, boolean][] = [];
    for (;;) {
      // The first message has no type before its length.
      const head = this.#begun ? 1 : 0;
      if (bytes.length < head + 4) break;
      const length = head + bytes.readUInt32BE(head);
      if (bytes.length < length) break;
      messages.push([bytes.subarray(0, length), this.#begun && (bytes[0] === QUERY || bytes[0] === SYNC)]);
      bytes = bytes.subarray(length);
      this.#begun = true;
    }
    this.#rest = bytes;
    return messages;
  }
}

/**
 * Opens a link to a database that is cut at the statement of this number over all connections: before PostgreSQL gets it, or behind it
 * so that nobody hears the answer.
 */
export async function cutLink(target: DatabaseAddress, at: number, when: "before" | "behind"): Promise<CutLink> {
  const sockets = new Set<Socket>();
  let statements = 0;
  let isCut = false;
  const open = (): Socket => {
    if (!("url" in target)) return connect(join(target.socketFolder, ".s.PGSQL.5432"));
    const { hostname, port } = new URL(target.url);
    return connect(Number(port || 5432), hostname);
  };
  const cut = (): void => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = open();
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    const counted = new Statements();
    client.on("data", (chunk) => {
      for (const [message, ends] of counted.take(chunk)) {
        if (isCut) return;
        const last = ends && (statements += 1) === at;
        if (!last) {
          upstream.write(message);
          continue;
        }
        if (when === "behind") {
          // What the kernel has taken it still delivers.
          sockets.delete(upstream);
          client.removeAllListeners("close");
          upstream.end(message);
        }
        cut();
      }
    });
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = new URL("url" in target ? target.url : `postgres://${target.user}@localhost/${target.database}`);
  url.hostname = "127.0.0.1";
  url.port = String(port);
  return {
    address: { url: url.href },
    get isCut() {
      return isCut;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
