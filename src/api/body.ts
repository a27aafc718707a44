// Reads a request's body: bounded in bytes and time while it comes.
import type { IncomingMessage } from "node:http";
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
      request.removeAllListeners("data");
      // The answer goes out at once. What still comes is read for a while and dropped: a connection that is closed with
      // unread bytes is reset, and the caller would never see the answer.
      request.resume();
      const cut = setTimeout(() => request.destroy(), LINGER_MS);
      request.once("close", () => clearTimeout(cut));
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
    if (Number(request.headers["content-length"] ?? 0) > limit) {
      refuse(tooLarge(`The body may have at most ${limit} bytes.`));
      return;
    }
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) refuse(tooLarge(`The body may have at most ${limit} bytes.`));
      else chunks.push(chunk);
    });
  });
}
