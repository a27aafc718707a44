// Spaces and rooms of other servers, as these tell of them (server-server API, "GET /hierarchy").
import { FederationError } from "../../federation/client.js";
import { logger } from "../../log.js";
import { parseRoomAlias, parseRoomId, type RoomId, type ServerName } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import type { RoomContext } from "../context.js";
import { childrenIn, type SpaceChild } from "./space-children.js";
import type { RoomSummary } from "./summary.js";

const log = logger("hierarchy");

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 2 * 1024 * 1024;
/** Servers that are asked for one room. */
const MAX_TRIES = 3;
/** Children, and allowed rooms, of one room that are looked at. */
const MAX_LISTED = 1_000;

/** What another server tells of a room and of those below it. */
export interface RemoteTree {
  readonly summary: RoomSummary;
  readonly children: readonly SpaceChild[];
  readonly below: ReadonlyMap<RoomId, RoomSummary>;
  /** Rooms that nobody of the asking server can look at or join. */
  readonly inaccessible: ReadonlySet<RoomId>;
}

/** A room as one of some servers tells of it, asked in the name of ours; undefined if none does. Answers are kept a while. */
export async function remoteTree(
  { federation, servers, hierarchies }: Pick<RoomContext, "federation" | "servers" | "hierarchies">,
  origin: ServerName,
  roomId: RoomId,
  via: readonly ServerName[],
  suggestedOnly: boolean,
): Promise<RemoteTree | undefined> {
  const key = JSON.stringify([origin, roomId, suggestedOnly]);
  const cached = hierarchies.get(key);
  if (cached !== undefined) return treeIn(roomId, cached);
  const others = [...new Set(via)].filter((server) => !servers.isLocal(server) && federation.policy.allows(server));
  for (const destination of others.slice(0, MAX_TRIES)) {
    const uri = `/_matrix/federation/v1/hierarchy/${encodeURIComponent(roomId)}?suggested_only=${suggestedOnly}`;
    try {
      const answer = await federation.client.request({ origin, destination, method: "GET", uri, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES });
      const tree = treeIn(roomId, answer);
      if (tree === undefined) continue;
      hierarchies.set(key, answer);
      return tree;
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      log.info({ server: destination, room: roomId, reason: error.message }, "a server did not tell of a room");
    }
  }
  return undefined;
}

function treeIn(roomId: RoomId, answer: JsonObject): RemoteTree | undefined {
  const room = own(answer, "room");
  const summary = summaryIn(room);
  if (!isObject(room) || summary?.room_id !== roomId) return undefined;
  const below = listOf(answer, "children").flatMap((child) => summaryIn(child) ?? []);
  return {
    summary,
    children: summary.room_type === "m.space" ? childrenIn(own(room, "children_state"), MAX_LISTED) : [],
    below: new Map(below.map((child) => [child.room_id, child])),
    inaccessible: new Set(listOf(answer, "inaccessible_children").flatMap((id) => parseRoomId(id) ?? [])),
  };
}

function listOf(object: JsonObject, key: string): readonly JsonValue[] {
  const list = own(object, key);
  return Array.isArray(list) ? list.slice(0, MAX_LISTED) : [];
}

/** A summary as it may be shown; undefined for what is none. */
function summaryIn(value: JsonValue | undefined): RoomSummary | undefined {
  const room_id = isObject(value) ? parseRoomId(own(value, "room_id")) : undefined;
  if (!isObject(value) || room_id === undefined) return undefined;
  const canonical_alias = parseRoomAlias(own(value, "canonical_alias"));
  const texts = ["name", "topic", "avatar_url", "room_type", "room_version", "encryption"].flatMap((name) => {
    const text = ownString(value, name);
    return text === undefined ? [] : [[name, text] as const];
  });
  const members = own(value, "num_joined_members");
  const allowed = listOf(value, "allowed_room_ids").flatMap((id) => parseRoomId(id) ?? []);
  return {
    room_id,
    num_joined_members: typeof members === "number" && Number.isSafeInteger(members) ? members : 0,
    world_readable: own(value, "world_readable") === true,
    guest_can_join: own(value, "guest_can_join") === true,
    join_rule: ownString(value, "join_rule") ?? "public",
    ...Object.fromEntries(texts),
    ...(canonical_alias !== undefined && { canonical_alias }),
    ...(allowed.length > 0 && { allowed_room_ids: allowed }),
  };
}
