// Who makes a request.
import type { DeviceId, UserId } from "../protocol/identifiers.js";

/** What an administrator has done to an account ("Account locking" and "Account suspension"; "expired": its time is over). */
export type Restriction = "locked" | "suspended" | "expired";

/** The application service that acts as one of its users. */
export interface ActingAppService {
  readonly id: string;
  /** Whether the rate limits count what it does as this user. */
  readonly rate_limited: boolean;
}

/** The rate limit of messages that a user has of their own; 0 a second is none. */
export interface OwnRateLimit {
  readonly per_second: number;
  readonly burst: number;
}

/** Who calls: the owner of the access token. */
export interface Requester {
  readonly user_id: UserId;
  readonly user_nid: number;
  /** Absent for tokens that belong to no device. */
  readonly device_id: DeviceId | undefined;
  readonly is_admin: boolean;
  readonly is_guest: boolean;
  readonly restriction?: Restriction | undefined;
  /** Nobody hears what they say, and they are not told. */
  readonly shadow_banned?: boolean | undefined;
  readonly rate_limit?: OwnRateLimit | undefined;
  /** The session came about through the OAuth 2.0 API. */
  readonly oauth?: boolean | undefined;
  readonly appservice?: ActingAppService | undefined;
}
