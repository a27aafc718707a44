// Client-server API, "End-to-End Encryption": keys of devices and of users.
import type * as spec from "../../../spec/client/keys.js";
import { requireAuthentication } from "../../accounts/interactive-authentication.js";
import { passwordChallenge } from "../../accounts/password-login.js";
import * as crossSigning from "../../encryption/cross-signing.js";
import * as deviceKeys from "../../encryption/device-keys.js";
import { keysOfUsers, queryKeys as query, timeoutOf } from "../../encryption/key-query.js";
import { claimKeysOfUsers } from "../../encryption/one-time-keys.js";
import { invalidParam } from "../../errors.js";
import { parseUserId } from "../../protocol/identifiers.js";
import { parseToken } from "../../rooms/token.js";
import { isPositionValid } from "../../storage/epoch.js";
import { deviceLists } from "../../sync/device-lists.js";
import type { Handler } from "../handler.js";

export const uploadKeys: Handler<typeof spec.uploadKeys> = async (services, { auth, body }) => {
  const { device_keys, one_time_keys, fallback_keys = body["org.matrix.msc2732.fallback_keys"] } = body;
  return { one_time_key_counts: await deviceKeys.uploadKeys(services, auth, { device_keys, one_time_keys, fallback_keys }) };
};

export const queryKeys: Handler<typeof spec.queryKeys> = async (services, { auth, body }) => await query(services, auth, body.device_keys, body.timeout);

export const claimKeys: Handler<typeof spec.claimKeys> = async (services, { body }) => await claimKeysOfUsers(services, body.one_time_keys, body.timeout);

export const getKeysChanges: Handler<typeof spec.getKeysChanges> = async (services, { auth, query: { from, to } }) => {
  const { database, follower } = services;
  const since = parseToken(from);
  const until = parseToken(to);
  if (since?.kind !== "sync" || until?.kind !== "sync") throw invalidParam('"from" and "to" must be tokens of a sync.');
  const known = isPositionValid(follower.epochs, since.epoch, since.position);
  // Whoever changed after `to` is told too: what was changed before that is not kept apart.
  return await database.snapshot((reads) => deviceLists(services, reads, auth.user_nid, known ? since.position : undefined));
};

export const uploadCrossSigningKeys: Handler<typeof spec.uploadCrossSigningKeys> = async (services, { auth, body }) => {
  const asked = auth.appservice === undefined && (await crossSigning.needsConfirmation(services, auth, body));
  if (asked) await requireAuthentication(services, passwordChallenge(services, "uploadCrossSigningKeys", auth.user_id, body));
  await crossSigning.uploadOwnKeys(services, auth, body, asked || auth.appservice !== undefined);
  return {};
};

export const uploadCrossSigningSignatures: Handler<typeof spec.uploadCrossSigningSignatures> = async (services, { auth, body }) => {
  const failures = await crossSigning.uploadSignatures(services, auth, body, async (names) => {
    const users = names.flatMap((name) => parseUserId(name) ?? []);
    return (await keysOfUsers(services, users, auth, timeoutOf(undefined))).users;
  });
  return { failures: failures as never };
};
