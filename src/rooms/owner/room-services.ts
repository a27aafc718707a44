// What all rooms of a process share.
import type { Clock } from "../../clock.js";
import type { RoomId, ServerName } from "../../protocol/identifiers.js";
import type { SigningKey } from "../../protocol/signing.js";
import type { Committer } from "../../storage/committer.js";
import type { Database } from "../../storage/database.js";
import type { Interning } from "../../storage/interning.js";
import type { Numbers } from "../../storage/numbers.js";
import type { AskPolicyServer } from "./policy.js";
import type { RuleChanges } from "./rule-changes.js";

export interface RoomServices {
  readonly database: Database;
  readonly committer: Committer;
  readonly interning: Interning;
  readonly numbers: Numbers;
  readonly clock: Clock;
  readonly ruleChanges: RuleChanges;
  /** Asks the policy server of a room to sign an event. */
  readonly askPolicyServer: AskPolicyServer;
  /** Hears of a room whose history has many ends after something was received. */
  readonly noteEnds: (roomId: RoomId, ends: number) => void;
  /** Hears of the position of what another process wrote for this one. */
  readonly noteElsewhere: (position: number) => void;
  /** The key with which one of our servers signs; undefined for servers that are not ours. */
  readonly signingKey: (server: ServerName) => SigningKey | undefined;
}
