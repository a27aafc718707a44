// How present a user is (client-server API, "Presence").
import { Type } from "typebox";

export const PresenceState = Type.Union([
  Type.Literal("online"),
  Type.Literal("offline"),
  Type.Literal("unavailable"),
  // Not to be disturbed, until the user says otherwise (MSC3026).
  Type.Literal("org.matrix.msc3026.busy"),
]);
