// Server-server API, "Public room directory".
import { Type } from "typebox";
import { operation } from "../operation.js";
import { publicRooms, publicRoomsRequest } from "../types/public-rooms.js";

export const getFederationPublicRooms = operation({
  operationId: "getFederationPublicRooms",
  method: "GET",
  paths: ["/_matrix/federation/v1/publicRooms"],
  auth: "server",
  summary: "A page of the rooms that the asked server publishes.",
  query: Type.Object({
    limit: Type.Optional(Type.Integer()),
    since: Type.Optional(Type.String()),
    include_all_networks: Type.Optional(Type.Boolean()),
    third_party_instance_id: Type.Optional(Type.String()),
  }),
  response: publicRooms,
});

export const queryFederationPublicRooms = operation({
  operationId: "queryFederationPublicRooms",
  method: "POST",
  paths: ["/_matrix/federation/v1/publicRooms"],
  auth: "server",
  summary: "A page of the rooms that the asked server publishes and that fit a filter.",
  body: publicRoomsRequest,
  response: publicRooms,
});
