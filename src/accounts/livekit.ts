// Admission to the group calls of rooms, which a LiveKit server carries (MSC4195).
import { createHash } from "node:crypto";
import type { Config } from "../config.js";
import { badJson, forbidden, MatrixError, unknownError, unrecognized } from "../errors.js";
import { FederationError } from "../federation/client.js";
import type { Federation } from "../federation/federation.js";
import { logger } from "../log.js";
import { parseUserId, type RoomId, serverNameOf, type ServerName, type UserId } from "../protocol/identifiers.js";
import { stateTuple } from "../protocol/state-map.js";
import type { Interning } from "../storage/interning.js";
import { joinedAmong } from "../storage/memberships.js";
import type { AccountContext } from "./context.js";
import { openIdOwner } from "./user-tokens.js";

const log = logger("accounts");

/** After the public address. */
export const LIVEKIT_PATH = "/livekit/jwt";

/** The call of a whole room, for clients that name none. */
const ROOM_SLOT = "m.call#ROOM";
const USERINFO_MS = 10_000;
const USERINFO_BYTES = 65_536;
const SFU_SECONDS = 10;
/** Seconds that a room waits there for its first participant, and for another after the last one. */
const EMPTY_SECONDS = 300;
const DEPARTURE_SECONDS = 20;

export interface LivekitContext extends AccountContext {
  readonly federation: Pick<Federation, "client">;
  readonly interning: Interning;
}

export interface OpenIdToken {
  readonly access_token: string;
  readonly matrix_server_name: ServerName;
}

export interface Admission {
  readonly url: string;
  readonly jwt: string;
}

type Settings = NonNullable<Config["voip"]["livekit"]>;

const unauthorized = (): MatrixError => new MatrixError(401, "M_UNAUTHORIZED", "The OpenID token is not valid.");

/** Names at the LiveKit server: the same wherever they are reckoned. */
const hashOf = (...parts: readonly string[]): string => createHash("sha256").update(JSON.stringify(parts)).digest("base64").replace(/=+$/, "");

/** How LiveKit calls the call of a slot of a room. */
const roomNameOf = (room: RoomId, slot: string): string => hashOf(room, slot);

/**
 * Lets a member of a room into one of its calls. Throws M_UNRECOGNIZED where there is no LiveKit server, M_UNAUTHORIZED,
 * M_FORBIDDEN for who is not in the room, M_BAD_JSON for what would have to be sent for them later, 502 M_UNKNOWN.
 */
export async function admitMember(
  context: LivekitContext,
  token: OpenIdToken,
  room: RoomId,
  slot: string,
  member: { readonly id: string; readonly claimed_user_id: UserId; readonly claimed_device_id: string },
): Promise<Admission> {
  const settings = settingsOf(context);
  const user = await ownerOf(context, token);
  if (user !== member.claimed_user_id) throw unauthorized();
  return await admit(context, settings, user, room, slot, hashOf(user, member.claimed_device_id, member.id));
}

/** As `admitMember`, for clients that name neither slot nor membership. */
export async function admitDevice(context: LivekitContext, token: OpenIdToken, room: RoomId, device: string): Promise<Admission> {
  const settings = settingsOf(context);
  const user = await ownerOf(context, token);
  return await admit(context, settings, user, room, ROOM_SLOT, `${user}:${device}`);
}

/** Throws M_BAD_JSON for a client that wants its delayed events to be sent by the service: this server sends them by itself. */
export function requireNoDelegation({ delay_id, delay_timeout }: { readonly delay_id?: string | undefined; readonly delay_timeout?: number | undefined }): void {
  if ((delay_id ?? "") !== "" || (delay_timeout ?? 0) > 0) throw badJson("Delayed events cannot be delegated here.");
}

function settingsOf({ config }: Pick<AccountContext, "config">): Settings {
  const { livekit } = config.voip;
  if (livekit === undefined) throw unrecognized(404, "This server admits nobody to calls.");
  return livekit;
}

/** Whose OpenID token this is, as their server says. Throws M_UNAUTHORIZED, 502 M_UNKNOWN. */
async function ownerOf(context: LivekitContext, { access_token, matrix_server_name: server }: OpenIdToken): Promise<UserId> {
  const user = context.servers.isLocal(server) ? await openIdOwner(context, access_token).catch(refuse) : await remoteOwner(context, server, access_token);
  if (user === undefined || serverNameOf(user) !== server) throw unauthorized();
  return user;
}

/** M_UNKNOWN_TOKEN would tell the client that it has been logged out. */
function refuse(error: unknown): never {
  throw error instanceof MatrixError && error.status === 401 ? unauthorized() : error;
}

async function remoteOwner({ federation }: LivekitContext, destination: ServerName, token: string): Promise<UserId | undefined> {
  try {
    const uri = `/_matrix/federation/v1/openid/userinfo?${new URLSearchParams({ access_token: token }).toString()}`;
    const { sub } = await federation.client.unsigned({ destination, method: "GET", uri, timeoutMs: USERINFO_MS, maxBytes: USERINFO_BYTES });
    return parseUserId(sub);
  } catch (error) {
    if (!(error instanceof FederationError)) throw error;
    if (!error.isOutage) return undefined;
    throw unknownError(502, `${destination} does not say whose token this is. Try again later.`, error);
  }
}

async function admit(context: LivekitContext, settings: Settings, user: UserId, room: RoomId, slot: string, identity: string): Promise<Admission> {
  const tuple = stateTuple("m.room.member", user);
  const numbers = await context.interning.findTuples([tuple]);
  const { joined } = await joinedAmong(context.database, [room], numbers.get(tuple));
  if (joined === 0) throw forbidden("You are not in this room.");
  const name = roomNameOf(room, slot);
  const { AccessToken } = await import("livekit-server-sdk");
  // Users of other servers come into calls, but begin none here.
  if (context.servers.isLocal(serverNameOf(user))) await openCall(settings, name);
  const token = new AccessToken(settings.api_key, settings.api_secret, { identity, ttl: settings.token_seconds });
  token.addGrant({ roomJoin: true, room: name, roomCreate: false, canPublish: true, canSubscribe: true, canUpdateOwnMetadata: true });
  log.info({ user, room }, "a user was admitted to a call");
  return { url: settings.url, jwt: await token.toJwt() };
}

/** Makes sure that the LiveKit server has a room. */
async function openCall({ url, internal_url, api_key, api_secret }: Settings, name: string): Promise<void> {
  const { RoomServiceClient } = await import("livekit-server-sdk");
  const client = new RoomServiceClient((internal_url ?? url).replace(/^ws/, "http"), api_key, api_secret, { requestTimeout: SFU_SECONDS, failover: false });
  try {
    await client.createRoom({ name, emptyTimeout: EMPTY_SECONDS, departureTimeout: DEPARTURE_SECONDS });
  } catch (cause) {
    log.warn({ err: cause, url }, "the LiveKit server opened no room");
    throw unknownError(502, "The server of the calls cannot be reached at the moment. Try again later.", cause);
  }
}
