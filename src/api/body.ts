// Reads a request's body: bounded while reading, strict UTF-8.
import type { IncomingMessage } from "node:http";
import { notJson, tooLarge, unknownError } from "../errors.js";

/** The body's bytes. Throws M_TOO_LARGE as soon as more than `limit` bytes are announced or have come. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > limit) return Promise.reject(tooLarge(`The body may have at most ${limit} bytes.`));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        request.removeAllListeners("data");
        request.resume();
        reject(tooLarge(`The body may have at most ${limit} bytes.`));
      } else chunks.push(chunk);
    });
    request.on("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.on("aborted", () => reject(unknownError(400, "The request ended before its body did.")));
    request.on("error", (cause) => reject(unknownError(400, "The request could not be read.", cause)));
  });
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The body as text. Throws M_NOT_JSON when it is not UTF-8. */
export function decodeBody(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    if (cause instanceof TypeError) throw notJson("The body is not valid UTF-8.");
    throw cause;
  }
}
