// Client-server API, "Filtering".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { Filter } from "../types/filter.js";
import { UserId } from "../types/identifiers.js";

export const defineFilter = operation({
  operationId: "defineFilter",
  method: "POST",
  paths: clientPaths("/user/{userId}/filter"),
  auth: "user",
  guests: true,
  limit: "account",
  summary: "Stores a filter and gives its id.",
  params: Type.Object({ userId: UserId }),
  body: Filter,
  response: Type.Object({ filter_id: Type.String() }),
});

export const getFilter = operation({
  operationId: "getFilter",
  method: "GET",
  paths: clientPaths("/user/{userId}/filter/{filterId}"),
  auth: "user",
  guests: true,
  summary: "A stored filter.",
  params: Type.Object({ userId: UserId, filterId: Type.String() }),
  response: Filter,
});
