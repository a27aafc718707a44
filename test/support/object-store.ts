// An object store on this machine, for settings of media.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import S3rver from "s3rver";

export interface ObjectStore extends AsyncDisposable {
  /** As the configuration takes them. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Where its objects lie. */
  readonly folder: string;
}

export async function startObjectStore(): Promise<ObjectStore> {
  const folder = await mkdtemp(join(tmpdir(), "hansa-s3-"));
  const server = new S3rver({
    port: 0,
    address: "127.0.0.1",
    silent: true,
    directory: folder,
    configureBuckets: [{ name: "media", configs: [] }],
  });
  const { port } = await server.run();
  return {
    folder,
    settings: {
      bucket: "media",
      endpoint: `http://127.0.0.1:${port}`,
      path_style: true,
      prefix: "hansa/",
      access_key_id: "S3RVER",
      secret_access_key: "S3RVER",
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
