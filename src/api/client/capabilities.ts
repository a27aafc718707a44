// Client-server API, "Capabilities negotiation".
import type * as spec from "../../../spec/client/capabilities.js";
import { thirdPartyStages } from "../../accounts/third-party-ids.js";
import { passwordsAccepted } from "../../accounts/password-login.js";
import type { Config } from "../../config.js";
import type { UserId } from "../../protocol/identifiers.js";
import { roomVersions } from "../../protocol/room-version.js";
import { findAccount } from "../../storage/accounts.js";
import type { Handler } from "../handler.js";
import type { Services } from "../services.js";
import { accountPageOf } from "./confirmation.js";

/** What delayed events may be (MSC4140). */
function delayedEvents({ delayed_events: { max_delay_seconds, max_per_user } }: Config): { max_delay_ms: number; max_scheduled: number } {
  return { max_delay_ms: max_delay_seconds * 1000, max_scheduled: max_per_user };
}

/** Whether a directory keeps the user's password. */
const passwordElsewhere = async ({ database, directory }: Services, user: UserId): Promise<boolean> =>
  directory !== undefined && (await findAccount(database, user))?.password_hash === null;

export const getCapabilities: Handler<typeof spec.getCapabilities> = async (services, { auth }) => {
  // What takes a password is no matter of clients of the OAuth 2.0 API.
  const confirms = accountPageOf(services, auth) === undefined;
  const capabilities = {
    "m.room_versions": {
      default: services.config.rooms.default_version,
      available: Object.fromEntries(roomVersions().map(({ id, stable }) => [id, stable ? "stable" : "unstable"])),
    },
    "m.change_password": { enabled: confirms && services.config.passwords.enabled && !(await passwordElsewhere(services, auth.user_id)) },
    ...(auth.is_admin && { "m.account_moderation": { lock: true, suspend: true } }),
    "m.profile_fields": { enabled: true },
    "m.delayed_events": delayedEvents(services.config),
    "org.matrix.msc4140.delayed_events": delayedEvents(services.config),
    "m.set_displayname": { enabled: true },
    "m.set_avatar_url": { enabled: true },
    "m.3pid_changes": { enabled: confirms && thirdPartyStages(services).length > 0 },
    "m.get_login_token": { enabled: confirms && services.config.tokens.login_tokens && passwordsAccepted(services) },
    "m.forget_forced_upon_leave": { enabled: services.config.rooms.forget_on_leave },
  };
  return { capabilities };
};
