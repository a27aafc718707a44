// Client-server API, "Capabilities negotiation".
import type * as spec from "../../../spec/client/capabilities.js";
import { thirdPartyStages } from "../../accounts/third-party-ids.js";
import { roomVersions } from "../../protocol/room-version.js";
import type { Handler } from "../handler.js";

export const getCapabilities: Handler<typeof spec.getCapabilities> = async (services, { auth }) => ({
  capabilities: {
    "m.room_versions": {
      default: services.config.rooms.default_version,
      available: Object.fromEntries(roomVersions().map(({ id, stable }) => [id, stable ? "stable" : "unstable"])),
    },
    "m.change_password": { enabled: true },
    ...(auth.is_admin && { "m.account_moderation": { lock: true, suspend: true } }),
    "m.profile_fields": { enabled: true },
    "m.set_displayname": { enabled: true },
    "m.set_avatar_url": { enabled: true },
    "m.3pid_changes": { enabled: thirdPartyStages(services).length > 0 },
    "m.get_login_token": { enabled: services.config.tokens.login_tokens },
    "m.forget_forced_upon_leave": { enabled: services.config.rooms.forget_on_leave },
  },
});
