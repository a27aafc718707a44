// Client-server API, "API Versions": computed from the operations that exist.
import type * as spec from "../../../spec/client/versions.js";
import { operations } from "../../../spec/operations.js";
import { publicAddress } from "../../oauth/addresses.js";
import type { Handler } from "../handler.js";

/** The oldest version that clients of today accept; what it asks for is what this server is for. */
const BASE = "v1.1";

/** The operations that each later version of the specification added for clients. */
const ADDED: readonly (readonly [version: string, operationIds: readonly string[]])[] = [
  ["v1.2", ["registrationTokenValidity", "getSpaceHierarchy"]],
  ["v1.3", ["refresh", "getRelatingEvents"]],
  ["v1.4", ["getThreadRoots"]],
  ["v1.5", []],
  ["v1.6", ["getEventByTimestamp"]],
  ["v1.7", ["createContent", "uploadContentToMXC"]],
  ["v1.8", []],
  ["v1.9", []],
  ["v1.10", ["getWellknownSupport"]],
  ["v1.11", ["getContentAuthed", "getContentThumbnailAuthed"]],
  ["v1.12", []],
  ["v1.13", ["reportRoom"]],
  ["v1.14", ["reportUser"]],
  ["v1.15", ["getRoomSummary", "getAuthMetadata"]],
  ["v1.16", ["deleteProfileField"]],
  ["v1.17", []],
  ["v1.18", ["getAdminLockUser", "getAdminSuspendUser"]],
  ["v1.19", []],
];

/** Features that clients look for by their names from before they were specified, and the operations they need. */
const FEATURES: Readonly<Record<string, readonly string[]>> = {
  "org.hansa.websocket": ["websocketSync"],
  "fi.mau.msc2246.stable": ["createContent", "uploadContentToMXC"],
  "fi.mau.msc2659.stable": ["pingAppservice"],
  "org.matrix.e2e_cross_signing": ["uploadCrossSigningKeys", "uploadCrossSigningSignatures"],
  "org.matrix.msc2285.stable": ["postReceipt", "setReadMarker"],
  "org.matrix.msc2432": ["getLocalAliases"],
  "org.matrix.msc3827.stable": ["queryPublicRooms"],
  "org.matrix.msc4306": ["putThreadSubscription", "getThreadSubscriptions"],
  "org.matrix.msc3814": ["putDehydratedDevice", "getDehydratedDeviceEvents"],
  "org.matrix.msc4140": ["scheduleDelayedEvent", "updateDelayedEvent"],
  "org.matrix.msc4155": ["inviteUser"],
  "org.matrix.msc4354": ["sendMessage", "sync"],
  "org.matrix.msc4380": ["inviteUser"],
  "org.matrix.msc4380.stable": ["inviteUser"],
  "im.nheko.summary": ["getRoomSummary"],
  "uk.half-shot.msc2666.query_mutual_rooms": ["getMutualRooms"],
  "uk.half-shot.msc2666.query_mutual_rooms.stable": ["getMutualRooms"],
  "org.matrix.msc2836": ["getEventRelationships"],
  "org.matrix.msc3440.stable": ["getThreadRoots"],
  "org.matrix.msc3715.stable": ["getRelatingEvents"],
  "org.matrix.msc3771": ["getThreadRoots"],
  "org.matrix.msc3773": ["getThreadRoots"],
  "org.matrix.msc3856.stable": ["getThreadRoots"],
  "org.matrix.msc3874": ["getRelatingEvents"],
  "org.matrix.msc3881": ["getPushers", "postPusher"],
  "org.matrix.msc3916.stable": ["getContentAuthed", "getContentThumbnailAuthed"],
  "org.matrix.msc3981": ["getRelatingEvents"],
  "org.matrix.msc4028": ["getPushRules"],
  "org.matrix.msc4222": ["sync"],
  "org.matrix.simplified_msc3575": ["slidingSync"],
  "org.matrix.msc3026.busy_presence": ["setPresence"],
  "org.matrix.msc3391": ["deleteAccountData"],
  "uk.tcpip.msc4133": ["deleteProfileField"],
  "uk.tcpip.msc4133.stable": ["deleteProfileField"],
};

/** The versions and features that a set of operations makes up: each version needs all versions before it. */
export function supported(existing: ReadonlySet<string>): { versions: string[]; unstable_features: Record<string, boolean> } {
  const has = (ids: readonly string[]): boolean => ids.every((id) => existing.has(id));
  const end = ADDED.findIndex(([, ids]) => !has(ids));
  const later = (end < 0 ? ADDED : ADDED.slice(0, end)).map(([version]) => version);
  const features = Object.entries(FEATURES).filter(([, ids]) => has(ids));
  return { versions: [BASE, ...later], unstable_features: Object.fromEntries(features.map(([name]) => [name, true])) };
}

// Some operations between servers have the same names.
const forClients = operations.filter(({ paths: [path] }) => !/^\/_matrix\/(?:federation|key)\//.test(path));

const existing = new Set(forClients.map(({ operationId }) => operationId));
const withSockets = supported(existing);
existing.delete("websocketSync");
const withoutSockets = supported(existing);

/** QR sign-in, which leads somewhere only where the OAuth 2.0 API is. */
const QR_SIGN_IN = { "org.matrix.msc4108": true, "io.element.msc4388": true };

export const getVersions: Handler<typeof spec.getVersions> = async ({ config }, { server }) => {
  const { versions, unstable_features } = config.limits.sockets_per_user > 0 ? withSockets : withoutSockets;
  return { versions, unstable_features: { ...unstable_features, ...(publicAddress(config, server) !== undefined && QR_SIGN_IN) } };
};
