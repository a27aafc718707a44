// Profiles of users (client-server API, "Profiles").
import { MatrixError, badJson, invalidParam, missingParam, notFound } from "../errors.js";
import { serverNameOf, type UserId } from "../protocol/identifiers.js";
import type { JsonObject, JsonValue } from "../protocol/json.js";
import { requestMembershipUpkeep } from "../storage/membership-upkeep.js";
import { deleteProfileField, findProfile, lockProfile, setProfileField } from "../storage/profiles.js";
import { appendToLog, type AccountContext } from "./context.js";
import type { RemoteProfiles } from "./remote-profiles.js";

const MAX_NAME_BYTES = 255;
const MAX_PROFILE_BYTES = 65_536;

/** Fixed fields, and names of the common namespaced identifier grammar. */
const NAME = /^(?:avatar_url|displayname|m\.tz|[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_-]*)+)$/;

/** Whose profile is changed. That of somebody shadow-banned does not follow them into their rooms. */
interface ProfileOwner {
  readonly user_id: UserId;
  readonly user_nid: number;
  readonly shadow_banned?: boolean | undefined;
}

/** What a change of a profile needs to be made known where the profile is copied to. */
export interface ProfileChange {
  readonly user_id: UserId;
  readonly user_nid: number;
  readonly name: string;
  /** Absent: the field was deleted. */
  readonly value: JsonValue | undefined;
}

/** Throws M_KEY_TOO_LARGE or M_INVALID_PARAM. */
function requireName(name: string): void {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new MatrixError(400, "M_KEY_TOO_LARGE", `The name of a profile field may have at most ${MAX_NAME_BYTES} bytes.`);
  }
  if (!NAME.test(name)) throw invalidParam("This is not a name that a profile field can have.");
}

type ProfileContext = Pick<AccountContext, "database" | "servers"> & { readonly remoteProfiles: RemoteProfiles };

/** The whole profile of a user; of another server's, what that says. Throws M_NOT_FOUND, M_UNKNOWN 502 if it cannot be reached. */
export async function getProfile({ database, servers, remoteProfiles }: ProfileContext, userId: UserId): Promise<JsonObject> {
  if (!servers.isLocal(serverNameOf(userId))) return await remoteProfiles.get(userId);
  const fields = await findProfile(database, userId);
  if (fields === undefined) throw notFound("This server knows no profile of this user.");
  const profile: Record<string, JsonValue> = {};
  for (const [name, json] of fields) profile[name] = JSON.parse(json) as JsonValue;
  return profile;
}

/** One field of a profile, as an object with that field. Throws as `getProfile`. */
export async function getProfileField(context: ProfileContext, userId: UserId, name: string): Promise<JsonObject> {
  const profile = await getProfile(context, userId);
  const value = Object.hasOwn(profile, name) ? profile[name] : undefined;
  if (value === undefined) throw notFound("The profile has no such field.");
  return { [name]: value };
}

/**
 * Sets the field of a profile to what the body has under its name. An empty or null name or avatar deletes it, as clients
 * have always cleared them. Gives the change. Throws M_INVALID_PARAM, M_KEY_TOO_LARGE, M_MISSING_PARAM, M_BAD_JSON,
 * M_PROFILE_TOO_LARGE.
 */
export async function changeProfileField(
  context: AccountContext,
  user: ProfileOwner,
  name: string,
  body: JsonObject,
): Promise<ProfileChange> {
  requireName(name);
  const value = Object.hasOwn(body, name) ? body[name] : undefined;
  if (value === undefined) throw missingParam(`"${name}" is missing.`);
  const cleared = (name === "displayname" || name === "avatar_url") && (value === null || value === "");
  if (!cleared) requireValue(name, value);
  await context.database.transaction(async (tx) => {
    if (cleared) await deleteProfileField(tx, user.user_nid, name);
    else {
      const json = JSON.stringify(value);
      const fields = new Map([...(await lockProfile(tx, user.user_nid)), [name, json]]);
      const size = [...fields].reduce((sum, [key, text]) => sum + Buffer.byteLength(key) + Buffer.byteLength(text) + 4, 2);
      if (size > MAX_PROFILE_BYTES) {
        throw new MatrixError(400, "M_PROFILE_TOO_LARGE", `A profile may have at most ${MAX_PROFILE_BYTES} bytes in all.`);
      }
      await setProfileField(tx, user.user_nid, name, json);
    }
    if (isCopied(name) && user.shadow_banned !== true) await requestMembershipUpkeep(tx, user.user_nid);
    appendToLog(context, tx, [{ kind: "profile", user_nid: user.user_nid }]);
  });
  return { user_id: user.user_id, user_nid: user.user_nid, name, value: cleared ? undefined : value };
}

/** Whether a field is copied into the user's memberships ("m.room.member"). */
function isCopied(name: string): boolean {
  return name === "displayname" || name === "avatar_url";
}

function requireValue(name: string, value: JsonValue): void {
  if (name !== "displayname" && name !== "avatar_url" && name !== "m.tz") return;
  if (typeof value !== "string") throw badJson(`"${name}" must be a string.`);
}

/** Deletes a field, if there is one. Gives the change. Throws M_INVALID_PARAM, M_KEY_TOO_LARGE. */
export async function removeProfileField(
  context: AccountContext,
  user: ProfileOwner,
  name: string,
): Promise<ProfileChange> {
  requireName(name);
  await context.database.transaction(async (tx) => {
    if (await deleteProfileField(tx, user.user_nid, name)) {
      if (isCopied(name) && user.shadow_banned !== true) await requestMembershipUpkeep(tx, user.user_nid);
      appendToLog(context, tx, [{ kind: "profile", user_nid: user.user_nid }]);
    }
  });
  return { user_id: user.user_id, user_nid: user.user_nid, name, value: undefined };
}
