// Client-server API, "Third-party Lookups".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { Location, Protocol, ThirdPartyUser } from "../types/third-party.js";

const named = Type.Object({ protocol: Type.String() });
// Which fields there are is for the network to say.
const fields = Type.Object({}, { additionalProperties: true });

export const getProtocols = operation({
  operationId: "getProtocols",
  method: "GET",
  paths: clientPaths("/thirdparty/protocols"),
  auth: "user",
  limit: "lookup",
  summary: "The networks that application services bridge to.",
  response: Type.Record(Type.String(), Protocol),
});

export const getProtocolMetadata = operation({
  operationId: "getProtocolMetadata",
  method: "GET",
  paths: clientPaths("/thirdparty/protocol/{protocol}"),
  auth: "user",
  limit: "lookup",
  summary: "What a network is like.",
  params: named,
  response: Protocol,
});

export const queryLocationByProtocol = operation({
  operationId: "queryLocationByProtocol",
  method: "GET",
  paths: clientPaths("/thirdparty/location/{protocol}"),
  auth: "user",
  limit: "lookup",
  summary: "The rooms for a place of a network.",
  params: named,
  query: fields,
  response: Type.Array(Location),
});

export const queryUserByProtocol = operation({
  operationId: "queryUserByProtocol",
  method: "GET",
  paths: clientPaths("/thirdparty/user/{protocol}"),
  auth: "user",
  limit: "lookup",
  summary: "The users for a person of a network.",
  params: named,
  query: fields,
  response: Type.Array(ThirdPartyUser),
});

export const queryLocationByAlias = operation({
  operationId: "queryLocationByAlias",
  method: "GET",
  paths: clientPaths("/thirdparty/location"),
  auth: "user",
  limit: "lookup",
  summary: "The places of networks that an alias stands for.",
  query: Type.Object({ alias: Type.String() }),
  response: Type.Array(Location),
});

export const queryUserByID = operation({
  operationId: "queryUserByID",
  method: "GET",
  paths: clientPaths("/thirdparty/user"),
  auth: "user",
  limit: "lookup",
  summary: "The persons of networks that a user stands for.",
  query: Type.Object({ userid: Type.String() }),
  response: Type.Array(ThirdPartyUser),
});
