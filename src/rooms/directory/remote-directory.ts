// The published rooms of other servers (server-server API, "Public room directory").
import { invalidParam, notFound, unknownError } from "../../errors.js";
import { FederationError } from "../../federation/client.js";
import { parseRoomAlias, parseRoomId, parseServerName, type ServerName } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import type { RoomContext } from "../context.js";
import type { DirectoryPage, DirectoryRequest } from "./directory.js";
import type { DirectoryRoom } from "./summary.js";

const TIMEOUT_MS = 20_000;
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_ROOMS = 500;

/**
 * A page of another server's directory, asked for in the name of one of ours. Throws M_INVALID_PARAM for what is no server name
 * or what the other server does not take, M_NOT_FOUND if it shows none, M_UNKNOWN 502 if it cannot be reached.
 */
export async function remoteDirectoryPage({ federation }: RoomContext, origin: ServerName, request: DirectoryRequest): Promise<DirectoryPage> {
  const destination = parseServerName(request.server);
  if (destination === undefined) throw invalidParam('"server" is no server name.');
  const { limit, since, filter, third_party_instance_id } = request;
  const body = {
    limit: Math.min(limit !== undefined && limit > 0 ? limit : MAX_ROOMS, MAX_ROOMS),
    ...(since !== undefined && { since }),
    ...(filter !== undefined && { filter: filter as JsonObject }),
    ...(third_party_instance_id !== undefined && { third_party_instance_id }),
  };
  const uri = "/_matrix/federation/v1/publicRooms";
  try {
    return pageIn(await federation.client.request({ origin, destination, method: "POST", uri, body, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES }));
  } catch (error) {
    if (!(error instanceof FederationError)) throw error;
    if (error.isOutage) throw unknownError(502, `${destination} could not be reached. Try again later.`, error);
    if (error.status === 400) throw invalidParam(`${destination} does not take this request.`);
    throw notFound(`${destination} shows no directory.`);
  }
}

function pageIn(answer: JsonObject): DirectoryPage {
  const chunk = own(answer, "chunk");
  const total = integerIn(answer, "total_room_count_estimate");
  const [next_batch, prev_batch] = [ownString(answer, "next_batch"), ownString(answer, "prev_batch")];
  return {
    chunk: (Array.isArray(chunk) ? chunk : []).slice(0, MAX_ROOMS).flatMap(roomIn),
    ...(next_batch !== undefined && { next_batch }),
    ...(prev_batch !== undefined && { prev_batch }),
    ...(total !== undefined && { total_room_count_estimate: total }),
  };
}

/** A room as it may be shown; nothing for what is none. */
function roomIn(value: JsonValue): DirectoryRoom[] {
  const room_id = isObject(value) ? parseRoomId(own(value, "room_id")) : undefined;
  if (!isObject(value) || room_id === undefined) return [];
  const canonical_alias = parseRoomAlias(own(value, "canonical_alias"));
  const texts = ["name", "topic", "avatar_url", "room_type"].flatMap((name) => {
    const text = ownString(value, name);
    return text === undefined ? [] : [[name, text] as const];
  });
  return [
    {
      room_id,
      num_joined_members: integerIn(value, "num_joined_members") ?? 0,
      world_readable: own(value, "world_readable") === true,
      guest_can_join: own(value, "guest_can_join") === true,
      join_rule: ownString(value, "join_rule") ?? "public",
      ...Object.fromEntries(texts),
      ...(canonical_alias !== undefined && { canonical_alias }),
    },
  ];
}

function integerIn(value: JsonObject, name: string): number | undefined {
  const number = own(value, name);
  return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
}
