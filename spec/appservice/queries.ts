// Application service API, "Querying".
import { Type } from "typebox";
import { asked } from "../operation.js";

const nothing = Type.Object({});

export const queryUserById = asked({
  operationId: "queryUserById",
  method: "GET",
  paths: ["/_matrix/app/v1/users/{userId}", "/users/{userId}"],
  summary: "Asks for a user to be made, if there is to be one.",
  response: nothing,
});

export const queryRoomByAlias = asked({
  operationId: "queryRoomByAlias",
  method: "GET",
  paths: ["/_matrix/app/v1/rooms/{roomAlias}", "/rooms/{roomAlias}"],
  summary: "Asks for a room with an alias to be made, if there is to be one.",
  response: nothing,
});
