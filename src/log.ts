// Loggers, one per subsystem. They never carry a token, a body or an event's content.
import { AsyncLocalStorage } from "node:async_hooks";
import { pino, type Logger } from "pino";

/** What every line written while a request is served carries. */
export interface RequestContext {
  readonly request_id: string;
  user?: string;
}

export const requestContext = new AsyncLocalStorage<RequestContext>();

const root = pino({
  level: "info",
  mixin: () => ({ ...requestContext.getStore() }),
  redact: { paths: ["access_token", "password", "token", "headers.authorization"], censor: "[removed]" },
});

const children: Logger[] = [];

/** A logger whose lines carry `subsystem`. */
export function logger(subsystem: string): Logger {
  const child = root.child({ subsystem });
  children.push(child);
  return child;
}

/** Sets the level of all loggers: the configuration is known only after some of them exist. */
export function setLogLevel(level: string): void {
  root.level = level;
  for (const child of children) child.level = level;
}
