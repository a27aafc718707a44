// Client-server API, "Profiles".
import type * as spec from "../../../spec/client/profile.js";
import * as profiles from "../../accounts/profiles.js";
import type { Requester } from "../../accounts/requester.js";
import { requestUser } from "../../appservice/queries.js";
import { forbidden, guestsForbidden } from "../../errors.js";
import type { UserId } from "../../protocol/identifiers.js";
import type { Handler } from "../handler.js";

function requireChangeable(auth: Requester, userId: UserId, name: string): void {
  if (userId !== auth.user_id) throw forbidden("You cannot change the profile of another user.");
  if (auth.is_guest && name !== "displayname") throw guestsForbidden("Guests may change nothing of their profile but the display name.");
}

export const getUserProfile: Handler<typeof spec.getUserProfile> = async (services, { params }) => {
  await requestUser(services, params.userId);
  return await profiles.getProfile(services, params.userId);
};

export const getProfileField: Handler<typeof spec.getProfileField> = async (services, { params }) => {
  await requestUser(services, params.userId);
  return await profiles.getProfileField(services, params.userId, params.keyName);
};

export const setProfileField: Handler<typeof spec.setProfileField> = async (services, { auth, params, body }) => {
  requireChangeable(auth, params.userId, params.keyName);
  await profiles.changeProfileField(services, auth, params.keyName, body);
  return {};
};

export const deleteProfileField: Handler<typeof spec.deleteProfileField> = async (services, { auth, params }) => {
  requireChangeable(auth, params.userId, params.keyName);
  await profiles.removeProfileField(services, auth, params.keyName);
  return {};
};
