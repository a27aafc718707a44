// Client-server API, as the application service API adds to it: "Pinging" and "Published room directories".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { RoomId } from "../types/identifiers.js";

export const pingAppservice = operation({
  operationId: "pingAppservice",
  method: "POST",
  paths: ["/_matrix/client/v1/appservice/{appserviceId}/ping", "/_matrix/client/unstable/fi.mau.msc2659/appservice/{appserviceId}/ping"],
  auth: "user",
  limit: "account",
  summary: "Lets an application service find out whether this server reaches it.",
  params: Type.Object({ appserviceId: Type.String() }),
  body: Type.Object({ transaction_id: Type.Optional(Type.String({ maxBytes: 1024 })) }),
  response: Type.Object({ duration_ms: Type.Integer() }),
});

export const updateAppserviceRoomDirectoryVisibility = operation({
  operationId: "updateAppserviceRoomDirectoryVisibility",
  method: "PUT",
  paths: clientPaths("/directory/list/appservice/{networkId}/{roomId}"),
  auth: "user",
  limit: "account",
  summary: "Publishes a room among those of a network, or takes it out.",
  params: Type.Object({ networkId: Type.String({ minLength: 1, maxBytes: 255 }), roomId: RoomId }),
  body: Type.Object({ visibility: Type.Union([Type.Literal("public"), Type.Literal("private")]) }),
  response: Type.Object({}),
});

// Not specified: bridges that take a room out without a body.
export const removeAppserviceRoomFromDirectory = operation({
  operationId: "removeAppserviceRoomFromDirectory",
  method: "DELETE",
  paths: clientPaths("/directory/list/appservice/{networkId}/{roomId}"),
  auth: "user",
  limit: "account",
  summary: "Takes a room out of those of a network.",
  params: updateAppserviceRoomDirectoryVisibility.params,
  response: Type.Object({}),
});
