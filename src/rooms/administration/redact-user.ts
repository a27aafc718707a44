// Redacts what a user has sent, for administrators.
import { MatrixError } from "../../errors.js";
import type { EventId, RoomId, UserId } from "../../protocol/identifiers.js";
import { eventsToRedact } from "../../storage/redact-user.js";
import type { RoomContext } from "../context.js";

/** Events of one step. */
const STEP = 500;

export interface UserRedaction {
  readonly user_id: UserId;
  readonly user_nid: number;
  /** Who redacts: the user, or an administrator who is in the rooms. */
  readonly sender: UserId;
  /** Where; everywhere the user has been if empty. */
  readonly rooms: readonly RoomId[];
  readonly reason?: string | undefined;
  /** At most so many events, the newest. */
  readonly limit: number;
}

export interface RedactionProgress {
  readonly redacted: number;
  /** The number of the last event that was looked at. */
  readonly before: number;
  readonly failed_redactions: Readonly<Record<string, string>>;
}

export const NOTHING_REDACTED: RedactionProgress = { redacted: 0, before: Number.MAX_SAFE_INTEGER, failed_redactions: {} };

/** Redacts a user's events from the newest on, as far as that has not been done yet; `note` keeps what has been. */
export async function redactUser(
  { database, owners }: RoomContext,
  redaction: UserRedaction,
  done: RedactionProgress,
  note: (progress: RedactionProgress) => Promise<void>,
): Promise<RedactionProgress> {
  const { user_nid, sender, rooms, reason, limit } = redaction;
  let progress = done;
  for (;;) {
    const failures: Record<string, string> = { ...progress.failed_redactions };
    const tried = progress.redacted + Object.keys(failures).length;
    const events = await eventsToRedact(database, user_nid, rooms, progress.before, Math.min(STEP, limit - tried));
    const last = events.at(-1);
    if (last === undefined) return progress;
    let redacted = progress.redacted;
    const attempt = async (room_id: RoomId, redacts: EventId): Promise<void> => {
      const content = reason === undefined ? {} : { reason };
      const [result] = await owners.submit(room_id, [{ type: "m.room.redaction", sender, content, redacts }]);
      if (result === undefined || "error" in result) failures[redacts] = result?.error.message ?? "unknown";
      else redacted += 1;
    };
    for (const { room_id, event_id } of events) {
      await attempt(room_id, event_id).catch((error: unknown) => {
        if (!(error instanceof MatrixError)) throw error;
        failures[event_id] = error.message;
      });
    }
    progress = { redacted, before: last.nid, failed_redactions: failures };
    await note(progress);
  }
}
