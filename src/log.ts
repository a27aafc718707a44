// Loggers, one per subsystem. They never carry a token, a body or an event's content. Lines about a request carry its id by
// being given it: an AsyncLocalStorage would make every promise of the process dearer, which waiting syncs feel most.
import { pino, type Logger } from "pino";

const root = pino({
  level: "info",
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
