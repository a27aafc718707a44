// What a database needs done now and then, by whichever process comes to it.
import type { Clock } from "../clock.js";
import type { Database } from "./database.js";
import { expireClaimedKeys } from "./device-keys.js";
import { expireDelayed } from "./delayed-events.js";
import { giveUpMessages } from "./destinations.js";
import { keepLogPartitions } from "./log-upkeep.js";
import { cutMessagePartition } from "./message-partitions.js";
import { overwriteRedacted } from "./redacted-contents.js";
import { expireExternal } from "./external-identities.js";
import { expireOauth } from "./oauth.js";
import { expireConnections } from "./sliding-connections.js";
import { collectSnapshots } from "./snapshot-upkeep.js";
import { expireStickyEvents } from "./sticky-events.js";
import { expireSentKeys, trimMessages } from "./to-device.js";
import { expireTransactionIds } from "./transaction-ids.js";

/** What is kept for servers that are away is given up when they have been for so long. */
const GIVE_UP_MS = 30 * 86_400_000;
/** What became of delayed events is told for so long. */
const DELAYED_MS = 7 * 86_400_000;
/** Clients of the OAuth 2.0 API that nobody uses are forgotten. */
const OAUTH_CLIENT_MS = 90 * 86_400_000;
/** Sessions at other providers are kept for so long, and while something of ours hangs on them. */
const EXTERNAL_SESSION_MS = 86_400_000;
/** Of what was sent to a device that was not seen for so long, only so many messages are kept. */
const UNSEEN_MS = 30 * 86_400_000;
const KEPT_MESSAGES = 10_000;
/** Deletions of one visit: what is left over waits for the next. */
const ROUNDS = 10;

/** What an operator decides about it. */
export interface HouseRules {
  /** How long the content of redacted events is kept; undefined: for ever. */
  readonly redactedContentDays: number | undefined;
}

const SECONDS_PER_DAY = 86_400;

/** Partitions ahead of and behind the log, this month's partition of message bodies, and what may be forgotten. */
export async function keepHouse(database: Database, clock: Clock, { redactedContentDays }: HouseRules): Promise<void> {
  await keepLogPartitions(database);
  await cutMessagePartition(database, new Date(clock.now()).toISOString().slice(0, 7));
  await expireOauth(database, clock.now(), clock.now() - OAUTH_CLIENT_MS);
  await expireExternal(database, clock.now(), clock.now() - EXTERNAL_SESSION_MS);
  await expireDelayed(database, clock.now() - DELAYED_MS);
  await giveUpMessages(database, clock.now() - GIVE_UP_MS);
  for (let round = 0; round < ROUNDS && (await expireTransactionIds(database)) > 0; round += 1);
  for (let round = 0; round < ROUNDS && (await expireStickyEvents(database, clock.now())) > 0; round += 1);
  for (let round = 0; round < ROUNDS && (await expireSentKeys(database)) > 0; round += 1);
  for (let round = 0; round < ROUNDS && (await trimMessages(database, clock.now() - UNSEEN_MS, KEPT_MESSAGES)) > 0; round += 1);
  for (let round = 0; round < ROUNDS && (await expireConnections(database)) > 0; round += 1);
  for (let round = 0; round < ROUNDS && (await expireClaimedKeys(database)) > 0; round += 1);
  for (let round = 0; round < ROUNDS && (await collectSnapshots(database)) > 0; round += 1);
  if (redactedContentDays === undefined) return;
  const grace = redactedContentDays * SECONDS_PER_DAY;
  for (let round = 0; round < ROUNDS && (await overwriteRedacted(database, grace)) > 0; round += 1);
}
