// Application service API, "Third-party networks".
import { Type } from "typebox";
import { asked } from "../operation.js";
import { BridgedProtocol, Location, ThirdPartyUser } from "../types/third-party.js";

/** The path, and the one from before the specification. */
const paths = (rest: string) => [`/_matrix/app/v1/thirdparty${rest}`, `/_matrix/app/unstable/thirdparty${rest}`] as const;

export const getProtocolMetadata = asked({
  operationId: "getProtocolMetadata",
  method: "GET",
  paths: paths("/protocol/{protocol}"),
  summary: "What a network is like.",
  response: BridgedProtocol,
});

export const queryLocationByProtocol = asked({
  operationId: "queryLocationByProtocol",
  method: "GET",
  paths: paths("/location/{protocol}"),
  summary: "The rooms for a place of a network.",
  response: Type.Array(Location),
});

export const queryUserByProtocol = asked({
  operationId: "queryUserByProtocol",
  method: "GET",
  paths: paths("/user/{protocol}"),
  summary: "The users for a person of a network.",
  response: Type.Array(ThirdPartyUser),
});

export const queryLocationByAlias = asked({
  operationId: "queryLocationByAlias",
  method: "GET",
  paths: paths("/location"),
  summary: "The places of networks that an alias stands for.",
  response: Type.Array(Location),
});

export const queryUserByID = asked({
  operationId: "queryUserByID",
  method: "GET",
  paths: paths("/user"),
  summary: "The persons of networks that a user stands for.",
  response: Type.Array(ThirdPartyUser),
});
