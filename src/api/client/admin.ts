// Client-server API, "Server Administration".
import type * as spec from "../../../spec/client/admin.js";
import { accountOf, restrict, restrictableAccount } from "../../accounts/moderation.js";
import { forbidden } from "../../errors.js";
import { listDevices } from "../../storage/devices.js";
import type { Handler } from "../handler.js";

export const getWhoIs: Handler<typeof spec.getWhoIs> = async (services, { auth, params }) => {
  const { userId } = params;
  if (userId !== auth.user_id && !auth.is_admin) throw forbidden("Only administrators may ask about other users.");
  const { user_nid } = userId === auth.user_id ? auth : await accountOf(services, userId);
  const devices = (await listDevices(services.database, user_nid)).map(
    ({ device_id, last_seen_ip: ip, last_seen_ts: last_seen, last_seen_user_agent: user_agent }) => {
      const connection = {
        ...(ip !== undefined && { ip }),
        ...(last_seen !== undefined && { last_seen }),
        ...(user_agent !== undefined && { user_agent }),
      };
      return [device_id, { sessions: [{ connections: last_seen === undefined ? [] : [connection] }] }] as const;
    },
  );
  return { user_id: userId, devices: Object.fromEntries(devices) };
};

export const getAdminSuspendUser: Handler<typeof spec.getAdminSuspendUser> = async (services, { auth, params }) => {
  const { suspended } = await restrictableAccount(services, auth.user_id, params.userId);
  return { suspended };
};

export const setAdminSuspendUser: Handler<typeof spec.setAdminSuspendUser> = async (services, { auth, params, body }) => {
  const account = await restrictableAccount(services, auth.user_id, params.userId);
  await restrict(services, account, "suspended", body.suspended);
  return { suspended: body.suspended };
};

export const getAdminLockUser: Handler<typeof spec.getAdminLockUser> = async (services, { auth, params }) => {
  const { locked } = await restrictableAccount(services, auth.user_id, params.userId);
  return { locked };
};

export const setAdminLockUser: Handler<typeof spec.setAdminLockUser> = async (services, { auth, params, body }) => {
  const account = await restrictableAccount(services, auth.user_id, params.userId);
  await restrict(services, account, "locked", body.locked);
  return { locked: body.locked };
};
