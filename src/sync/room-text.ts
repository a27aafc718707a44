// A joined room in an answer of /sync as JSON text (client-server API, "Syncing", "JoinedRoom").
import type { StateAfter } from "./sync-request.js";

/** What is told of a room: JSON texts of events with commas between them, and of whole objects. */
export interface JoinedRoomTexts {
  readonly timeline: { readonly events: string; readonly limited: boolean; readonly prevBatch: string | undefined };
  /** The state at the start of the timeline, or at its end where the client calls it otherwise. */
  readonly state: string;
  readonly stateAfter: StateAfter | undefined;
  readonly accountData: string;
  readonly ephemeral: string;
  readonly sticky: string;
  readonly summary: string | undefined;
  /** The members with the counts. */
  readonly unread: string;
}

/** Sections without events are there as well: programs read them without asking. */
export function joinedRoomText({ timeline, state, stateAfter, accountData, ephemeral, sticky, summary, unread }: JoinedRoomTexts): string {
  const parts = [
    `"timeline":${timelineText(timeline)}`,
    `"${stateAfter ?? "state"}":{"events":[${state}]}`,
    `"account_data":{"events":[${accountData}]}`,
    `"ephemeral":{"events":[${ephemeral}]}`,
  ];
  if (sticky !== "") parts.push(`"msc4354_sticky":{"events":[${sticky}]}`);
  if (summary !== undefined) parts.push(`"summary":${summary}`);
  return `{${parts.join(",")},${unread}}`;
}

export function timelineText({ events, limited, prevBatch }: JoinedRoomTexts["timeline"]): string {
  const prev = prevBatch === undefined ? "" : `,"prev_batch":${JSON.stringify(prevBatch)}`;
  return `{"events":[${events}],"limited":${limited}${prev}}`;
}
