// Media in a store that speaks S3.
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  NotFound,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { Config } from "../config.js";
import type { SpooledFile } from "./spool.js";
import type { MediaStore } from "./store.js";

/** What is larger is sent in parts: so much of it is in memory at a time. S3 asks for at least 5 MiB and at most 10,000 parts. */
const PART_BYTES = 8 * 1024 * 1024;
const MAX_PARTS = 10_000;

type Settings = NonNullable<Config["media"]["s3"]>;

/** A store in a bucket. */
export function s3Store(settings: Settings): MediaStore {
  const { bucket, prefix, access_key_id, secret_access_key } = settings;
  const client = new S3Client({
    region: settings.region,
    forcePathStyle: settings.path_style,
    ...(settings.endpoint !== undefined && { endpoint: settings.endpoint }),
    ...(access_key_id !== undefined &&
      secret_access_key !== undefined && {
        credentials: { accessKeyId: access_key_id, secretAccessKey: secret_access_key },
      }),
    // The names of objects are checksums already, and many providers refuse those that Amazon's client adds.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  const at = (digest: string): { Bucket: string; Key: string } => ({ Bucket: bucket, Key: prefix + digest });
  return {
    async put(file) {
      const object = at(file.digest);
      if (await exists(client, object)) return;
      if (file.size > PART_BYTES) return await putInParts(client, object, file);
      await client.send(new PutObjectCommand({ ...object, Body: await readPart(file, 0, file.size) }));
    },
    async open(digest, range) {
      const part = range && { Range: `bytes=${range.start}-${range.end}` };
      const { Body } = await client.send(new GetObjectCommand({ ...at(digest), ...part }));
      if (!(Body instanceof Readable)) throw new Error("the object store gave no stream");
      return Body;
    },
    async remove(digest) {
      await client.send(new DeleteObjectCommand(at(digest)));
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}

async function exists(client: S3Client, object: { Bucket: string; Key: string }): Promise<boolean> {
  try {
    await client.send(new HeadObjectCommand(object));
    return true;
  } catch (error) {
    if (error instanceof NotFound) return false;
    throw error;
  }
}

async function putInParts(client: S3Client, object: { Bucket: string; Key: string }, file: SpooledFile): Promise<void> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
  const upload = { ...object, UploadId };
  const partBytes = Math.max(PART_BYTES, Math.ceil(file.size / MAX_PARTS));
  try {
    const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
    for (let start = 0, PartNumber = 1; start < file.size; start += partBytes, PartNumber += 1) {
      const Body = await readPart(file, start, Math.min(partBytes, file.size - start));
      const { ETag } = await client.send(new UploadPartCommand({ ...upload, PartNumber, Body }));
      Parts.push({ PartNumber, ETag });
    }
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
  } catch (error) {
    // Parts that nobody completes are paid for. If this fails as well, the first failure is the one to tell.
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    throw error;
  }
}

async function readPart({ path }: SpooledFile, start: number, size: number): Promise<Buffer> {
  await using file = await open(path);
  const part = Buffer.alloc(size);
  let read = 0;
  while (read < size) {
    const { bytesRead } = await file.read(part, read, size - read, start + read);
    if (bytesRead === 0) throw new Error("a spooled file is shorter than it was");
    read += bytesRead;
  }
  return part;
}
