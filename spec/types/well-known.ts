// The document by which clients find a server; also part of what a login answers.
import { Type } from "typebox";
import { JsonObject } from "./json.js";

export const WellKnown = Type.Object({
  "m.homeserver": Type.Object({ base_url: Type.String() }),
  // What group calls go through (MSC4143).
  "org.matrix.msc4143.rtc_foci": Type.Optional(Type.Array(JsonObject)),
});
