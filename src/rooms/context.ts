// What the operations on rooms work with.
import type { Clock } from "../clock.js";
import type { Config, LocalServers } from "../config.js";
import type { DeviceId, UserId } from "../protocol/identifiers.js";
import type { Bus } from "../storage/bus.js";
import type { Committer } from "../storage/committer.js";
import type { Database } from "../storage/database.js";
import type { Federation } from "../federation/federation.js";
import type { Interning } from "../storage/interning.js";
import type { Numbers } from "../storage/numbers.js";
import type { Backfills } from "./remote/backfills.js";
import type { JoinsUnderWay } from "./remote/joins-under-way.js";
import type { EventCache } from "./views/event-cache.js";
import type { HierarchyCache } from "./directory/hierarchy-cache.js";
import type { RoomOwners } from "./owner/owner.js";
import type { AskPolicyServer } from "./owner/policy.js";

export interface RoomContext {
  readonly config: Pick<Config, "rooms" | "server_notices">;
  readonly database: Database;
  readonly committer: Committer;
  readonly interning: Interning;
  readonly numbers: Numbers;
  readonly clock: Clock;
  readonly servers: LocalServers;
  readonly owners: RoomOwners;
  readonly federation: Federation;
  readonly events: EventCache;
  readonly backfills: Backfills;
  readonly joins: JoinsUnderWay;
  readonly hierarchies: HierarchyCache;
  readonly bus: Pick<Bus, "publish">;
  /** Asks the policy server of a room to sign an event. */
  readonly askPolicyServer: AskPolicyServer;
}

/** Which of our users acts or reads. */
export interface RoomUser {
  readonly user_id: UserId;
  readonly user_nid: number;
  readonly device_id: DeviceId | undefined;
  readonly is_guest: boolean;
  readonly is_admin: boolean;
  /** An administrator who looks after rooms: sees all of them, and all that happened in them. */
  readonly oversees?: boolean;
}
