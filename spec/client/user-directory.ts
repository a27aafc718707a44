// Client-server API, "User Directory".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { UserId } from "../types/identifiers.js";

export const searchUserDirectory = operation({
  operationId: "searchUserDirectory",
  method: "POST",
  paths: clientPaths("/user_directory/search"),
  auth: "user",
  limit: "history",
  summary: "Finds users by their names.",
  body: Type.Object({
    search_term: Type.String({ maxLength: 1024 }),
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  response: Type.Object({
    results: Type.Array(
      Type.Object({ user_id: UserId, display_name: Type.Optional(Type.String()), avatar_url: Type.Optional(Type.String()) }),
    ),
    limited: Type.Boolean(),
  }),
});
