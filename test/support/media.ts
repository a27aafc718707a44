// Uploads and downloads of any bytes, and images to upload.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import sharp, { type Color } from "sharp";
import { stringAt } from "./json-path.js";
import type { TestClient, TestServer } from "./server.js";

export interface Download {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** Of an answer in JSON. */
  readonly errcode: string | undefined;
}

/** Asks for bytes as a client. */
export async function download(
  server: Pick<TestServer, "url">,
  client: TestClient,
  path: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Download> {
  const authorization: Record<string, string> = client.access_token === "" ? {} : { authorization: `Bearer ${client.access_token}` };
  const response = await fetch(server.url + path, { method, headers: { ...authorization, ...headers } });
  const bytes = Buffer.from(await response.arrayBuffer());
  const isJson = response.headers.get("content-type") === "application/json" && response.status >= 400 && bytes.length > 0;
  const errcode = isJson ? stringAt(JSON.parse(bytes.toString()), "errcode") : undefined;
  return { status: response.status, headers: response.headers, bytes, errcode };
}

/** Sends bytes as a client. */
export async function send(
  server: Pick<TestServer, "url">,
  client: TestClient,
  [method, path]: readonly [method: string, path: string],
  content: Buffer | string,
  type?: string,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(server.url + path, {
    method,
    body: content,
    headers: { authorization: `Bearer ${client.access_token}`, "content-type": type ?? "" },
  });
  return { status: response.status, body: await response.json() };
}

/** Uploads content and gives the part of its URI behind mxc://. */
export async function uploaded(
  server: Pick<TestServer, "url">,
  client: TestClient,
  content: Buffer | string,
  type = "application/octet-stream",
  name?: string,
): Promise<string> {
  const query = name === undefined ? "" : `?filename=${encodeURIComponent(name)}`;
  const { status, body } = await send(server, client, ["POST", `/_matrix/media/v3/upload${query}`], content, type);
  const uri = stringAt(body, "content_uri");
  if (uri === undefined) throw new Error(`${status} ${JSON.stringify(body)}`);
  return uri.slice("mxc://".length);
}

export const AUTHED = "/_matrix/client/v1/media/download";
export const THUMBNAIL = "/_matrix/client/v1/media/thumbnail";

/** An image of one colour. */
export function image(width: number, height: number, format: "png" | "jpeg" | "gif" | "webp" | "tiff" = "png", background: Color = "#c00"): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background } }).toFormat(format).toBuffer();
}

/** An image that moves. */
export async function animation(width: number, height: number, frames: number): Promise<Buffer> {
  const raw = Buffer.alloc(width * height * frames * 3, 0);
  for (let frame = 0; frame < frames; frame += 1) raw.fill(frame * 20, frame * width * height * 3, (frame + 1) * width * height * 3);
  return await sharp(raw, { raw: { width, height: height * frames, channels: 3, pageHeight: height } }).gif().toBuffer();
}

/** The files of a folder and all folders in it. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesIn(path) : [path];
  });
}
