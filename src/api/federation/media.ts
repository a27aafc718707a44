// Server-server API, "Content Repository".
import type * as spec from "../../../spec/federation/media.js";
import { mixed } from "../../federation/multipart.js";
import { contentDisposition } from "../../media/media-headers.js";
import { thumbnail } from "../../media/thumbnails.js";
import { type AvailableMedia, findContent } from "../../media/whereabouts.js";
import type { StoredContent } from "../../storage/media.js";
import { Reply, type Handler, type Request } from "../handler.js";
import type { Services } from "../services.js";

type MediaRequest = Request<typeof spec.getFederationContent> | Request<typeof spec.getFederationThumbnail>;

/** Each of our servers gives its own media only. */
function sought(services: Services, { params, query, auth, signal }: MediaRequest): Promise<AvailableMedia> {
  return findContent(services, {
    serverName: auth.destination,
    mediaId: params.mediaId,
    timeoutMs: query.timeout_ms,
    allowRemote: false,
    signal,
  });
}

async function inParts({ media }: Services, content: StoredContent & { readonly content_type: string }, fileName: string | undefined): Promise<Reply> {
  const { digest, content_type } = content;
  const { contentType, body } = mixed(
    { "Content-Type": content_type, "Content-Disposition": contentDisposition(content_type, fileName) },
    await media.store.open(digest),
  );
  return new Reply(200, body, { "Content-Type": contentType });
}

export const getFederationContent: Handler<typeof spec.getFederationContent> = async (services, request) => {
  const found = await sought(services, request);
  return await inParts(services, found, found.file_name);
};

export const getFederationThumbnail: Handler<typeof spec.getFederationThumbnail> = async (services, request) => {
  const { width, height, method, animated } = request.query;
  const made = await thumbnail(services, await sought(services, request), { width, height, method, animated });
  return await inParts(services, made, undefined);
};
