// Questions about keys to other servers, asked again when the network fails: a client that is told of a failure encrypts its
// next message without the devices of that server, and these can never read it.
import { setTimeout as sleep } from "node:timers/promises";
import { FederationError, type FederationRequest } from "../federation/client.js";
import type { JsonObject } from "../protocol/json.js";
import type { EncryptionContext } from "./context.js";

/** In milliseconds: a server that nobody reaches is given up after that, long before a slow one is. */
const PAUSES_MS = [200, 800, 2_500];

/**
 * What another server answers (server-server API, "End-to-End Encryption"), asked up to four times within `timeoutMs`
 * milliseconds while it cannot be reached or fails. The question must be one that may arrive twice. Throws FederationError.
 */
export async function askPersistently(
  { clock, federation, servers }: Pick<EncryptionContext, "clock" | "federation" | "servers">,
  question: Omit<FederationRequest, "origin" | "timeoutMs">,
  timeoutMs: number,
): Promise<JsonObject> {
  const deadline = clock.monotonic() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await federation.client.request({ ...question, origin: servers.names[0], timeoutMs: Math.max(1, Math.round(deadline - clock.monotonic())) });
    } catch (error) {
      const pause = PAUSES_MS[attempt];
      const isOutage = error instanceof FederationError && error.isOutage && error.status !== 429;
      if (!isOutage || pause === undefined || clock.monotonic() + pause >= deadline) throw error;
      await sleep(pause);
    }
  }
}
