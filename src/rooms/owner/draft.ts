// What is asked of a room's owner, and what comes of it; both travel between processes as JSON.
import { MatrixError } from "../../errors.js";
import type { EventId, UserId } from "../../protocol/identifiers.js";
import type { JsonObject } from "../../protocol/json.js";
import type { Membership } from "../../protocol/membership.js";

/** An event to be: the owner adds what ties it to the room's history, checks it, and signs it. */
export interface RoomDraft {
  readonly type: string;
  readonly state_key?: string;
  /** A local user. */
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly redacts?: EventId;
  /** Now, if absent. */
  readonly origin_server_ts?: number;
  /** For how many milliseconds it is sticky (MSC4354). */
  readonly sticky_duration_ms?: number;
  /** For a membership: it is refused unless the user's present one is among these when its turn comes. */
  readonly while_membership?: readonly Membership[];
  /** Under which transaction id a client sends it: the same again gives the same event. */
  readonly transaction?: DraftTransaction;
}

export interface DraftTransaction {
  readonly device_id: string;
  readonly txn_id: string;
  /** The HTTP endpoint, as far as it tells transaction ids apart. */
  readonly endpoint: string;
}

/** What became of a draft: an event at a position of the log, or a refusal. */
export type DraftResult = { readonly event_id: EventId; readonly position: number } | { readonly error: MatrixError };

/** The event that came of a draft. Throws the refusal. */
export function accepted(result: DraftResult | undefined): { readonly event_id: EventId; readonly position: number } {
  if (result === undefined) throw new Error("the owner gave no result");
  if ("error" in result) throw result.error;
  return result;
}

type WireResult =
  | { readonly event_id: EventId; readonly position: number }
  | { readonly status: number; readonly errcode: string; readonly message: string; readonly extra: Readonly<Record<string, unknown>> };

/** Results as JSON, for the process that asked. */
export function resultsToJson(results: readonly DraftResult[]): WireResult[] {
  return results.map((result) => {
    if (!("error" in result)) return result;
    const { status, errcode, message, extra } = result.error;
    return { status, errcode, message, extra };
  });
}

/** Results out of another process's JSON. */
export function resultsFromJson(json: unknown): DraftResult[] {
  if (!Array.isArray(json)) throw new Error("another process gave no results");
  return json.map((result: WireResult) =>
    "event_id" in result
      ? result
      : { error: new MatrixError(result.status, result.errcode, result.message, { extra: { ...result.extra } }) },
  );
}
