// Events in an order in which each comes after those that it refers to.
import type { RoomEvent } from "../../protocol/event.js";
import type { EventId } from "../../protocol/identifiers.js";

/** The events, each once, after those of them that `references` names for it. Chains may be long: nothing recurses. */
export function inOrder<One extends RoomEvent>(events: Iterable<One>, references: (event: One) => Iterable<EventId>): One[] {
  const byId = new Map([...events].map((event) => [event.event_id, event]));
  const ordered: One[] = [];
  const visited = new Set<EventId>();
  for (const first of byId.keys()) {
    const stack: { readonly id: EventId; readonly leave: boolean }[] = [{ id: first, leave: false }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const event = byId.get(top.id);
      if (event === undefined) continue;
      if (top.leave) {
        ordered.push(event);
        continue;
      }
      if (visited.has(top.id)) continue;
      visited.add(top.id);
      stack.push({ id: top.id, leave: true });
      for (const id of references(event)) stack.push({ id, leave: false });
    }
  }
  return ordered;
}
