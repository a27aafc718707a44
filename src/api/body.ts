// Reads a request's body: bounded in bytes and time while it comes.
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { MatrixError, tooLarge, unknownError } from "../errors.js";

/** How long the rest of a refused body is thrown away before its connection is cut. */
const LINGER_MS = 5_000;

/**
 * The body's bytes. Throws M_TOO_LARGE as soon as more than `limit` bytes are announced or have come, and M_UNKNOWN with
 * status 408 when the body takes longer than `milliseconds`.
 */
export function readBody(request: IncomingMessage, limit: number, milliseconds = 60_000): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const refuse = (error: MatrixError): void => {
      clearTimeout(timer);
      drop(request);
      reject(error);
    };
    const timer = setTimeout(
      () => refuse(new MatrixError(408, "M_UNKNOWN", "The body took too long to arrive.", { headers: { Connection: "close" } })),
      milliseconds,
    );
    request.once("end", () => {
      clearTimeout(timer);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
    });
    request.once("error", (cause) => {
      clearTimeout(timer);
      reject(unknownError(400, "The request ended before its body did.", cause));
    });
    request.once("close", () => clearTimeout(timer));
    if (announced(request) > limit) {
      refuse(overLimit(limit));
      return;
    }
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) refuse(overLimit(limit));
      else chunks.push(chunk);
    });
  });
}

/**
 * The body as a stream, which fails with M_TOO_LARGE as soon as more than `limit` bytes have come. Throws that error when
 * more are announced. Whoever destroys the stream early can still answer. How long the whole may take, the listener says.
 */
export function bodyStream(request: IncomingMessage, limit: number): Readable {
  if (announced(request) > limit) {
    drop(request);
    throw overLimit(limit);
  }
  let left = limit;
  let ended = false;
  const stream = new Readable({
    read: () => void request.resume(),
    destroy: (error, done) => {
      if (!ended) drop(request);
      done(error);
    },
  });
  const cutShort = (cause?: unknown): void => {
    if (!ended) stream.destroy(unknownError(400, "The request ended before its body did.", cause));
  };
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) stream.destroy(overLimit(limit));
    else if (!stream.push(chunk)) request.pause();
  });
  request.once("end", () => {
    ended = true;
    stream.push(null);
  });
  request.once("error", cutShort);
  request.once("close", cutShort);
  // Nobody may be listening any more when the caller goes away: the handler has answered.
  stream.on("error", () => undefined);
  request.pause();
  if (request.destroyed) cutShort();
  return stream;
}

const announced = (request: IncomingMessage): number => Number(request.headers["content-length"] ?? 0);

const overLimit = (limit: number): MatrixError => tooLarge(`The body may have at most ${limit} bytes.`);

/**
 * Drops the rest of a body, so that the answer goes out at once. What still comes is read for a while: a connection that is
 * closed with unread bytes is reset, and the caller would never see the answer.
 */
export function drop(request: IncomingMessage): void {
  request.removeAllListeners("data");
  request.resume();
  const cut = setTimeout(() => request.destroy(), LINGER_MS);
  request.once("close", () => clearTimeout(cut));
}
