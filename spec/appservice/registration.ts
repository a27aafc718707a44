// The file by which an application service is registered (application service API, "Registration").
import { Type, type Static } from "typebox";

const token = Type.String({ minLength: 1 });

const namespaces = Type.Optional(
  Type.Array(
    Type.Object({
      exclusive: Type.Boolean({ default: false }),
      regex: Type.String({ minLength: 1 }),
    }),
  ),
);

/** Settings that other programs put into the same file are let be. */
export const Registration = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 255 }),
  url: Type.Union([Type.String(), Type.Null()]),
  as_token: token,
  hs_token: token,
  sender_localpart: Type.String({ minLength: 1 }),
  namespaces: Type.Object({ users: namespaces, aliases: namespaces, rooms: namespaces }),
  rate_limited: Type.Optional(Type.Boolean()),
  protocols: Type.Optional(Type.Union([Type.Array(Type.String({ minLength: 1 })), Type.Null()])),
  receive_ephemeral: Type.Optional(Type.Boolean()),
  /** The name of `receive_ephemeral` before the specification had it. */
  "de.sorunome.msc2409.push_ephemeral": Type.Optional(Type.Boolean()),
  /** Whether it is told what its encrypting devices would hear by /sync (MSC3202). */
  "org.matrix.msc3202": Type.Optional(Type.Boolean()),
  /** Ours: which server of the deployment it belongs to; the first one if absent. */
  server_name: Type.Optional(Type.String()),
});

export type Registration = Static<typeof Registration>;
