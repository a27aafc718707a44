// Server-server API, "Transactions".
import type * as spec from "../../../spec/federation/transactions.js";
import type { JsonValue } from "../../protocol/json.js";
import { Reply, type Handler } from "../handler.js";

export const sendTransaction: Handler<typeof spec.sendTransaction> = async ({ transactions }, { auth, params, body }) => {
  const { pdus = [], edus = [] } = body;
  // JSON that was parsed is JSON.
  return new Reply(200, await transactions.take(auth, params.txnId, pdus as JsonValue[], edus as JsonValue[]));
};
