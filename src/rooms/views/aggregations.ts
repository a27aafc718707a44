// What the events that relate to an event add to it for one reader (client-server API, "Aggregations of child events").
import { isState } from "../../protocol/event.js";
import { isObject, own } from "../../protocol/json.js";
import { type Child, eventsHavingChildren, lastChildren, replacementsOf } from "../../storage/relations.js";
import type { Reads } from "../../storage/statement.js";
import { threadNumbers } from "../../storage/threads.js";
import type { Aggregation, Aggregations, EventReader, ShownEvent } from "./client-event.js";
import type { ReadEvent } from "./event-cache.js";
import { ignoredUsers } from "../ignored-users.js";
import { type VisibilityServices, visibleEvents } from "./visibility.js";

/** So many references to an event are listed, the last ones: a poll may have thousands. */
const MAX_REFERENCES = 100;
/** So far back the latest event of a thread that the reader may see is looked for. */
const MAX_HIDDEN = 100;

/** What reading the aggregations of a page needs. */
interface Reading {
  readonly services: VisibilityServices;
  readonly reads: Reads;
  readonly reader: EventReader;
  readonly ignored: readonly number[];
}

type Thread = Aggregation["thread"];

/**
 * The aggregations of a page of events: of what the reader may see, without what users sent whom the reader ignores. State
 * events have none. One statement for a page that nothing relates to; else a constant number, whatever the number of events.
 */
export async function aggregationsOf(
  services: VisibilityServices,
  reads: Reads,
  reader: EventReader,
  page: readonly ReadEvent[],
): Promise<Aggregations> {
  const messages = page.filter(({ event }) => !isState(event));
  if (messages.length === 0) return new Map();
  const types = await services.interning.findTypes(["m.reference", "m.replace", "m.thread"]);
  const nids = messages.map(({ row }) => row.nid);
  const parents = await eventsHavingChildren(reads, nids, [...types.values()]);
  if (parents.size === 0) return new Map();

  const ignored = await ignoredUsers(services.interning, reads, reader.user_nid);
  const reading: Reading = { services, reads, reader, ignored };
  const related = messages.filter(({ row }) => parents.has(row.nid));
  const threads = await threadsOf(reading, related, types.get("m.thread"));
  const latest = [...threads.values()].flatMap((thread) => thread?.latest.read ?? []);
  const wanted = [...new Set([...related, ...latest].map(({ row }) => row.nid))];
  const { replacements, references } = await childrenOf(reading, wanted, types.get("m.replace"), types.get("m.reference"));

  const found = new Map<number, Aggregation>();
  for (const nid of wanted) {
    const thread = threads.get(nid);
    const replacement = replacements.get(nid)?.find(({ read }) => replaces(read) && !ignored.includes(read.row.sender_nid));
    const children = references.get(nid) ?? [];
    if (thread === undefined && replacement === undefined && children.length === 0) continue;
    found.set(nid, { thread, replacement, references: children.map(({ read }) => read.event.event_id).toReversed() });
  }
  return found;
}

/** Of an encrypted replacement only those who can read it know whether it is valid. */
function replaces({ event }: ReadEvent): boolean {
  return event.type === "m.room.encrypted" || isObject(own(event.content, "m.new_content"));
}

/** The replacements and references of events, as far as the reader may see them, the most recent first. */
async function childrenOf(
  { services, reads, reader, ignored }: Reading,
  nids: readonly number[],
  replace: number | undefined,
  reference: number | undefined,
): Promise<Record<"replacements" | "references", ReadonlyMap<number, readonly ShownEvent[]>>> {
  const [replacements, references] = await Promise.all([
    replace === undefined ? [] : replacementsOf(reads, nids, replace),
    reference === undefined ? [] : lastChildren(reads, nids, reference, ignored, MAX_REFERENCES),
  ]);
  const shown = await shownChildren(services, reads, reader, [...replacements, ...references]);
  return { replacements: byParent(replacements, shown), references: byParent(references, shown) };
}

async function shownChildren(
  services: VisibilityServices,
  reads: Reads,
  reader: EventReader,
  children: readonly Child[],
): Promise<Map<number, ShownEvent>> {
  const events = await services.events.get(
    reads,
    children.map(({ nid }) => nid),
  );
  const visible = await visibleEvents(services, reads, reader, [...events.values()]);
  return new Map(
    [...visible].flatMap(([nid, membership]) => {
      const read = events.get(nid);
      return read === undefined ? [] : [[nid, { read, membership }] as const];
    }),
  );
}

/** The events of children that are shown, in the order of the children. */
function byParent(children: readonly Child[], shown: ReadonlyMap<number, ShownEvent>): Map<number, ShownEvent[]> {
  const lists = new Map<number, ShownEvent[]>();
  for (const { parent, nid } of children) {
    const child = shown.get(nid);
    if (child === undefined) continue;
    const list = lists.get(parent);
    if (list === undefined) lists.set(parent, [child]);
    else list.push(child);
  }
  return lists;
}

/**
 * The threads that these events are roots of. Where the reader may not see the latest event, the latest is one that they may
 * see, and those after it do not count.
 */
async function threadsOf(
  { services, reads, reader, ignored }: Reading,
  events: readonly ReadEvent[],
  type: number | undefined,
): Promise<ReadonlyMap<number, Thread>> {
  const roots = new Map(events.map(({ row }) => [row.nid, row]));
  const numbers = await threadNumbers(reads, [...roots.keys()], reader.user_nid, ignored);
  const threads = new Map<number, Thread>();
  if (type === undefined || numbers.size === 0) return threads;
  let open = [...numbers.keys()];
  for (const depth of [1, MAX_HIDDEN]) {
    const last = open.length === 0 ? [] : await lastChildren(reads, open, type, ignored, depth);
    const shown = await shownChildren(services, reads, reader, last);
    const hidden = new Map<number, number>();
    for (const { parent, nid } of last) {
      const latest = shown.get(nid);
      const thread = numbers.get(parent);
      if (thread === undefined || threads.has(parent)) continue;
      const before = hidden.get(parent) ?? 0;
      hidden.set(parent, before + 1);
      if (latest === undefined) continue;
      const participated = thread.participated || roots.get(parent)?.sender_nid === reader.user_nid;
      threads.set(parent, { latest, count: thread.events - before, participated });
    }
    open = open.filter((root) => !threads.has(root));
  }
  return threads;
}
