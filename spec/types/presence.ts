// How present a user is (client-server API, "Presence").
import { Type } from "typebox";

export const PresenceState = Type.Union([
  Type.Literal("online"),
  Type.Literal("offline"),
  Type.Literal("unavailable"),
]);
