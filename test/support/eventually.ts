// Waits for what happens elsewhere.
import { setTimeout as sleep } from "node:timers/promises";

/** Waits until `condition` holds; what it gives then. Throws after `timeoutMs`, naming what was waited for. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(10);
  }
}
