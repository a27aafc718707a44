// Client-server API, "End-to-End Encryption": keys of devices and of users.
import type * as spec from "../../../spec/client/keys.js";
import { type Challenge, requireAuthentication } from "../../accounts/interactive-authentication.js";
import { passwordChallenge } from "../../accounts/password-login.js";
import type { Requester } from "../../accounts/requester.js";
import * as crossSigning from "../../encryption/cross-signing.js";
import * as deviceKeys from "../../encryption/device-keys.js";
import { keysOfUsers, queryKeys as query, timeoutOf } from "../../encryption/key-query.js";
import { claimKeysOfUsers } from "../../encryption/one-time-keys.js";
import { forbidden, invalidParam } from "../../errors.js";
import { PATHS } from "../../oauth/addresses.js";
import { parseUserId } from "../../protocol/identifiers.js";
import { parseToken } from "../../rooms/token.js";
import { isPositionValid } from "../../storage/epoch.js";
import { deviceLists } from "../../sync/device-lists.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";
import { accountPageOf } from "./confirmation.js";

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
  const [known, bounded] = [since, until].map(({ epoch, position }) => isPositionValid(follower.epochs, epoch, position));
  return await database.snapshot((reads) =>
    deviceLists(services, reads, auth.user_nid, known ? since.position : undefined, bounded ? until.position : undefined),
  );
};

/** How a user confirms other keys: with the password, or, in a session of the OAuth 2.0 API, on the account page ("OAuth authentication"). */
function resetChallenge(services: Services, auth: Requester, body: Challenge["body"]): Challenge {
  const base = accountPageOf(services, auth);
  const challenge = passwordChallenge(services, "uploadCrossSigningKeys", auth.user_id, body);
  if (base === undefined) return challenge;
  const params = (session: string) => ({ url: `${base}${PATHS.account}?${new URLSearchParams({ action: "org.matrix.cross_signing_reset", session }).toString()}` });
  const check = (): Promise<string> => Promise.reject(forbidden("Confirm this on the account page first."));
  // The second name is that of before it was specified: such clients too come back with nothing but the session.
  return { ...challenge, flows: [["m.oauth"], ["org.matrix.cross_signing_reset"]], stages: { "m.oauth": { check, params }, "org.matrix.cross_signing_reset": { check, params } } };
}

export const uploadCrossSigningKeys: Handler<typeof spec.uploadCrossSigningKeys> = async (services, { auth, body }) => {
  const asked = auth.appservice === undefined && (await crossSigning.needsConfirmation(services, auth, body));
  if (asked) await requireAuthentication(services, resetChallenge(services, auth, body));
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
