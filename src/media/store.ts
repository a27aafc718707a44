// What a place where the bytes of media lie has to do.
import type { Readable } from "node:stream";
import type { SpooledFile } from "./spool.js";

/** First and last byte, both included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Keeps content under its SHA-256. */
export interface MediaStore extends Disposable {
  /** Keeps a file's content, which it may hold already. It is durable when this is fulfilled. */
  put(file: SpooledFile): Promise<void>;
  /** The content or a part of it. Throws if the store does not have it. */
  open(digest: string, range?: ByteRange): Promise<Readable>;
  /** Removes content, if it is there. */
  remove(digest: string): Promise<void>;
}
