// What administrators have done is told to the log: who, what, and to whom.
import type { Operation } from "../../spec/operation.js";
import { logger } from "../log.js";
import type { Request } from "./handler.js";

const log = logger("audit");

/** Parts of paths that let whoever knows them in. */
const SECRETS: ReadonlySet<string> = new Set(["token"]);

/** Notes an operation of an administrator that was carried out. Bodies stay out: they hold passwords and messages. */
export function audit({ operationId, method }: Operation, { auth, params, address }: Request<Operation>): void {
  const subject = Object.fromEntries(Object.entries(params).filter(([name]) => !SECRETS.has(name)));
  log.info({ admin: auth?.user_id, operation: operationId, method, subject, address }, "an administrator acted");
}
