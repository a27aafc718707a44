// Every operation of the contract bound to its handler.
import * as adminRegisterSpec from "../../spec/admin/register.js";
import * as adminDevicesSpec from "../../spec/admin/devices.js";
import * as adminJoinsSpec from "../../spec/admin/joins.js";
import * as adminMediaSpec from "../../spec/admin/media.js";
import * as adminRegistrationTokensSpec from "../../spec/admin/registration-tokens.js";
import * as adminReportsSpec from "../../spec/admin/reports.js";
import * as adminRoomsSpec from "../../spec/admin/rooms.js";
import * as adminServerSpec from "../../spec/admin/server.js";
import * as adminServerNoticesSpec from "../../spec/admin/server-notices.js";
import * as adminUsersSpec from "../../spec/admin/users.js";
import * as accountSpec from "../../spec/client/account.js";
import * as accountDetailsSpec from "../../spec/client/account-details.js";
import * as accountPagesSpec from "../../spec/client/account-pages.js";
import * as accountDataSpec from "../../spec/client/account-data.js";
import * as adminSpec from "../../spec/client/admin.js";
import * as appserviceSpec from "../../spec/client/appservice.js";
import * as capabilitiesSpec from "../../spec/client/capabilities.js";
import * as createRoomSpec from "../../spec/client/create-room.js";
import * as dehydratedDevicesSpec from "../../spec/client/dehydrated-devices.js";
import * as delayedEventsSpec from "../../spec/client/delayed-events.js";
import * as devicesSpec from "../../spec/client/devices.js";
import * as directorySpec from "../../spec/client/directory.js";
import * as fallbackPagesSpec from "../../spec/client/fallback-pages.js";
import * as filterSpec from "../../spec/client/filter.js";
import * as keyBackupSpec from "../../spec/client/key-backup.js";
import * as keysSpec from "../../spec/client/keys.js";
import * as livekitSpec from "../../spec/client/livekit.js";
import * as loginSpec from "../../spec/client/login.js";
import * as mediaSpec from "../../spec/client/media.js";
import * as membershipSpec from "../../spec/client/membership.js";
import * as mutualRoomsSpec from "../../spec/client/mutual-rooms.js";
import * as notificationsSpec from "../../spec/client/notifications.js";
import * as oauthSpec from "../../spec/client/oauth.js";
import * as oldSyncSpec from "../../spec/client/old-sync.js";
import * as openidSpec from "../../spec/client/openid.js";
import * as presenceSpec from "../../spec/client/presence.js";
import * as profileSpec from "../../spec/client/profile.js";
import * as pushRulesSpec from "../../spec/client/push-rules.js";
import * as pushersSpec from "../../spec/client/pushers.js";
import * as receiptsSpec from "../../spec/client/receipts.js";
import * as registrationSpec from "../../spec/client/registration.js";
import * as relationsSpec from "../../spec/client/relations.js";
import * as rendezvousSpec from "../../spec/client/rendezvous.js";
import * as reportContentSpec from "../../spec/client/report-content.js";
import * as roomEventsSpec from "../../spec/client/room-events.js";
import * as roomUpgradesSpec from "../../spec/client/room-upgrades.js";
import * as searchSpec from "../../spec/client/search.js";
import * as sendSpec from "../../spec/client/send.js";
import * as slidingSyncSpec from "../../spec/client/sliding-sync.js";
import * as spacesSpec from "../../spec/client/spaces.js";
import * as syncSpec from "../../spec/client/sync.js";
import * as thirdPartySpec from "../../spec/client/third-party.js";
import * as thirdPartyIdentifiersSpec from "../../spec/client/third-party-identifiers.js";
import * as threadSubscriptionsSpec from "../../spec/client/thread-subscriptions.js";
import * as toDeviceSpec from "../../spec/client/to-device.js";
import * as typingSpec from "../../spec/client/typing.js";
import * as unsubscribeSpec from "../../spec/client/unsubscribe.js";
import * as userDirectorySpec from "../../spec/client/user-directory.js";
import * as validationPagesSpec from "../../spec/client/validation-pages.js";
import * as voipSpec from "../../spec/client/voip.js";
import * as versionsSpec from "../../spec/client/versions.js";
import * as websocketSpec from "../../spec/client/websocket.js";
import * as wellknownSpec from "../../spec/client/wellknown.js";
import * as federationDirectorySpec from "../../spec/federation/directory.js";
import * as federationEventsSpec from "../../spec/federation/events.js";
import * as federationHierarchySpec from "../../spec/federation/hierarchy.js";
import * as federationInvitesSpec from "../../spec/federation/invites.js";
import * as federationLeavesSpec from "../../spec/federation/leaves.js";
import * as federationJoinsSpec from "../../spec/federation/joins.js";
import * as federationKeysSpec from "../../spec/federation/keys.js";
import * as federationMediaSpec from "../../spec/federation/media.js";
import * as federationDevicesSpec from "../../spec/federation/devices.js";
import * as federationOpenidSpec from "../../spec/federation/openid.js";
import * as federationPolicySpec from "../../spec/federation/policy.js";
import * as federationQuerySpec from "../../spec/federation/query.js";
import * as federationServerSpec from "../../spec/federation/server.js";
import * as federationTransactionsSpec from "../../spec/federation/transactions.js";
import * as adminRegister from "./admin/register.js";
import * as adminDevices from "./admin/devices.js";
import * as adminJoins from "./admin/joins.js";
import * as adminMedia from "./admin/media.js";
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
import * as voip from "./client/voip.js";
import * as versions from "./client/versions.js";
import * as websocket from "./client/websocket.js";
import * as wellknown from "./client/wellknown.js";
import * as federationDirectory from "./federation/directory.js";
import * as federationEvents from "./federation/events.js";
import * as federationHierarchy from "./federation/hierarchy.js";
import * as federationInvites from "./federation/invites.js";
import * as federationLeaves from "./federation/leaves.js";
import * as federationJoins from "./federation/joins.js";
import * as federationKeys from "./federation/keys.js";
import * as federationMedia from "./federation/media.js";
import * as federationDevices from "./federation/devices.js";
import * as federationOpenid from "./federation/openid.js";
import * as federationPolicy from "./federation/policy.js";
import * as federationQuery from "./federation/query.js";
import * as federationServer from "./federation/server.js";
import * as federationTransactions from "./federation/transactions.js";
import { bind, type Route } from "./handler.js";

export const routes: readonly Route[] = [
  bind(adminRegisterSpec, adminRegister),
  bind(accountSpec, account),
  bind(accountDataSpec, accountData),
  bind(accountDetailsSpec, accountDetails),
  bind(accountPagesSpec, accountPages),
  bind(adminDevicesSpec, adminDevices),
  bind(adminJoinsSpec, adminJoins),
  bind(adminMediaSpec, adminMedia),
  bind(adminRegistrationTokensSpec, adminRegistrationTokens),
  bind(adminReportsSpec, adminReports),
  bind(adminRoomsSpec, adminRooms),
  bind(adminServerSpec, adminServer),
  bind(adminServerNoticesSpec, adminServerNotices),
  bind(adminUsersSpec, adminUsers),
  bind(adminSpec, admin),
  bind(appserviceSpec, appservice),
  bind(capabilitiesSpec, capabilities),
  bind(createRoomSpec, createRoom),
  bind(dehydratedDevicesSpec, dehydratedDevices),
  bind(delayedEventsSpec, delayedEvents),
  bind(devicesSpec, devices),
  bind(directorySpec, directory),
  bind(fallbackPagesSpec, fallbackPages),
  bind(federationDevicesSpec, federationDevices),
  bind(federationOpenidSpec, federationOpenid),
  bind(filterSpec, filter),
  bind(keyBackupSpec, keyBackup),
  bind(keysSpec, keys),
  bind(livekitSpec, livekit),
  bind(loginSpec, login),
  bind(mediaSpec, media),
  bind(membershipSpec, membership),
  bind(mutualRoomsSpec, mutualRooms),
  bind(notificationsSpec, notifications),
  bind(oauthSpec, oauth),
  bind(oldSyncSpec, oldSync),
  bind(openidSpec, openid),
  bind(presenceSpec, presence),
  bind(profileSpec, profile),
  bind(pushRulesSpec, pushRules),
  bind(pushersSpec, pushers),
  bind(receiptsSpec, receipts),
  bind(registrationSpec, registration),
  bind(relationsSpec, relations),
  bind(rendezvousSpec, rendezvous),
  bind(reportContentSpec, reportContent),
  bind(roomEventsSpec, roomEvents),
  bind(roomUpgradesSpec, roomUpgrades),
  bind(searchSpec, search),
  bind(sendSpec, send),
  bind(spacesSpec, spaces),
  bind(slidingSyncSpec, slidingSync),
  bind(syncSpec, sync),
  bind(thirdPartySpec, thirdParty),
  bind(thirdPartyIdentifiersSpec, thirdPartyIdentifiers),
  bind(threadSubscriptionsSpec, threadSubscriptions),
  bind(toDeviceSpec, toDevice),
  bind(typingSpec, typing),
  bind(unsubscribeSpec, unsubscribe),
  bind(userDirectorySpec, userDirectory),
  bind(validationPagesSpec, validationPages),
  bind(voipSpec, voip),
  bind(versionsSpec, versions),
  bind(websocketSpec, websocket),
  bind(wellknownSpec, wellknown),
  bind(federationDirectorySpec, federationDirectory),
  bind(federationEventsSpec, federationEvents),
  bind(federationHierarchySpec, federationHierarchy),
  bind(federationInvitesSpec, federationInvites),
  bind(federationLeavesSpec, federationLeaves),
  bind(federationJoinsSpec, federationJoins),
  bind(federationKeysSpec, federationKeys),
  bind(federationMediaSpec, federationMedia),
  bind(federationPolicySpec, federationPolicy),
  bind(federationQuerySpec, federationQuery),
  bind(federationServerSpec, federationServer),
  bind(federationTransactionsSpec, federationTransactions),
].flat();
