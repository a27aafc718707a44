// Media of other servers (server-server API, "Content Repository"): asked with a signature, of older servers without.
import { MatrixError, notFound, unknownError } from "../errors.js";
import { FederationError } from "../federation/client.js";
import type { Federation } from "../federation/federation.js";
import { boundaryOf, secondPart } from "../federation/multipart.js";
import { type Outgoing, type OutgoingAnswer, OutgoingError } from "../federation/outgoing.js";
import type { ServerName } from "../protocol/identifiers.js";
import type { FetchRemote, RemoteMedia } from "./context.js";

/** What an answer may have beside the content. */
const ENVELOPE = 128 * 1024;
/** How long the content may take once the other server has it. */
const TRANSFER_MS = 120_000;
const REDIRECTS = 5;

interface Parts {
  readonly federation: Federation;
  readonly outgoing: Outgoing;
  /** In whose name others are asked. */
  readonly asker: ServerName;
}

type Limits = Parameters<FetchRemote>[2];

/** What asks other servers for media. */
export function remoteMedia(parts: Parts): FetchRemote {
  return async (serverName, mediaId, limits) => {
    try {
      const media = await ask(parts, serverName, mediaId, limits);
      return { ...media, content: translated(media.content) };
    } catch (cause) {
      throw asMatrixError(cause);
    }
  };
}

async function ask(parts: Parts, destination: ServerName, mediaId: string, limits: Limits): Promise<RemoteMedia> {
  const { client } = parts.federation;
  const request = { destination, method: "GET", timeoutMs: limits.timeoutMs + TRANSFER_MS, maxBytes: limits.maxBytes + ENVELOPE } as const;
  const wait = `timeout_ms=${limits.timeoutMs}`;
  let answer: OutgoingAnswer;
  try {
    answer = await client.open({ ...request, origin: parts.asker, uri: `/_matrix/federation/v1/media/download/${mediaId}?${wait}` });
  } catch (error) {
    if (!(error instanceof FederationError) || !isUnknownPath(error)) throw error;
    const uri = `/_matrix/media/v3/download/${encodeURIComponent(destination)}/${mediaId}?allow_remote=false&${wait}`;
    return plain(await client.openUnsigned({ ...request, uri }));
  }
  const boundary = boundaryOf(answer.headers["content-type"]);
  if (boundary === undefined) {
    answer.body.destroy();
    throw unknownError(502, "The other server gave its media in a way that is not understood.");
  }
  const { headers, content } = await secondPart(answer.body, boundary);
  const location = headers.get("location");
  if (location === undefined) return { content, content_type: headers.get("content-type"), file_name: fileName(headers.get("content-disposition")) };
  answer.body.destroy();
  return await elsewhere(parts.outgoing, location, limits);
}

/** Whether a server, or what stands before it, does not know the path that was asked: it says so, or what is no Matrix error. */
function isUnknownPath({ status = 0, errcode }: FederationError): boolean {
  return errcode === undefined ? status >= 400 && status < 500 : errcode === "M_UNRECOGNIZED";
}

/** Content that the other server keeps somewhere else: the address says all, so no signature goes there. */
async function elsewhere(outgoing: Outgoing, location: string, limits: Limits): Promise<RemoteMedia> {
  if (!URL.canParse(location)) throw unknownError(502, "The other server says that its media are at what is no address.");
  const answer = await outgoing.request(new URL(location), {
    maxBytes: limits.maxBytes,
    milliseconds: limits.timeoutMs + TRANSFER_MS,
    redirects: REDIRECTS,
    permits: ({ protocol }) => protocol === "https:",
  });
  if (answer.status === 200) return plain(answer);
  answer.body.destroy();
  throw unknownError(502, "The media are not where the other server says.");
}

const plain = ({ headers, body }: OutgoingAnswer): RemoteMedia => ({
  content: body,
  content_type: headers["content-type"],
  file_name: fileName(headers["content-disposition"]),
});

/** The name in a Content-Disposition header (RFC 6266). */
function fileName(header = ""): string | undefined {
  const encoded = /;\s*filename\*=utf-8''([^;\s]+)/i.exec(header)?.[1];
  if (encoded !== undefined) {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return undefined;
    }
  }
  const [, quoted, token] = /;\s*filename=(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))/i.exec(header) ?? [];
  return quoted?.replace(/\\(.)/g, "$1") ?? token;
}

/** Content whose failures are those that a client is to see. */
async function* translated(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (cause) {
    throw asMatrixError(cause);
  }
}

function asMatrixError(cause: unknown): MatrixError {
  if (cause instanceof MatrixError) return cause;
  if (cause instanceof OutgoingError && cause.failure === "too_large") {
    return new MatrixError(502, "M_TOO_LARGE", "The other server's media are too large for this one.", { cause });
  }
  if (cause instanceof FederationError && cause.errcode === "M_NOT_YET_UPLOADED") {
    return new MatrixError(504, "M_NOT_YET_UPLOADED", "The content of this URI is yet to be uploaded. Try again later.", { cause });
  }
  if (cause instanceof FederationError && !cause.isOutage) return notFound("The other server has no media under this URI, or gives them to nobody here.");
  return unknownError(502, "The other server could not give its media. Try again later.", cause);
}
