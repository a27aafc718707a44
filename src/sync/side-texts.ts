// What is not of a room's history, as JSON text in an answer: ephemeral events, account data, presence, and unread counts.
import type { SideEvent, UnreadCounts } from "../ephemeral/side-streams.js";
import { completeEvent } from "../protocol/client-event.js";
import type { EventTest } from "../protocol/filter.js";
import { isObject, type JsonValue } from "../protocol/json.js";

/** Those of some events that a filter lets through. */
export function sideEvents(events: readonly SideEvent[], test: EventTest | undefined): string {
  return events
    .filter(({ type, content, sender }) => {
      if (test === undefined) return true;
      const parsed: JsonValue = JSON.parse(content);
      return test({ type, content: isObject(parsed) ? parsed : {}, ...(sender !== undefined && { sender }) });
    })
    .map(({ type, content, sender }) => {
      const from = sender === undefined ? "" : `,"sender":${JSON.stringify(sender)}`;
      return completeEvent(`{"type":${JSON.stringify(type)},"content":${content}${from}`, {});
    })
    .join(",");
}

/** A room's counts, also by thread where the client asked for that. */
export function unreadText(counts: UnreadCounts | undefined, threads: boolean): string {
  const { notification_count = 0, highlight_count = 0 } = counts ?? {};
  const text = `"unread_notifications":{"notification_count":${notification_count},"highlight_count":${highlight_count}}`;
  if (!threads) return text;
  const perThread = Object.fromEntries(counts?.threads ?? []);
  if (Object.keys(perThread).length === 0) return text;
  return `${text},"unread_thread_notifications":${JSON.stringify(perThread)}`;
}
