// Answers of two parts, as servers give each other media (server-server API, "Content Repository"; RFC 2046).
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";

const MAX_HEADERS = 16 * 1024;
const MAX_PREAMBLE = 64 * 1024;
const LINE = "\r\n";

/** A part of an answer: its headers, by names in lower case, and its content, which is read once. */
export interface Part {
  readonly headers: ReadonlyMap<string, string>;
  readonly content: AsyncIterable<Buffer>;
}

/** The boundary that a content type names; undefined if it is not multipart/mixed. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const [essence = "", ...parameters] = contentType?.split(";") ?? [];
  if (essence.trim().toLowerCase() !== "multipart/mixed") return undefined;
  const found = parameters.map((parameter) => /^\s*boundary=(?:"([^"]{1,70})"|([^\s"]{1,70}))\s*$/i.exec(parameter)).find((match) => match !== null);
  return found?.[1] ?? found?.[2];
}

/** The second part of an answer; what the first one says is skipped. Throws, then or while the content is read, if it is not made so. */
export async function secondPart(body: AsyncIterable<Buffer>, boundary: string): Promise<Part> {
  const text = new Delimited(body);
  const delimiter = `${LINE}--${boundary}`;
  // What is before the first boundary, and the first part.
  await text.whole(delimiter, MAX_PREAMBLE);
  await text.whole(delimiter, MAX_PREAMBLE);
  const lines = (await text.whole(LINE + LINE, MAX_HEADERS)).split(LINE);
  const headers = lines.flatMap((line): [string, string][] => {
    const colon = line.indexOf(":");
    return colon <= 0 ? [] : [[line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]];
  });
  return { headers: new Map(headers), content: text.until(delimiter) };
}

/** An answer of an empty JSON object and of content, and its own content type. The content is closed with it. */
export function mixed(headers: Readonly<Record<string, string>>, content: Readable): { contentType: string; body: Readable } {
  const boundary = randomUUID();
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}${LINE}`).join("");
  async function* parts(): AsyncGenerator<Buffer> {
    yield Buffer.from(`--${boundary}${LINE}Content-Type: application/json${LINE}${LINE}{}${LINE}--${boundary}${LINE}${head}${LINE}`);
    yield* content as AsyncIterable<Buffer>;
    yield Buffer.from(`${LINE}--${boundary}--${LINE}`);
  }
  const body = Readable.from(parts(), { objectMode: false });
  // Whoever goes away before reading would leave it open.
  body.once("close", () => content.destroy());
  return { contentType: `multipart/mixed; boundary=${boundary}`, body };
}

/** Bytes that are read from one delimiter to the next. */
class Delimited {
  readonly #source: AsyncIterator<Buffer>;
  // The first boundary may be at the very beginning: a delimiter always has a line break before it.
  #held: Buffer = Buffer.from(LINE);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** What comes before the next delimiter, which is skipped. */
  async *until(delimiter: string): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const at = this.#held.indexOf(delimiter);
        if (at >= 0) {
          yield this.#take(at);
          this.#take(delimiter.length);
          return;
        }
        // The end of what is held may be the beginning of the delimiter.
        const sure = this.#held.length - delimiter.length + 1;
        if (sure > 0) yield this.#take(sure);
        const next = await this.#source.next();
        if (next.done === true) throw new Error("an answer in parts ends before its last boundary");
        this.#held = Buffer.concat([this.#held, next.value]);
      }
    } catch (error) {
      await this.#source.return?.();
      throw error;
    }
  }

  /** As `until`, as text. Throws if it is longer than `most` bytes. */
  async whole(delimiter: string, most: number): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.until(delimiter)) {
      size += chunk.length;
      if (size > most) {
        await this.#source.return?.();
        throw new Error("a part of an answer is too long");
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("latin1");
  }

  #take(bytes: number): Buffer {
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    return taken;
  }
}
