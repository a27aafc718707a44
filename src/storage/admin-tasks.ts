// Long work that administrators have asked for, done step by step by whichever process takes it up.
import type { Database, Tx } from "./database.js";
import type { Queryable, Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** A process that has not said for so long that it is still at work is taken for dead. */
const CLAIM = "interval '30 seconds'";

type AdminTaskStatus = "scheduled" | "active" | "complete" | "failed";

export interface AdminTask {
  readonly id: string;
  readonly action: string;
  readonly resource_id: string;
  /** JSON. */
  readonly params: string;
  readonly status: AdminTaskStatus;
  /** JSON: what has been done so far. */
  readonly result: string;
  readonly error: string | null;
  readonly created_ts: number;
}

const COLUMNS = "id, action, resource_id, params, status, result, error, created_ts";

const ADD: Statement = {
  name: "admin_tasks_add",
  text: "INSERT INTO admin_tasks (id, action, resource_id, params, result, created_ts) VALUES ($1, $2, $3, $4, $5, $6)",
};
const TAKE: Statement<AdminTask> = {
  name: "admin_tasks_take", // admin_tasks_open
  text: `UPDATE admin_tasks SET status = 'active', claimed_until = now() + ${CLAIM}
    WHERE id = (SELECT id FROM admin_tasks WHERE status IN ('scheduled', 'active') AND claimed_until < now()
      ORDER BY created_ts, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING ${COLUMNS}`,
};
const PROGRESS: Statement = {
  name: "admin_tasks_progress",
  text: `UPDATE admin_tasks SET result = $2, claimed_until = now() + ${CLAIM} WHERE id = $1`,
};
const FINISH: Statement = {
  name: "admin_tasks_finish",
  text: "UPDATE admin_tasks SET status = CASE WHEN $3::text IS NULL THEN 'complete' ELSE 'failed' END, result = $2, error = $3 WHERE id = $1",
};
const LIST: Statement<AdminTask> = {
  name: "admin_tasks_list",
  text: `SELECT ${COLUMNS} FROM admin_tasks
    WHERE ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR action = $2) AND ($3::text IS NULL OR resource_id = $3)
      AND ($4::text IS NULL OR status = $4) AND ($5::bigint IS NULL OR created_ts <= $5)
    ORDER BY created_ts DESC, id LIMIT 1000`,
};
const CLEAN: Statement = {
  name: "admin_tasks_clean",
  text: "DELETE FROM admin_tasks WHERE status IN ('complete', 'failed') AND created_ts < $1",
};

function decoded(task: AdminTask): AdminTask {
  return { ...task, resource_id: fromText(task.resource_id), error: task.error === null ? null : fromText(task.error) };
}

/** Asks for work. */
export async function addTask(
  tx: Queryable,
  task: Pick<AdminTask, "id" | "action" | "resource_id" | "params" | "result" | "created_ts">,
): Promise<void> {
  await tx.query(ADD, [task.id, task.action, toText(task.resource_id), task.params, task.result, task.created_ts]);
}

/** Takes the oldest work that no living process is at; undefined if there is none. */
export async function takeTask(database: Database): Promise<AdminTask | undefined> {
  const [row] = await database.write(TAKE, []);
  return row && decoded(row);
}

/** Notes what has been done, and that the process is still at work. */
export async function noteProgress(tx: Pick<Tx, "query">, id: string, result: string): Promise<void> {
  await tx.query(PROGRESS, [id, result]);
}

/** Ends work: with `error` it has failed. */
export async function finishTask(tx: Pick<Tx, "query">, id: string, result: string, error: string | undefined): Promise<void> {
  await tx.query(FINISH, [id, result, error === undefined ? null : toText(error)]);
}

/** The newest work that passes a filter, at most 1,000. */
export async function listTasks(
  reads: Reads,
  filter: {
    readonly id?: string | undefined;
    readonly action?: string | undefined;
    readonly resource_id?: string | undefined;
    readonly status?: string | undefined;
    readonly until?: number | undefined;
  },
): Promise<AdminTask[]> {
  const { id, action, resource_id, status, until } = filter;
  const resource = resource_id === undefined ? null : toText(resource_id);
  return (await reads.read(LIST, [id ?? null, action ?? null, resource, status ?? null, until ?? null])).map(decoded);
}

/** Forgets work that had ended and was asked for before a time. */
export async function cleanTasks(database: Database, before: number): Promise<void> {
  await database.write(CLEAN, [before]);
}
