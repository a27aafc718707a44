// Numbers for Prometheus: one function for each thing that happens. Labels have few values: never a user, room or address.
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

const registry = new Registry();

const requests = new Histogram({
  name: "hansa_request_seconds",
  help: "Requests served, by operation and status.",
  labelNames: ["operation", "status"],
  buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
  registers: [registry],
});

const limited = new Counter({
  name: "hansa_rate_limited_total",
  help: "Requests refused by a rate limit.",
  labelNames: ["operation"],
  registers: [registry],
});

const open = new Gauge({ name: "hansa_open_requests", help: "Requests being served.", registers: [registry] });

/** A request has come; call what is returned when it has been answered. */
export function requestStarted(): (operation: string, status: number) => void {
  open.inc();
  const start = performance.now();
  return (operation, status) => {
    open.dec();
    requests.observe({ operation, status }, (performance.now() - start) / 1000);
    if (status === 429) limited.inc({ operation });
  };
}

const sockets = new Gauge({ name: "hansa_open_websockets", help: "Authenticated WebSockets of clients.", registers: [registry] });

/** A WebSocket was opened; call what is returned when it is closed. */
export function socketOpened(): () => void {
  sockets.inc();
  return () => sockets.dec();
}

const notifications = new Counter({
  name: "hansa_push_notifications_total",
  help: "Notifications sent to push gateways, by what became of them.",
  labelNames: ["outcome"],
  registers: [registry],
});

/** A push gateway was sent a notification. */
export function notificationSent(outcome: "taken" | "rejected" | "refused" | "failed"): void {
  notifications.inc({ outcome });
}

const caches = new Map<string, () => number>();
const cacheBytes = new Gauge({
  name: "hansa_cache_bytes",
  help: "Memory of the large caches, by estimate.",
  labelNames: ["cache"],
  registers: [registry],
  collect() {
    for (const [cache, bytes] of caches) this.set({ cache }, bytes());
  },
});

/** Has the size of a cache reported, in the place of an earlier one of this name. */
export function cacheReported(cache: string, bytes: () => number): void {
  caches.set(cache, bytes);
  cacheBytes.set({ cache }, bytes());
}

let defaults = false;

/** All numbers in Prometheus' text format. The process's own (memory, event loop) are collected from the first call on. */
export async function metricsText(): Promise<{ readonly type: string; readonly text: string }> {
  if (!defaults) {
    defaults = true;
    collectDefaultMetrics({ register: registry });
  }
  return { type: registry.contentType, text: await registry.metrics() };
}
