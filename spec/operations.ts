// All operations that exist, by module of the specification.
import * as appserviceQueries from "./appservice/queries.js";
import * as appserviceThirdParty from "./appservice/third-party.js";
import * as appserviceTransactions from "./appservice/transactions.js";
import * as adminDevices from "./admin/devices.js";
import * as adminJoins from "./admin/joins.js";
import * as adminMedia from "./admin/media.js";
import * as adminRegister from "./admin/register.js";
import * as adminRegistrationTokens from "./admin/registration-tokens.js";
import * as adminReports from "./admin/reports.js";
import * as adminRooms from "./admin/rooms.js";
import * as adminServer from "./admin/server.js";
import * as adminServerNotices from "./admin/server-notices.js";
import * as adminUsers from "./admin/users.js";
import * as account from "./client/account.js";
import * as accountDetails from "./client/account-details.js";
import * as accountPages from "./client/account-pages.js";
import * as accountData from "./client/account-data.js";
import * as admin from "./client/admin.js";
import * as appservice from "./client/appservice.js";
import * as capabilities from "./client/capabilities.js";
import * as createRoom from "./client/create-room.js";
import * as dehydratedDevices from "./client/dehydrated-devices.js";
import * as delayedEvents from "./client/delayed-events.js";
import * as devices from "./client/devices.js";
import * as directory from "./client/directory.js";
import * as fallbackPages from "./client/fallback-pages.js";
import * as filter from "./client/filter.js";
import * as keyBackup from "./client/key-backup.js";
import * as keys from "./client/keys.js";
import * as livekit from "./client/livekit.js";
import * as login from "./client/login.js";
import * as media from "./client/media.js";
import * as membership from "./client/membership.js";
import * as mutualRooms from "./client/mutual-rooms.js";
import * as notifications from "./client/notifications.js";
import * as oauth from "./client/oauth.js";
import * as oldSync from "./client/old-sync.js";
import * as openid from "./client/openid.js";
import * as presence from "./client/presence.js";
import * as profile from "./client/profile.js";
import * as pushRules from "./client/push-rules.js";
import * as pushers from "./client/pushers.js";
import * as receipts from "./client/receipts.js";
import * as registration from "./client/registration.js";
import * as relations from "./client/relations.js";
import * as rendezvous from "./client/rendezvous.js";
import * as reportContent from "./client/report-content.js";
import * as roomEvents from "./client/room-events.js";
import * as roomUpgrades from "./client/room-upgrades.js";
import * as search from "./client/search.js";
import * as send from "./client/send.js";
import * as slidingSync from "./client/sliding-sync.js";
import * as spaces from "./client/spaces.js";
import * as sync from "./client/sync.js";
import * as thirdParty from "./client/third-party.js";
import * as thirdPartyIdentifiers from "./client/third-party-identifiers.js";
import * as threadSubscriptions from "./client/thread-subscriptions.js";
import * as toDevice from "./client/to-device.js";
import * as typing from "./client/typing.js";
import * as unsubscribe from "./client/unsubscribe.js";
import * as userDirectory from "./client/user-directory.js";
import * as validationPages from "./client/validation-pages.js";
import * as versions from "./client/versions.js";
import * as voip from "./client/voip.js";
import * as websocket from "./client/websocket.js";
import * as wellknown from "./client/wellknown.js";
import * as federationDevices from "./federation/devices.js";
import * as federationDirectory from "./federation/directory.js";
import * as federationEvents from "./federation/events.js";
import * as federationHierarchy from "./federation/hierarchy.js";
import * as federationInvites from "./federation/invites.js";
import * as federationJoins from "./federation/joins.js";
import * as federationKeys from "./federation/keys.js";
import * as federationLeaves from "./federation/leaves.js";
import * as federationMedia from "./federation/media.js";
import * as federationOpenid from "./federation/openid.js";
import * as federationPolicy from "./federation/policy.js";
import * as federationQuery from "./federation/query.js";
import * as federationServer from "./federation/server.js";
import * as federationTransactions from "./federation/transactions.js";
import type { AskedOperation, Operation } from "./operation.js";
import { notify } from "./push/notify.js";

export const operations: readonly Operation[] = [
  adminRegister,
  account,
  accountDetails,
  accountPages,
  accountData,
  admin,
  adminDevices,
  adminJoins,
  adminMedia,
  adminRegistrationTokens,
  adminReports,
  adminRooms,
  adminServer,
  adminServerNotices,
  adminUsers,
  appservice,
  capabilities,
  createRoom,
  dehydratedDevices,
  delayedEvents,
  devices,
  directory,
  fallbackPages,
  federationMedia,
  federationDevices,
  federationOpenid,
  filter,
  keyBackup,
  keys,
  livekit,
  login,
  media,
  membership,
  mutualRooms,
  notifications,
  oauth,
  oldSync,
  openid,
  presence,
  profile,
  pushRules,
  pushers,
  receipts,
  registration,
  relations,
  rendezvous,
  reportContent,
  roomEvents,
  roomUpgrades,
  search,
  send,
  slidingSync,
  spaces,
  sync,
  thirdParty,
  thirdPartyIdentifiers,
  threadSubscriptions,
  toDevice,
  typing,
  unsubscribe,
  userDirectory,
  validationPages,
  versions,
  voip,
  websocket,
  wellknown,
  federationDirectory,
  federationEvents,
  federationHierarchy,
  federationInvites,
  federationJoins,
  federationLeaves,
  federationKeys,
  federationPolicy,
  federationQuery,
  federationServer,
  federationTransactions,
].flatMap((module): Operation[] => Object.values(module));

/** All operations that this server asks of application services. */
export const askedOperations: readonly AskedOperation[] = [
  appserviceQueries,
  appserviceThirdParty,
  appserviceTransactions,
  { notify },
].flatMap((module): AskedOperation[] => Object.values(module));
