// Does the long work that administrators have asked for: one piece after the other, in whichever process takes it up. What a
// process that died was at is taken up again where it had come to.
import { randomBytes } from "node:crypto";
import { MatrixError } from "../../errors.js";
import { logger } from "../../log.js";
import { RepeatedWork } from "../../repeated-work.js";
import { addTask, cleanTasks, finishTask, noteProgress, takeTask, type AdminTask } from "../../storage/admin-tasks.js";
import { deleteRoom, NOTHING_DONE, type DeletionProgress, type RoomDeletion } from "./purge.js";
import { purgeHistory, NOTHING_PURGED, type HistoryPurge, type PurgeProgress } from "./purge-history.js";
import { redactUser, NOTHING_REDACTED, type RedactionProgress, type UserRedaction } from "./redact-user.js";
import type { ThirdPartyInviteContext } from "../membership/third-party-invite.js";

const log = logger("rooms");

/** Work that another process left behind is looked for so often. */
const LOOK_EVERY_MS = 10_000;
/** How long it is told what became of work. */
const KEPT_MS = 7 * 86_400_000;

export class AdminTasks implements AsyncDisposable {
  readonly #context: ThirdPartyInviteContext;
  readonly #work: RepeatedWork;

  constructor(context: ThirdPartyInviteContext) {
    this.#context = context;
    this.#work = new RepeatedWork(
      LOOK_EVERY_MS,
      (stopping) => this.#doAll(stopping),
      (error) => log.warn({ err: error }, "the work of administrators could not be gone on with"),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work[Symbol.asyncDispose]();
  }

  /** Asks for a room to be deleted; gives the id by which its progress can be asked for. */
  async deleteRoom(deletion: RoomDeletion): Promise<string> {
    return await this.#add("delete_room", deletion.room_id, deletion, NOTHING_DONE);
  }

  /** Asks for what a user has sent to be redacted; gives the id by which its progress can be asked for. */
  async redactUser(redaction: UserRedaction): Promise<string> {
    return await this.#add("redact_all_events", redaction.user_id, redaction, NOTHING_REDACTED);
  }

  /** Asks for old messages of a room to be purged; gives the id by which its progress can be asked for. */
  async purgeHistory(purge: HistoryPurge): Promise<string> {
    return await this.#add("purge_history", purge.room_id, purge, NOTHING_PURGED);
  }

  async #add(action: string, resource_id: string, params: object, result: object): Promise<string> {
    const { clock, database } = this.#context;
    const id = randomBytes(12).toString("base64url");
    const task = { id, action, resource_id, params: JSON.stringify(params), result: JSON.stringify(result), created_ts: clock.now() };
    await database.transaction((tx) => addTask(tx, task));
    this.#work.wake();
    return id;
  }

  async #doAll(stopping: AbortSignal): Promise<void> {
    const { clock, database } = this.#context;
    await cleanTasks(database, clock.now() - KEPT_MS);
    while (!stopping.aborted) {
      const task = await takeTask(database);
      if (task === undefined) return;
      await this.#do(task, stopping);
    }
  }

  async #do(task: AdminTask, stopping: AbortSignal): Promise<void> {
    const { database } = this.#context;
    let result = task.result;
    const note = async (progress: object): Promise<void> => {
      result = JSON.stringify(progress);
      if (stopping.aborted) throw new Error("the server stops: another process goes on with this work");
      await database.transaction((tx) => noteProgress(tx, task.id, result));
    };
    try {
      // What was stored here was written by the methods above.
      if (task.action === "delete_room") {
        await note(await deleteRoom(this.#context, JSON.parse(task.params) as RoomDeletion, JSON.parse(result) as DeletionProgress, note));
      } else if (task.action === "purge_history") {
        await note(await purgeHistory(this.#context, JSON.parse(task.params) as HistoryPurge, JSON.parse(result) as PurgeProgress, note));
      } else {
        await note(await redactUser(this.#context, JSON.parse(task.params) as UserRedaction, JSON.parse(result) as RedactionProgress, note));
      }
      await database.transaction((tx) => finishTask(tx, task.id, result, undefined));
      log.info({ task: task.id, action: task.action, resource: task.resource_id }, "the work of an administrator is done");
    } catch (error) {
      // Only a refusal is final. Whatever else went wrong, the claim runs out and somebody tries again.
      if (!(error instanceof MatrixError) || error.status >= 500) throw error;
      log.warn({ err: error, task: task.id, action: task.action }, "the work of an administrator has failed");
      await database.transaction((tx) => finishTask(tx, task.id, result, error.message));
    }
  }
}
