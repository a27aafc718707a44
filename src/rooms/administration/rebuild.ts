// Makes again what is derived from rooms' events: current state and the memberships of local users.
import { parseUserId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { isObject, type JsonValue, own } from "../../protocol/json.js";
import { membershipIn } from "../../protocol/membership.js";
import type { Database } from "../../storage/database.js";
import type { Interning } from "../../storage/interning.js";
import { holdRoom, replaceRoomState, roomsAfter } from "../../storage/rebuild.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import { stateAtSnapshot, type StateEventEntry } from "../../storage/state.js";

/**
 * Rebuilds the current state and the memberships of all rooms out of their last snapshots, one room after the other, while
 * the server may run. Gives the number of rooms.
 */
export async function rebuildRooms(
  services: {
    readonly database: Database;
    readonly interning: Interning;
    readonly isLocal: (server: ServerName) => boolean;
  },
  progress: (rooms: number) => void = () => undefined,
): Promise<number> {
  let rooms = 0;
  let last = 0;
  for (;;) {
    const page = await roomsAfter(services.database, last);
    if (page.length === 0) return rooms;
    for (const roomNid of page) await rebuildRoom(services, roomNid);
    last = page.at(-1) ?? last;
    rooms += page.length;
    progress(rooms);
  }
}

async function rebuildRoom(
  { database, interning, isLocal }: Parameters<typeof rebuildRooms>[0],
  roomNid: number,
): Promise<void> {
  await database.transaction(async (tx) => {
    const snapshot = await holdRoom(tx, roomNid);
    const entries = await stateAtSnapshot({ read: (statement, values) => tx.query(statement, values) }, snapshot);
    const members = entries.flatMap((entry) => memberOf(entry) ?? []);
    const users = await interning.users(members.map(({ user }) => user));
    const types = await interning.types(entries.map(({ type }) => type));
    const byTuple = new Map(members.map((member) => [member.entry.tuple_nid, member]));
    const state = entries.map((entry) => {
      const member = byTuple.get(entry.tuple_nid);
      return {
        room_nid: roomNid,
        tuple_nid: entry.tuple_nid,
        event_nid: entry.event_nid,
        type_nid: nidOf(types, entry.type),
        position: entry.position,
        user_nid: member === undefined ? null : nidOf(users, member.user),
        membership: member?.membership ?? null,
      };
    });
    const memberships = members.flatMap(({ user, membership, entry }) => {
      if (membership === null || !isLocal(serverNameOf(user))) return [];
      const { event_nid, position } = entry;
      return [{ user_nid: nidOf(users, user), room_nid: roomNid, membership, event_nid, position }];
    });
    await replaceRoomState(tx, roomNid, state, memberships);
  });
}

function memberOf(entry: StateEventEntry) {
  const user = entry.type === "m.room.member" ? parseUserId(entry.state_key) : undefined;
  if (user === undefined) return undefined;
  const json: JsonValue = JSON.parse(entry.json);
  const content = isObject(json) ? own(json, "content") : undefined;
  const membership = isObject(content) ? membershipIn(content) : undefined;
  return { user, entry, membership: membership === undefined ? null : MEMBERSHIPS[membership] };
}

function nidOf(nids: ReadonlyMap<string, number>, name: string): number {
  const nid = nids.get(name);
  if (nid === undefined) throw new Error("a name was not interned");
  return nid;
}
