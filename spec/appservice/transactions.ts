// Application service API, "Pushing events" and "Pinging".
import { Type } from "typebox";
import { asked } from "../operation.js";
import { JsonObject } from "../types/json.js";

const nothing = Type.Object({});

export const sendTransaction = asked({
  operationId: "sendTransaction",
  method: "PUT",
  paths: ["/_matrix/app/v1/transactions/{txnId}", "/transactions/{txnId}"],
  summary: "Tells an application service what happened.",
  body: Type.Object({
    events: Type.Array(JsonObject),
    ephemeral: Type.Optional(Type.Array(JsonObject)),
    "de.sorunome.msc2409.to_device": Type.Optional(Type.Array(JsonObject)),
  }),
  response: nothing,
});

export const ping = asked({
  operationId: "ping",
  method: "POST",
  paths: ["/_matrix/app/v1/ping"],
  summary: "Asks an application service whether it is there and knows us.",
  body: Type.Object({ transaction_id: Type.Optional(Type.String()) }),
  response: nothing,
});
