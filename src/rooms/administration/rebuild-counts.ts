// Counts all that was ever said in a room again: the way back when stored counts are wrong or lost.
import { redactEvent } from "../../protocol/event-format.js";
import { isState, type RoomEvent, type StateEvent, storedEvent } from "../../protocol/event.js";
import { parseUserId, type RoomId, type ServerName, serverNameOf } from "../../protocol/identifiers.js";
import { ownString } from "../../protocol/json.js";
import { membershipIn } from "../../protocol/membership.js";
import { powerLevels } from "../../protocol/power-levels.js";
import { singledOut } from "../../protocol/push-evaluation.js";
import { roomVersion } from "../../protocol/room-version.js";
import { stateTuple, type StateTuple } from "../../protocol/state-map.js";
import { forgetCounts, type RunningNumbers, scopesOfRoom, type TimelineEvent, timelineFrom, writeCounts } from "../../storage/counts.js";
import type { Database } from "../../storage/database.js";
import type { Interning } from "../../storage/interning.js";
import { rulesOfUsers } from "../../storage/push-rules.js";
import { ThreadFollowers } from "../owner/thread-followers.js";
import { CountedRows, countMember, isJoin, type RoomCounting, ruledMember } from "../owner/unread-counts.js";

const PAGE = 500;
const CREATE = stateTuple("m.room.create", "");
const POWER_LEVELS = stateTuple("m.room.power_levels", "");

export interface RebuildServices {
  readonly database: Database;
  readonly interning: Interning;
  readonly isLocal: (server: ServerName) => boolean;
}

/**
 * Counts the events of a room again, in one transaction; its owner reads the room again after that. Rules of users, and who
 * follows threads, are taken as they are now. Throws Error for an unknown room.
 */
export async function rebuildCounts(
  services: RebuildServices,
  room: { readonly nid: number; readonly room_id: RoomId },
): Promise<void> {
  await services.database.transaction(async (tx) => {
    const version = roomVersion((await forgetCounts(tx, room.nid)) ?? "");
    if (version === undefined) throw new Error(`room ${room.room_id} is unknown, or its version is`);
    const scopes = new Map<number, RunningNumbers>();
    const counting: RoomCounting = { joined: 0, members: new Map(), joining: new Map(), pushed: new Map(), pushedJoining: new Map(), scopes, followers: new ThreadFollowers() };
    const state = new Map<StateTuple, { readonly row: TimelineEvent; readonly event: RoomEvent }>();
    const memberEvent = (id: string): RoomEvent | undefined => {
      const user = parseUserId(id);
      return user === undefined ? undefined : state.get(stateTuple("m.room.member", user))?.event;
    };
    for (let after = 0; ; ) {
      const page = (await timelineFrom(tx, room.nid, after, PAGE)).map((row) => ({
        row,
        event: storedEvent(version, row.event_id, row.json),
      }));
      if (page.length === 0) return;
      const nids = await prepare(services, room.room_id, counting, page.map(({ event }) => event));
      const roots = page.flatMap(({ row }) => (row.thread_root === null || counting.followers.of(row.thread_root) !== undefined ? [] : row.thread_root));
      const threads = await scopesOfRoom(services.database, room.nid, [...new Set(roots)]);
      for (const root of roots) {
        const followers = threads.get(root)?.followers ?? [];
        // They count from when they were in the room, not for being in it now.
        const then = followers.map(({ user_nid, user_id }) => [user_nid, { user_id, joined: isJoined(memberEvent(user_id)) }] as const);
        counting.followers.set(root, new Map(then));
      }
      const counts = new CountedRows();
      for (const { row, event } of page) {
        const tuple = isState(event) && isAsked(event) ? stateTuple(event.type, event.state_key) : undefined;
        const before = tuple === undefined ? undefined : state.get(tuple)?.event;
        if (tuple !== undefined) state.set(tuple, { row, event });
        const member = event.type === "m.room.member" ? nids.get(event.state_key ?? "") : undefined;
        if (member !== undefined) countMember(counting, member, before, event);
        const create = state.get(CREATE)?.event;
        if (create === undefined) throw new Error(`room ${room.room_id} does not begin with its create event`);
        counts.add(
          counting,
          {
            levels: powerLevels(version, create, state.get(POWER_LEVELS)?.event),
            member: (id) => (isJoined(memberEvent(id)) ? nids.get(id) : undefined),
            user: (id) => nids.get(id),
            displayName: (id) => ownString(memberEvent(id)?.content ?? {}, "displayname"),
          },
          {
            event,
            nid: row.nid,
            room_nid: room.nid,
            ordinal: row.ordinal,
            thread_root: row.thread_root,
            local_sender: services.isLocal(serverNameOf(event.sender)) ? row.sender_nid : undefined,
            joins: isJoin(event, before),
          },
        );
        if (row.redacted_by !== null) counts.uncount(row.nid);
        if (event.type !== "m.room.redaction") continue;
        // What is redacted counts as such from its redaction on, not before.
        for (const [key, slot] of state) {
          if (slot.row.redacted_by === row.nid) state.set(key, { ...slot, event: redactEvent(version, slot.event) });
        }
      }
      await writeCounts(tx, counts.rows());
      after = page.at(-1)?.row.ordinal ?? after;
    }
  });
}

/** Whether counting ever asks for a piece of state. */
function isAsked({ type, state_key }: StateEvent): boolean {
  return type === "m.room.member" || (state_key === "" && (type === "m.room.create" || type === "m.room.power_levels"));
}

function isJoined(event: RoomEvent | undefined): boolean {
  return event !== undefined && membershipIn(event.content) === "join";
}

/** Reads the rules of those who join in these events, and gives the numbers of members and of our users who are singled out. */
async function prepare(
  { database, interning, isLocal }: RebuildServices,
  roomId: RoomId,
  counting: RoomCounting,
  events: readonly RoomEvent[],
): Promise<Map<string, number>> {
  const names = new Set<string>();
  const joining = new Set<string>();
  for (const event of events) {
    for (const id of singledOut(event)) {
      const user = parseUserId(id);
      if (user === undefined) continue;
      if (event.type === "m.room.member" || isLocal(serverNameOf(user))) names.add(user);
    }
    if (event.type === "m.room.member" && isJoined(event)) joining.add(event.sender);
  }
  const nids = await interning.findUsers(names);
  const stored = await rulesOfUsers(database, [...joining].flatMap((id) => nids.get(id) ?? []));
  counting.joining = new Map(
    stored.flatMap((rules) => {
      const member = ruledMember(rules, roomId);
      return member === undefined ? [] : [[rules.user_nid, member] as const];
    }),
  );
  return nids;
}
