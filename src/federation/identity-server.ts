// What is asked of identity servers in the name of our users (identity service API): who has an address, and to keep an
// invitation for whoever proves to have it.
import { hash } from "node:crypto";
import { MatrixError } from "../errors.js";
import { type RoomId, parseUserId, type ServerName, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString, parseJson } from "../protocol/json.js";
import type { ThirdPartyId } from "../protocol/third-party-ids.js";
import { type Outgoing, OutgoingError } from "./outgoing.js";

const LIMITS = { maxBytes: 65_536, milliseconds: 15_000 };

/** An identity server, and the token that a user has there. */
export interface IdentityServer {
  readonly name: ServerName;
  readonly token: string;
}

/** What an invitation tells of itself. */
export interface InvitationDetails {
  readonly room_id: RoomId;
  readonly sender: UserId;
  readonly sender_display_name?: string | undefined;
  readonly sender_avatar_url?: string | undefined;
  readonly room_name?: string | undefined;
  readonly room_avatar_url?: string | undefined;
  readonly room_alias?: string | undefined;
  readonly room_join_rules?: string | undefined;
  readonly room_type?: string | undefined;
}

export interface StoredInvitation {
  readonly token: string;
  readonly display_name: string;
  readonly public_keys: readonly { readonly public_key: string; readonly key_validity_url: string }[];
}

/** The user whom an identity server knows by an address ("POST /lookup"). Throws M_UNKNOWN 502 where it does not answer. */
export async function lookUpThirdPartyId(
  outgoing: Outgoing,
  server: IdentityServer,
  { medium, address }: ThirdPartyId,
): Promise<UserId | undefined> {
  const details = await ask(outgoing, server, "/hash_details");
  const algorithms = own(details, "algorithms");
  const pepper = ownString(details, "lookup_pepper");
  if (!Array.isArray(algorithms) || pepper === undefined) throw unanswered(server.name);
  const isHashed = algorithms.includes("sha256");
  // Plain addresses are asked for only by those servers that take nothing else.
  if (!isHashed && !algorithms.includes("none")) throw unanswered(server.name);
  const asked = isHashed ? hash("sha256", `${address} ${medium} ${pepper}`, "base64url") : `${address} ${medium}`;
  const answer = await ask(outgoing, server, "/lookup", { addresses: [asked], algorithm: isHashed ? "sha256" : "none", pepper });
  const mappings = own(answer, "mappings");
  return isObject(mappings) ? parseUserId(ownString(mappings, asked)) : undefined;
}

/** Leaves an invitation with an identity server ("POST /store-invite"). Throws M_UNKNOWN 502 where it does not answer. */
export async function storeInvitation(
  outgoing: Outgoing,
  server: IdentityServer,
  { medium, address }: ThirdPartyId,
  details: InvitationDetails,
): Promise<StoredInvitation> {
  const answer = await ask(outgoing, server, "/store-invite", { ...details, medium, address });
  const token = ownString(answer, "token");
  const keys = own(answer, "public_keys");
  const public_keys = (Array.isArray(keys) ? keys : []).flatMap((key) => {
    const public_key = isObject(key) ? ownString(key, "public_key") : undefined;
    const key_validity_url = isObject(key) ? ownString(key, "key_validity_url") : undefined;
    return public_key === undefined ? [] : [{ public_key, key_validity_url: key_validity_url ?? validityUrl(server.name) }];
  });
  if (token === undefined || public_keys.length === 0) throw unanswered(server.name);
  return { token, public_keys, display_name: ownString(answer, "display_name") ?? "" };
}

function validityUrl(name: ServerName): string {
  return `https://${name}/_matrix/identity/v2/pubkey/isvalid`;
}

const unanswered = (name: ServerName, cause?: unknown): MatrixError =>
  new MatrixError(502, "M_UNKNOWN", `The identity server ${name} gave no answer that can be used.`, { cause });

async function ask(outgoing: Outgoing, { name, token }: IdentityServer, path: string, body?: object): Promise<JsonObject> {
  try {
    const answer = await outgoing.request(new URL(`https://${name}/_matrix/identity/v2${path}`), {
      ...LIMITS,
      headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
    });
    const chunks: Buffer[] = [];
    for await (const chunk of answer.body as AsyncIterable<Buffer>) chunks.push(chunk);
    const json = parseJson(Buffer.concat(chunks), { maxDepth: 20 });
    if (answer.status === 200 && isObject(json)) return json;
  } catch (error) {
    if (error instanceof OutgoingError || error instanceof MatrixError) throw unanswered(name, error);
    throw error;
  }
  throw unanswered(name);
}
