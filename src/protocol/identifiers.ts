// Identifiers and their grammar (appendices, "Identifier Grammar"). The only place where a plain string becomes an id.
export type { DeviceId, EventId, RoomAlias, RoomId, ServerName, UserId } from "../../spec/types/identifiers.js";
