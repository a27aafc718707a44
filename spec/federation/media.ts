// Server-server API, "Content Repository".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { MediaId, thumbnailSize } from "../types/media.js";

const timeout_ms = Type.Integer({ minimum: 0, default: 20_000 });
const media = Type.Object({ mediaId: MediaId });
// The answer has two parts: a JSON object and the content.
const empty = Type.Object({});

export const getFederationContent = operation({
  operationId: "getFederationContent",
  method: "GET",
  paths: ["/_matrix/federation/v1/media/download/{mediaId}"],
  auth: "server",
  limit: "download",
  summary: "The content of a URI of the asked server.",
  params: media,
  query: Type.Object({ timeout_ms }),
  response: empty,
});

export const getFederationThumbnail = operation({
  operationId: "getFederationThumbnail",
  method: "GET",
  paths: ["/_matrix/federation/v1/media/thumbnail/{mediaId}"],
  auth: "server",
  limit: "download",
  summary: "A small image of an image of the asked server.",
  params: media,
  query: Type.Object({ timeout_ms, ...thumbnailSize }),
  response: empty,
});
