// Profiles of users of other servers: asked for when somebody wants to see one, and kept for a moment (server-server API,
// "Querying for information").
import { LRUCache } from "lru-cache";
import type { LocalServers } from "../config.js";
import { notFound, unknownError } from "../errors.js";
import { FederationError } from "../federation/client.js";
import type { Federation } from "../federation/federation.js";
import { serverNameOf, type UserId } from "../protocol/identifiers.js";
import type { JsonObject } from "../protocol/json.js";

const KEPT_MS = 60_000;
const MAX_PROFILES = 500;
/** As much as a profile may have (client-server API, "Profiles"), and its JSON. */
const MAX_BYTES = 128 * 1024;
const TIMEOUT_MS = 10_000;

interface Context {
  readonly federation: Federation;
  readonly servers: LocalServers;
}

export class RemoteProfiles {
  readonly #context: Context;
  readonly #known = new LRUCache<UserId, Promise<JsonObject>>({ max: MAX_PROFILES, ttl: KEPT_MS });

  constructor(context: Context) {
    this.#context = context;
  }

  /** The profile of a user of another server. Throws M_NOT_FOUND, M_UNKNOWN 502 if the server cannot be reached. */
  get(userId: UserId): Promise<JsonObject> {
    const known = this.#known.get(userId);
    if (known !== undefined) return known;
    const asked = this.#ask(userId);
    this.#known.set(userId, asked);
    // Only what was answered is kept.
    asked.catch(() => this.#known.delete(userId));
    return asked;
  }

  async #ask(userId: UserId): Promise<JsonObject> {
    const { federation, servers } = this.#context;
    const destination = serverNameOf(userId);
    const uri = `/_matrix/federation/v1/query/profile?user_id=${encodeURIComponent(userId)}`;
    const limits = { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES };
    try {
      const answer = await federation.client.request({ origin: servers.names[0], destination, method: "GET", uri, ...limits });
      return Object.fromEntries(Object.entries(answer).filter(([name, value]) => !isText(name) || typeof value === "string"));
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      if (error.isOutage) throw unknownError(502, `${destination} could not be reached. Try again later.`, error);
      throw notFound(`${destination} shows no profile of this user.`);
    }
  }
}

/** Whether a field of this name is text or not there at all. */
const isText = (name: string): boolean => name === "displayname" || name === "avatar_url" || name === "m.tz";
