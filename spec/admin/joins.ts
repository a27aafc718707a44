// Hansa's own admin API: joins through other servers.
import { Type } from "typebox";
import { operation } from "../operation.js";

const NullableInteger = Type.Unsafe<number | null>({ type: ["integer", "null"] });
const NullableString = Type.Unsafe<string | null>({ type: ["string", "null"] });

export const adminListJoins = operation({
  operationId: "adminListJoins",
  method: "GET",
  paths: ["/_hansa/admin/v1/joins"],
  auth: "admin",
  summary: "How far joins through other servers are, the latest first.",
  query: Type.Object({
    from: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 }),
    limit: Type.Integer({ minimum: 1, maximum: 1_000, default: 100 }),
  }),
  response: Type.Object({
    joins: Type.Array(
      Type.Object({
        room_id: Type.String(),
        user_id: Type.String(),
        server: Type.String({ description: "Which server let the user in." }),
        phase: Type.Unsafe<"writing" | "incomplete" | "complete" | "given_up">({
          type: "string",
          enum: ["writing", "incomplete", "complete", "given_up"],
          description: "writing: its state is written; incomplete: in use, without all of its members; given_up: nobody of ours is there any more.",
        }),
        written: Type.Integer({ description: "Events of the room's state, and of what authorises it, that are written." }),
        expected: Type.Integer({ description: "As many as are known to be needed." }),
        attempts: Type.Integer({ description: "How often the rest of the state was asked for." }),
        error: NullableString,
        process: Type.Unsafe<number | null>({ ...NullableInteger, description: "The number of the process that is at it, of those that share the database." }),
        started_ts: Type.Integer(),
        usable_ts: NullableInteger,
        finished_ts: NullableInteger,
      }),
    ),
    next_from: Type.Optional(Type.Integer()),
  }),
});
