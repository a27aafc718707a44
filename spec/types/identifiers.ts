// Identifiers as the contract names them: a string type with a brand for the compiler and a format for the validator.
import { Type } from "typebox";

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type UserId = Branded<"UserId">;
export type RoomId = Branded<"RoomId">;
export type EventId = Branded<"EventId">;
export type RoomAlias = Branded<"RoomAlias">;
export type ServerName = Branded<"ServerName">;
export type DeviceId = Branded<"DeviceId">;

export const UserId = Type.Unsafe<UserId>({ type: "string", format: "mx-user-id" });
export const RoomId = Type.Unsafe<RoomId>({ type: "string", format: "mx-room-id" });
export const EventId = Type.Unsafe<EventId>({ type: "string", format: "mx-event-id" });
export const RoomAlias = Type.Unsafe<RoomAlias>({ type: "string", format: "mx-room-alias" });
export const ServerName = Type.Unsafe<ServerName>({ type: "string", format: "mx-server-name" });
export const DeviceId = Type.Unsafe<DeviceId>({ type: "string", format: "mx-device-id" });
export const RoomIdOrAlias = Type.Unsafe<RoomId | RoomAlias>({ type: "string", format: "mx-room-id-or-alias" });
