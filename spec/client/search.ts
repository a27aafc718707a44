// Client-server API, "Server Side Search".
import { Type } from "typebox";
import { ClientEvent } from "../events/client-event.js";
import { clientPaths, operation } from "../operation.js";
import { EventId, RoomId, UserId } from "../types/identifiers.js";
import { RoomEventFilter } from "../types/filter.js";

const key = Type.Union([Type.Literal("content.body"), Type.Literal("content.name"), Type.Literal("content.topic")]);
const groupKey = Type.Union([Type.Literal("room_id"), Type.Literal("sender")]);
const count = Type.Optional(Type.Integer({ minimum: 0 }));

export const search = operation({
  operationId: "search",
  method: "POST",
  paths: clientPaths("/search"),
  auth: "user",
  limit: "history",
  summary: "Searches what was said in the rooms that the caller is or was in.",
  query: Type.Object({ next_batch: Type.Optional(Type.String()) }),
  body: Type.Object({
    search_categories: Type.Object({
      room_events: Type.Optional(
        Type.Object({
          search_term: Type.String({ maxLength: 1024 }),
          keys: Type.Optional(Type.Array(key, { maxItems: 3 })),
          filter: Type.Optional(RoomEventFilter),
          order_by: Type.Optional(Type.Union([Type.Literal("recent"), Type.Literal("rank")])),
          event_context: Type.Optional(
            Type.Object({ before_limit: count, after_limit: count, include_profile: Type.Optional(Type.Boolean()) }),
          ),
          include_state: Type.Optional(Type.Boolean()),
          groupings: Type.Optional(
            Type.Object({ group_by: Type.Optional(Type.Array(Type.Object({ key: groupKey }), { maxItems: 2 })) }),
          ),
        }),
      ),
    }),
  }),
  response: Type.Object({
    search_categories: Type.Object({
      room_events: Type.Optional(
        Type.Object({
          count: Type.Integer(),
          highlights: Type.Array(Type.String()),
          results: Type.Array(
            Type.Object({
              rank: Type.Number(),
              result: ClientEvent,
              context: Type.Optional(
                Type.Object({
                  start: Type.String(),
                  end: Type.String(),
                  profile_info: Type.Optional(
                    Type.Record(UserId, Type.Object({ displayname: Type.Optional(Type.String()), avatar_url: Type.Optional(Type.String()) })),
                  ),
                  events_before: Type.Array(ClientEvent),
                  events_after: Type.Array(ClientEvent),
                }),
              ),
            }),
          ),
          state: Type.Optional(Type.Record(RoomId, Type.Array(ClientEvent))),
          groups: Type.Optional(
            Type.Record(
              Type.String(),
              Type.Record(
                Type.String(),
                Type.Object({ next_batch: Type.Optional(Type.String()), order: Type.Integer(), results: Type.Array(EventId) }),
              ),
            ),
          ),
          next_batch: Type.Optional(Type.String()),
        }),
      ),
    }),
  }),
});
