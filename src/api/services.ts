// What handlers are given to work with; wired in server.ts.
import type { AccountContext } from "../accounts/context.js";
import type { RemoteProfiles } from "../accounts/remote-profiles.js";
import type { AppServiceClient } from "../appservice/client.js";
import type { AppServices } from "../appservice/registration.js";
import type { Presence } from "../ephemeral/presence.js";
import type { Typing } from "../ephemeral/typing.js";
import type { Federation } from "../federation/federation.js";
import type { FederationSender } from "../federation/sender.js";
import type { MediaContext } from "../media/context.js";
import type { IdentityProviders } from "../oauth/identity-providers.js";
import type { AdminTasks } from "../rooms/admin-tasks.js";
import type { Backfills } from "../rooms/backfills.js";
import type { JoinsUnderWay } from "../rooms/joins-under-way.js";
import type { HierarchyCache } from "../rooms/hierarchy-cache.js";
import type { DelayedEvents } from "../rooms/delayed-events.js";
import type { InboundTransactions } from "../rooms/transactions.js";
import type { RoomOwners } from "../rooms/owner.js";
import type { RoomServices } from "../rooms/room-services.js";
import type { SearchIndex } from "../rooms/search-index.js";
import type { Bus } from "../storage/bus.js";
import type { LogFollower } from "../storage/log.js";
import type { SigningKeys } from "../storage/signing-keys.js";
import type { EventCache } from "../rooms/event-cache.js";
import type { SlidingDependencies } from "../sync/sliding/sliding-sync.js";

export interface Services extends AccountContext, MediaContext, RoomServices {
  readonly adminTasks: AdminTasks;
  readonly appservices: AppServices;
  readonly appserviceClient: AppServiceClient;
  readonly signingKeys: SigningKeys;
  readonly federation: Federation;
  readonly identityProviders: IdentityProviders;
  readonly remoteProfiles: RemoteProfiles;
  readonly sender: FederationSender;
  readonly transactions: InboundTransactions;
  readonly bus: Bus;
  readonly follower: LogFollower;
  readonly delayedEvents: DelayedEvents;
  readonly owners: RoomOwners;
  readonly events: EventCache;
  readonly backfills: Backfills;
  readonly joins: JoinsUnderWay;
  readonly hierarchies: HierarchyCache;
  readonly searchIndex: SearchIndex;
  readonly sync: SlidingDependencies;
  readonly typing: Typing;
  readonly presence: Presence;
}
