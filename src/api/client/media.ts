// Client-server API, "Content repository".
import type * as spec from "../../../spec/client/media.js";
import { MatrixError, notFound } from "../../errors.js";
import { byteRange, contentDisposition, MEDIA_HEADERS } from "../../media/media-headers.js";
import { thumbnail } from "../../media/thumbnails.js";
import { reserve, upload, uploadReserved } from "../../media/upload.js";
import { urlPreview } from "../../media/url-preview.js";
import { findContent, type Sought } from "../../media/whereabouts.js";
import type { StoredContent, ThumbnailKey } from "../../storage/media.js";
import { Reply, type Handler, type Request } from "../handler.js";
import type { Services } from "../services.js";

type UploadRequest = Request<typeof spec.uploadContent> | Request<typeof spec.uploadContentToMXC>;

const sent = ({ body, headers, query }: UploadRequest): Parameters<typeof upload>[2] => ({
  content: body,
  content_type: headers["content-type"],
  file_name: query.filename,
});

export const uploadContent: Handler<typeof spec.uploadContent> = async (services, request) => ({
  content_uri: await upload(services, request.auth, sent(request)),
});

export const createContent: Handler<typeof spec.createContent> = (services, { auth }) => reserve(services, auth);

export const uploadContentToMXC: Handler<typeof spec.uploadContentToMXC> = async (services, request) => {
  await uploadReserved(services, request.auth, request.params, sent(request));
  return {};
};

export const getContentAuthed: Handler<typeof spec.getContentAuthed> = (services, request) =>
  download(services, request.headers, authenticated(request));

export const getContentOverrideNameAuthed: Handler<typeof spec.getContentOverrideNameAuthed> = (services, request) =>
  download(services, request.headers, authenticated(request), request.params.fileName);

export const getContentThumbnailAuthed: Handler<typeof spec.getContentThumbnailAuthed> = (services, request) =>
  downloadThumbnail(services, request.headers, authenticated(request), request.query);

export const getContent: Handler<typeof spec.getContent> = (services, request) =>
  download(services, request.headers, unauthenticated(services, request));

export const getContentOverrideName: Handler<typeof spec.getContentOverrideName> = (services, request) =>
  download(services, request.headers, unauthenticated(services, request), request.params.fileName);

export const getContentThumbnail: Handler<typeof spec.getContentThumbnail> = (services, request) =>
  downloadThumbnail(services, request.headers, unauthenticated(services, request), request.query);

export const getConfigAuthed: Handler<typeof spec.getConfigAuthed> = async ({ config }) => ({
  "m.upload.size": config.media.max_upload_bytes,
});

export const getConfig: Handler<typeof spec.getConfig> = getConfigAuthed;

export const getUrlPreviewAuthed: Handler<typeof spec.getUrlPreviewAuthed> = async (services, { auth, query }) =>
  new Reply(200, await urlPreview(services, auth, query.url));

export const getUrlPreview: Handler<typeof spec.getUrlPreview> = getUrlPreviewAuthed;

type DownloadHeaders = Request<typeof spec.getContentAuthed>["headers"];

function authenticated({
  params: { serverName, mediaId },
  query: { timeout_ms },
  signal,
}: Pick<Request<typeof spec.getContentAuthed>, "params" | "query" | "signal">): Sought {
  return { serverName, mediaId, timeoutMs: timeout_ms, allowRemote: true, signal };
}

function unauthenticated(
  { config }: Services,
  request: Pick<Request<typeof spec.getContent>, "params" | "query" | "signal">,
): Sought {
  if (!config.media.unauthenticated_access) throw notFound("Media are at /_matrix/client/v1/media/download, with an access token.");
  return { ...authenticated(request), allowRemote: request.query.allow_remote };
}

async function download(services: Services, headers: DownloadHeaders, sought: Sought, fileName?: string): Promise<Reply> {
  const found = await findContent(services, sought);
  return await serve(services, headers, { ...found, file_name: fileName ?? found.file_name });
}

/** A thumbnail as HTTP gives it. */
export async function downloadThumbnail(services: Services, headers: DownloadHeaders, sought: Sought, wanted: ThumbnailKey): Promise<Reply> {
  const { width, height, method, animated } = wanted;
  const made = await thumbnail(services, await findContent(services, sought), { width, height, method, animated });
  return await serve(services, headers, { ...made, file_name: `thumbnail.${made.content_type.replace("image/", "")}` });
}

/** Content as HTTP gives it: whole, a part of it, or only that it is still the same. */
async function serve(
  { media }: Services,
  asked: DownloadHeaders,
  content: StoredContent & { readonly content_type: string; readonly file_name: string | undefined },
): Promise<Reply> {
  const { digest, size, content_type, file_name } = content;
  const etag = `"${digest}"`;
  const headers = {
    ...MEDIA_HEADERS,
    ETag: etag,
    // A URI never gets other content, but its content may be withdrawn.
    "Cache-Control": "private, max-age=86400, immutable",
    "Content-Type": content_type,
    "Content-Disposition": contentDisposition(content_type, file_name),
  };
  const known = asked["if-none-match"]?.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  if (known?.some((tag) => tag === etag || tag === "*") === true) return new Reply(304, Buffer.alloc(0), headers);
  const isSame = asked["if-range"] === undefined || asked["if-range"] === etag;
  const range = isSame ? byteRange(asked.range, size) : undefined;
  if (range === "unsatisfiable") {
    throw new MatrixError(416, "M_UNKNOWN", "The content has no such bytes.", { headers: { "Content-Range": `bytes */${size}` } });
  }
  const length = range === undefined ? size : range.end - range.start + 1;
  return new Reply(range === undefined ? 200 : 206, await media.store.open(digest, range), {
    ...headers,
    "Content-Length": String(length),
    ...(range !== undefined && { "Content-Range": `bytes ${range.start}-${range.end}/${size}` }),
  });
}
