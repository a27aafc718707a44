// Identifiers and their grammar (appendices, "Identifier Grammar"). The only place where a plain string becomes an id.

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type UserId = Branded<"UserId">;
export type RoomId = Branded<"RoomId">;
export type EventId = Branded<"EventId">;
export type RoomAlias = Branded<"RoomAlias">;
export type ServerName = Branded<"ServerName">;
export type DeviceId = Branded<"DeviceId">;
