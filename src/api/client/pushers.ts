// Client-server API, "Push Notifications: API".
import type * as spec from "../../../spec/client/pushers.js";
import { changePusher, removePusher } from "../../push/pushers.js";
import { pushersOfUser } from "../../storage/pushers.js";
import type { Handler } from "../handler.js";

export const getPushers: Handler<typeof spec.getPushers> = async ({ database }, { auth }) => ({
  pushers: (await pushersOfUser(database, auth.user_nid)).map(({ enabled, device_id, profile_tag, ...pusher }) => ({
    pushkey: pusher.pushkey,
    app_id: pusher.app_id,
    kind: pusher.kind,
    app_display_name: pusher.app_display_name,
    device_display_name: pusher.device_display_name,
    ...(profile_tag !== undefined && { profile_tag }),
    lang: pusher.lang,
    data: pusher.data,
    "org.matrix.msc3881.enabled": enabled,
    ...(device_id !== undefined && { "org.matrix.msc3881.device_id": device_id }),
  })),
});

export const postPusher: Handler<typeof spec.postPusher> = async (services, { auth, body }) => {
  const { kind, append = false, "org.matrix.msc3881.enabled": enabled, ...fields } = body;
  if (kind === null) await removePusher(services, auth.user_nid, body.app_id, body.pushkey);
  else await changePusher(services, auth, { ...fields, kind, enabled }, append);
  return {};
};
