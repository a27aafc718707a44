// A server that is not ours, as far as a test needs one: it has a name, a key and a TLS listener, signs what it asks, and
// answers what the test lets it answer.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { Agent, request } from "undici";
import { canonicalJson } from "../../src/protocol/canonical-json.js";
import { parseServerName, type ServerName } from "../../src/protocol/identifiers.js";
import { isObject, parseJson, type JsonObject, type JsonValue } from "../../src/protocol/json.js";
import { requestAuthorization } from "../../src/protocol/request-signing.js";
import { keyDocument } from "../../src/protocol/server-keys.js";
import { signingKey, type SigningKey } from "../../src/protocol/signing.js";

/** The authority and the certificate of all servers of tests; valid for localhost, 127.0.0.1 and *.example. */
export const TLS = {
  ca: new URL("../../../test/support/tls/ca.crt", import.meta.url).pathname,
  certificate: new URL("../../../test/support/tls/server.crt", import.meta.url).pathname,
  key: new URL("../../../test/support/tls/server.key", import.meta.url).pathname,
} as const;

export interface PeerAnswer {
  readonly status: number;
  readonly body: JsonObject;
}

/** An answer that is long, and the same each time. */
interface WrittenAnswer {
  readonly status: number;
  readonly bytes: Buffer;
}

type Given = PeerAnswer | WrittenAnswer;
type Answerer = (request: { readonly method: string; readonly path: string; readonly body: JsonValue | undefined }) => Given | Promise<Given>;

export interface Peer extends AsyncDisposable {
  readonly name: ServerName;
  readonly key: SigningKey;
  /** What it was asked, in order: `METHOD path`. */
  readonly asked: string[];
  /** What it answers to paths that begin so; the longest beginning wins. */
  answer(path: string, answerer: Answerer): void;
  /** Asks a server at `url` that calls itself `destination`, signed. `change` alters the header. */
  request(url: string, destination: string, method: "GET" | "PUT" | "POST", uri: string, body?: JsonObject, change?: (header: string) => string): Promise<PeerAnswer>;
}

/** Starts one; `tls` names the files of the authority, the certificate and its key. */
export async function startPeer(tls: Readonly<Record<keyof typeof TLS, string>> = TLS): Promise<Peer> {
  const seed = generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  // Another id each time: ports come back, and keys are remembered by the name that has them.
  const key = signingKey(`ed25519:p${randomBytes(4).toString("hex")}`, seed);
  const asked: string[] = [];
  const answers = new Map<string, Answerer>();
  const server = createServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, (incoming, response) => {
    void (async () => {
      asked.push(`${incoming.method} ${incoming.url}`);
      const answer = await answerTo(incoming);
      response.writeHead(answer.status, { "content-type": "application/json" }).end("bytes" in answer ? answer.bytes : JSON.stringify(answer.body));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const name = parseServerName(`localhost:${(server.address() as AddressInfo).port}`);
  if (name === undefined) throw new Error("no server name");
  answers.set("/_matrix/key/v2/server", () => ({ status: 200, body: keyDocument(name, key, [], Date.now() + 3_600_000) }));

  async function answerTo(incoming: IncomingMessage): Promise<Given> {
    const path = incoming.url ?? "";
    const [best] = [...answers.keys()].filter((beginning) => path.startsWith(beginning)).toSorted((a, b) => b.length - a.length);
    const answerer = best === undefined ? undefined : answers.get(best);
    const bytes = await buffer(incoming);
    if (answerer === undefined) return { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "no" } };
    return await answerer({ method: incoming.method ?? "", path, body: bytes.length === 0 ? undefined : parseJson(bytes) });
  }

  const agent = new Agent({ connect: { ca: readFileSync(tls.ca) } });
  return {
    name,
    key,
    asked,
    answer: (path, answerer) => void answers.set(path, answerer),
    async request(url, destination, method, uri, body, change = (header) => header) {
      const to = parseServerName(destination);
      if (to === undefined) throw new Error("no server name");
      const authorization = change(requestAuthorization({ method, uri, origin: name, destination: to, ...(body !== undefined && { content: body }) }, key));
      const answer = await request(url + uri, {
        method,
        headers: { authorization, ...(body !== undefined && { "content-type": "application/json" }) },
        // Deep nesting and odd numbers go out as they are.
        body: body === undefined ? null : canonicalJson(body, { lexemes: true }),
        dispatcher: agent,
      });
      const json = parseJson(await buffer(answer.body));
      return { status: answer.statusCode, body: isObject(json) ? json : {} };
    },
    async [Symbol.asyncDispose]() {
      await agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
