// Which server a request comes from (server-server API, "Request Authentication").
import type { LocalServers } from "../config.js";
import { MatrixError, forbidden } from "../errors.js";
import type { ServerName } from "../protocol/identifiers.js";
import type { JsonValue } from "../protocol/json.js";
import { parseAuthorization, verifyRequest } from "../protocol/request-signing.js";
import type { FederationPolicy } from "./federation-policy.js";
import type { KeyRing } from "./key-ring.js";

/** A request as it came in. */
export interface ReceivedRequest {
  readonly method: string;
  /** The target exactly as sent. */
  readonly uri: string;
  readonly authorization: string;
  readonly content: JsonValue | undefined;
}

/** Another server, and which of ours it speaks to. */
export interface RemoteServer {
  readonly origin: ServerName;
  readonly destination: ServerName;
}

const unauthorized = (message: string): MatrixError => new MatrixError(401, "M_UNAUTHORIZED", message);

/**
 * The server that signed a request. `addressed` is which of ours it means where it does not say so. Throws M_UNAUTHORIZED, and
 * M_FORBIDDEN for servers with which we do not federate.
 */
export async function authenticateServer(
  { keyRing, servers, policy }: { readonly keyRing: KeyRing; readonly servers: LocalServers; readonly policy: FederationPolicy },
  { method, uri, authorization, content }: ReceivedRequest,
  addressed: ServerName,
): Promise<RemoteServer> {
  const credentials = parseAuthorization(authorization);
  if (credentials === undefined) throw unauthorized("This needs an Authorization header of the scheme X-Matrix.");
  const { origin, key, signature } = credentials;
  const destination = credentials.destination ?? addressed;
  if (!servers.isLocal(destination)) throw unauthorized(`This server is not ${destination}.`);
  // Nobody speaks to us in our own name: what our processes ask of each other has another door.
  if (servers.isLocal(origin)) throw unauthorized("A server does not ask itself.");
  if (!policy.allows(origin)) throw forbidden("This server does not federate with yours.");
  const publicKey = await keyRing.forRequest(origin, key);
  if (publicKey === undefined) throw unauthorized(`The key ${key} of ${origin} is not known here, or not valid any more.`);
  // What is signed names the destination always, also where the header leaves it out.
  const request = { method, uri, origin, destination, ...(content !== undefined && { content }) };
  if (!verifyRequest(request, publicKey, signature)) throw unauthorized("The signature of the request is not right.");
  return { origin, destination };
}
