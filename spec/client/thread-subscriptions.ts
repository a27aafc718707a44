// Thread subscriptions (MSC4306) and their list (MSC4308).
import { Type } from "typebox";
import { operation } from "../operation.js";
import { EventId, RoomId } from "../types/identifiers.js";

const nothing = Type.Object({});
const paths = [
  "/_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription",
  "/_matrix/client/v1/rooms/{roomId}/thread/{eventId}/subscription",
] as const;
const params = Type.Object({ roomId: RoomId, eventId: EventId });
const bump_stamp = Type.Integer();

export const putThreadSubscription = operation({
  operationId: "putThreadSubscription",
  method: "PUT",
  paths,
  auth: "user",
  limit: "account",
  summary: "Lets the caller follow a thread: by choice, or because of an event of it.",
  params,
  body: Type.Object({ automatic: Type.Optional(EventId) }),
  response: nothing,
});

export const deleteThreadSubscription = operation({
  operationId: "deleteThreadSubscription",
  method: "DELETE",
  paths,
  auth: "user",
  limit: "account",
  summary: "Lets the caller follow a thread no longer.",
  params,
  response: nothing,
});

export const getThreadSubscription = operation({
  operationId: "getThreadSubscription",
  method: "GET",
  paths,
  auth: "user",
  limit: "lookup",
  summary: "Whether the caller follows a thread by choice.",
  params,
  response: Type.Object({ automatic: Type.Boolean() }),
});

export const getThreadSubscriptions = operation({
  operationId: "getThreadSubscriptions",
  method: "GET",
  paths: ["/_matrix/client/unstable/io.element.msc4308/thread_subscriptions", "/_matrix/client/v1/thread_subscriptions"],
  auth: "user",
  limit: "lookup",
  summary: "The threads that the caller follows or has ceased to follow, the latest change first.",
  query: Type.Object({
    dir: Type.Optional(Type.Literal("b")),
    from: Type.Optional(Type.String()),
    to: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
  }),
  response: Type.Object({
    subscribed: Type.Optional(
      Type.Record(RoomId, Type.Record(EventId, Type.Object({ automatic: Type.Boolean(), bump_stamp }))),
    ),
    unsubscribed: Type.Optional(Type.Record(RoomId, Type.Record(EventId, Type.Object({ bump_stamp })))),
    end: Type.Optional(Type.String()),
  }),
});
