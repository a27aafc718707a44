// Application service API, "Pushing events" and "Pinging".
import { Type } from "typebox";
import { asked } from "../operation.js";
import { UserId } from "../types/identifiers.js";
import { JsonObject } from "../types/json.js";

const nothing = Type.Object({});
const counts = Type.Record(UserId, Type.Record(Type.String(), Type.Record(Type.String(), Type.Integer())));
const algorithms = Type.Record(UserId, Type.Record(Type.String(), Type.Array(Type.String())));

export const sendTransaction = asked({
  operationId: "sendTransaction",
  method: "PUT",
  paths: ["/_matrix/app/v1/transactions/{txnId}", "/transactions/{txnId}"],
  summary: "Tells an application service what happened.",
  body: Type.Object({
    events: Type.Array(JsonObject),
    ephemeral: Type.Optional(Type.Array(JsonObject)),
    "de.sorunome.msc2409.to_device": Type.Optional(Type.Array(JsonObject)),
    // MSC3202; the counts under both names that it has had.
    "org.matrix.msc3202.device_lists": Type.Optional(Type.Object({ changed: Type.Array(UserId), left: Type.Array(UserId) })),
    "org.matrix.msc3202.device_one_time_keys_count": Type.Optional(counts),
    "org.matrix.msc3202.device_one_time_key_counts": Type.Optional(counts),
    "org.matrix.msc3202.device_unused_fallback_key_types": Type.Optional(algorithms),
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
