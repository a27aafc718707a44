// HTTP/1.1 over a plain socket, one request at a time. node:http's client costs several times as much per request, and
// the generator must not be what is measured.
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

interface Waiting {
  readonly resolve: (answer: RawAnswer) => void;
  readonly reject: (error: Error) => void;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const STATUS_AT = "HTTP/1.1 ".length;

/** The answer that `data` holds whole, and whether the connection stays; nothing while a part is still to come. */
function parse(data: Buffer): { answer: RawAnswer; keep: boolean } | undefined {
  const headEnd = data.indexOf(HEAD_END);
  if (headEnd < 0) return undefined;
  const head = data.toString("latin1", 0, headEnd);
  const status = Number(head.slice(STATUS_AT, STATUS_AT + 3));
  const keep = !/^connection: *close/im.test(head);
  const bodyStart = headEnd + HEAD_END.length;
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length !== undefined) {
    const end = bodyStart + Number(length);
    return data.length < end ? undefined : { answer: { status, body: data.toString("utf8", bodyStart, end) }, keep };
  }
  const body = /^transfer-encoding: *chunked/im.test(head) ? unchunk(data, bodyStart) : "";
  return body === undefined ? undefined : { answer: { status, body }, keep };
}

/** A chunked body, when its last chunk is there. */
function unchunk(data: Buffer, start: number): string | undefined {
  const chunks: Buffer[] = [];
  for (let at = start; ; ) {
    const lineEnd = data.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(data.toString("latin1", at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (data.length < end) return undefined;
    if (size === 0) return Buffer.concat(chunks).toString("utf8");
    chunks.push(data.subarray(lineEnd + 2, end - 2));
    at = end;
  }
}

/** A connection that is used again and again. */
export class Connection {
  readonly #socket: Socket;
  #waiting: Waiting | undefined;
  #received: Buffer[] = [];
  #open = true;

  constructor(host: string, port: number) {
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#socket.on("error", (error) => this.#end(error));
    this.#socket.on("timeout", () => this.#end(new Error(`no answer in ${this.#socket.timeout} ms`)));
    this.#socket.on("close", () => this.#end(new Error("the server closed the connection")));
  }

  /** Whether another request can go out on it. */
  get open(): boolean {
    return this.#open;
  }

  /** Sends a request; rejects when the connection ends or no answer comes in `timeoutMs`. */
  send(head: string, payload: string, timeoutMs: number): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.setTimeout(timeoutMs);
      this.#socket.write(head + payload);
    });
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk);
    const parsed = parse(this.#received.length === 1 ? chunk : Buffer.concat(this.#received));
    if (parsed === undefined) return;
    this.#received = [];
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#socket.setTimeout(0);
    this.#open &&= parsed.keep;
    if (!this.#open) this.#socket.destroy();
    waiting?.resolve(parsed.answer);
  }

  #end(error: Error): void {
    this.#open = false;
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }

  close(): void {
    this.#end(new Error("closed by the client"));
  }
}
