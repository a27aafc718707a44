// Synapse's admin API, "Server Notices".
import type * as spec from "../../../spec/admin/server-notices.js";
import { sendServerNotice as send } from "../../rooms/administration/server-notices.js";
import type { Handler } from "../handler.js";

const MESSAGE = "m.room.message";

export const sendServerNotice: Handler<typeof spec.sendServerNotice> = async (services, { body }) => ({
  event_id: await send(services, body.user_id, { type: MESSAGE, ...body }),
});

export const sendServerNoticeOnce: Handler<typeof spec.sendServerNoticeOnce> = async (services, { auth, params, body }) => {
  // The event's sender is the same for all administrators: whose transaction it is, the endpoint tells.
  const transaction = {
    device_id: auth.device_id ?? "",
    endpoint: `send_server_notice/${auth.user_id}`,
    txn_id: params.txnId,
  };
  return { event_id: await send(services, body.user_id, { type: MESSAGE, ...body }, transaction) };
};
