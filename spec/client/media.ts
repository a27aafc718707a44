// Client-server API, "Content repository".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { ServerName } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";
import { MediaId, thumbnailSize } from "../types/media.js";

const media = Type.Object({ serverName: ServerName, mediaId: MediaId });
const namedMedia = Type.Object({ ...media.properties, fileName: Type.String() });

const upload = Type.Object({ filename: Type.Optional(Type.String()) });
const uploadHeaders = Type.Object({ "content-type": Type.Optional(Type.String()) });

const timeout_ms = Type.Integer({ minimum: 0, default: 20_000 });
const download = Type.Object({ timeout_ms });
// The content itself is always the answer, as the specification lets a server choose.
const oldDownload = Type.Object({ timeout_ms, allow_remote: Type.Boolean({ default: true }), allow_redirect: Type.Boolean({ default: false }) });
const thumbnail = Type.Object({ ...download.properties, ...thumbnailSize });
const oldThumbnail = Type.Object({ ...oldDownload.properties, ...thumbnailSize });
const downloadHeaders = Type.Object({
  range: Type.Optional(Type.String()),
  "if-range": Type.Optional(Type.String()),
  "if-none-match": Type.Optional(Type.String()),
});

const limits = Type.Object({ "m.upload.size": Type.Integer() });
const preview = Type.Object({ url: Type.String(), ts: Type.Optional(Type.Integer()) });
const empty = Type.Object({});

const oldPaths = (rest: string): readonly [string, string, string] => [
  `/_matrix/media/v3${rest}`,
  `/_matrix/media/r0${rest}`,
  `/_matrix/media/v1${rest}`,
];

export const uploadContent = operation({
  operationId: "uploadContent",
  method: "POST",
  paths: oldPaths("/upload"),
  auth: "user",
  refusedWhileSuspended: true,
  limit: "upload",
  summary: "Stores content under a new URI.",
  query: upload,
  headers: uploadHeaders,
  body: "bytes",
  response: Type.Object({ content_uri: Type.String() }),
});

export const createContent = operation({
  operationId: "createContent",
  method: "POST",
  paths: ["/_matrix/media/v1/create"],
  auth: "user",
  refusedWhileSuspended: true,
  limit: "upload",
  summary: "Reserves a URI whose content is uploaded later.",
  response: Type.Object({ content_uri: Type.String(), unused_expires_at: Type.Integer() }),
});

export const uploadContentToMXC = operation({
  operationId: "uploadContentToMXC",
  method: "PUT",
  paths: ["/_matrix/media/v3/upload/{serverName}/{mediaId}"],
  auth: "user",
  refusedWhileSuspended: true,
  limit: "upload",
  summary: "Stores content under a URI that was reserved for it.",
  params: media,
  query: upload,
  headers: uploadHeaders,
  body: "bytes",
  response: empty,
});

export const getContentAuthed = operation({
  operationId: "getContentAuthed",
  method: "GET",
  paths: ["/_matrix/client/v1/media/download/{serverName}/{mediaId}"],
  auth: "user",
  guests: true,
  limit: "download",
  summary: "The content of a URI.",
  params: media,
  query: download,
  headers: downloadHeaders,
  response: empty,
});

export const getContentOverrideNameAuthed = operation({
  operationId: "getContentOverrideNameAuthed",
  method: "GET",
  paths: ["/_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}"],
  auth: "user",
  guests: true,
  limit: "download",
  summary: "The content of a URI, to be saved under another name.",
  params: namedMedia,
  query: download,
  headers: downloadHeaders,
  response: empty,
});

export const getContentThumbnailAuthed = operation({
  operationId: "getContentThumbnailAuthed",
  method: "GET",
  paths: ["/_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}"],
  auth: "user",
  guests: true,
  limit: "download",
  summary: "A small image of an image.",
  params: media,
  query: thumbnail,
  headers: downloadHeaders,
  response: empty,
});

export const getConfigAuthed = operation({
  operationId: "getConfigAuthed",
  method: "GET",
  paths: ["/_matrix/client/v1/media/config"],
  auth: "user",
  guests: true,
  limit: "lookup",
  summary: "What uploads are bound by.",
  response: limits,
});

export const getUrlPreviewAuthed = operation({
  operationId: "getUrlPreviewAuthed",
  method: "GET",
  paths: ["/_matrix/client/v1/media/preview_url"],
  auth: "user",
  limit: "url_preview",
  summary: "What a web page says about itself.",
  query: preview,
  response: JsonObject,
});

export const getContent = operation({
  operationId: "getContent",
  method: "GET",
  paths: oldPaths("/download/{serverName}/{mediaId}"),
  auth: "none",
  limit: "download",
  summary: "As getContentAuthed, without an access token, where the server allows it.",
  params: media,
  query: oldDownload,
  headers: downloadHeaders,
  response: empty,
});

export const getContentOverrideName = operation({
  operationId: "getContentOverrideName",
  method: "GET",
  paths: oldPaths("/download/{serverName}/{mediaId}/{fileName}"),
  auth: "none",
  limit: "download",
  summary: "As getContentOverrideNameAuthed, without an access token, where the server allows it.",
  params: namedMedia,
  query: oldDownload,
  headers: downloadHeaders,
  response: empty,
});

export const getContentThumbnail = operation({
  operationId: "getContentThumbnail",
  method: "GET",
  paths: oldPaths("/thumbnail/{serverName}/{mediaId}"),
  auth: "none",
  limit: "download",
  summary: "As getContentThumbnailAuthed, without an access token, where the server allows it.",
  params: media,
  query: oldThumbnail,
  headers: downloadHeaders,
  response: empty,
});

export const getConfig = operation({ ...getConfigAuthed, operationId: "getConfig", paths: oldPaths("/config") });

export const getUrlPreview = operation({ ...getUrlPreviewAuthed, operationId: "getUrlPreview", paths: oldPaths("/preview_url") });
