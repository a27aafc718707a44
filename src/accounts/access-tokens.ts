// Access tokens: making them, and finding whose one is.
import { createHash, hash, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.js";
import { unknownToken } from "../errors.js";
import { findAccessToken, noteFirstUse } from "../storage/access-tokens.js";
import type { Database } from "../storage/database.js";
import type { LogFollower } from "../storage/log.js";
import type { Requester } from "./requester.js";

const MAX_CACHED = 50_000;

/** They tell tools that look for leaked secrets what they have found. */
const PREFIXES = { access: "hsa", refresh: "hsr", login: "hsl", openid: "hso", code: "hsc", browser: "hsb", client: "hsi" } as const;

/** A new token: 256 random bits. */
export function newToken(kind: keyof typeof PREFIXES): string {
  return `${PREFIXES[kind]}_${randomBytes(32).toString("base64url")}`;
}

/** What is stored of a token. It is random, so that a plain hash gives nothing away. */
export function tokenDigest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

type FollowedLog = Pick<LogFollower, "healthy" | "subscribeToEntries">;

interface Known {
  readonly requester: Requester;
  readonly expires_ts: number | undefined;
  /** When the account ends, not the token. */
  readonly valid_until_ts: number | undefined;
}

/** Finds the owners of access tokens, and remembers them until it is told to forget. */
export class AccessTokens {
  private readonly database: Database;
  private readonly clock: Clock;
  private readonly known: LRUCache<string, Known>;
  private readonly ofUser = new Map<number, Set<string>>();
  private forgotten = 0;
  private log: FollowedLog | undefined;

  constructor(database: Database, clock: Clock) {
    this.database = database;
    this.clock = clock;
    this.known = new LRUCache<string, Known>({
      max: MAX_CACHED,
      dispose: ({ requester: { user_nid } }, key) => {
        const keys = this.ofUser.get(user_nid);
        keys?.delete(key);
        if (keys?.size === 0) this.ofUser.delete(user_nid);
      },
    });
  }

  /**
   * Forgets from now on what the log of all processes says has changed. While the log cannot be followed, nothing that is
   * remembered counts. Gives what ends it.
   */
  follow(log: FollowedLog): () => void {
    this.log = log;
    return log.subscribeToEntries((entries) => {
      if (entries === undefined) this.forgetAll();
      for (const { kind, user_nid, device } of entries ?? []) {
        if (kind === "invalidation" && user_nid !== undefined) this.forget(user_nid, device);
      }
    });
  }

  /** The owner of an access token. Throws M_UNKNOWN_TOKEN, with `soft_logout` if the token has only expired. */
  async authenticate(token: string): Promise<Requester> {
    const key = hash("sha256", token, "base64");
    const known = this.log?.healthy === false ? undefined : this.known.get(key);
    const { requester, expires_ts, valid_until_ts } = known ?? (await this.find(key));
    if (expires_ts !== undefined && expires_ts <= this.clock.now()) {
      throw unknownToken("This access token has expired: refresh it, or log in again.", true);
    }
    if (requester.restriction !== "locked" && valid_until_ts !== undefined && valid_until_ts <= this.clock.now()) {
      return { ...requester, restriction: "expired" };
    }
    return requester;
  }

  /** Forgets the tokens of a user, or of one device: something about them has changed. */
  forget(userNid: number, device?: string): void {
    this.forgotten++;
    for (const key of this.ofUser.get(userNid) ?? []) {
      if (device === undefined || this.known.peek(key)?.requester.device_id === device) this.known.delete(key);
    }
  }

  /** This process may have missed that something changed. */
  private forgetAll(): void {
    this.forgotten++;
    this.known.clear();
  }

  private async find(key: string): Promise<Known> {
    const before = this.forgotten;
    const stored = await findAccessToken(this.database, Buffer.from(key, "base64"));
    if (stored === undefined) throw unknownToken("This access token is not known: log in again.");
    const { nid, user_nid, user_id, device_id, is_admin, is_guest, locked, suspended, shadow_banned, valid_until_ts, expires_ts, replaces, oauth } = stored;
    const { messages_per_second: per_second, burst_count: burst = 0 } = stored;
    const rate_limit = per_second === undefined ? undefined : { per_second, burst: Math.max(1, burst) };
    const restriction = locked ? "locked" : suspended ? "suspended" : undefined;
    const requester: Requester = { user_id, user_nid, device_id, is_admin, is_guest, restriction, shadow_banned, rate_limit, ...(oauth && { oauth }) };
    if (replaces !== undefined) {
      await this.database.transaction(async (tx) => {
        await noteFirstUse(tx, nid, replaces);
        tx.append([{ kind: "invalidation", user_nid, device: device_id }]);
      });
      this.forget(user_nid, device_id);
      return { requester, expires_ts, valid_until_ts };
    }
    const found: Known = { requester, expires_ts, valid_until_ts };
    // What was read while something was forgotten may be what should be forgotten.
    if (this.forgotten === before) {
      this.known.set(key, found);
      const keys = this.ofUser.get(user_nid);
      if (keys === undefined) this.ofUser.set(user_nid, new Set([key]));
      else keys.add(key);
    }
    return found;
  }
}
