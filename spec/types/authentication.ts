// What clients send to prove who they are (client-server API, "User-Interactive Authentication API", "Identifier types").
import { Type } from "typebox";

/** Made up by clients, and shown again by them. */
export const ClientSecret = Type.String({ pattern: "^[0-9a-zA-Z.=_-]{1,255}$" });

export const ThreePidCredentials = Type.Object({
  sid: Type.String({ maxLength: 255 }),
  client_secret: ClientSecret,
});

export const UserIdentifier = Type.Object({
  type: Type.String(),
  user: Type.Optional(Type.String()),
  medium: Type.Optional(Type.String()),
  address: Type.Optional(Type.String()),
  country: Type.Optional(Type.String()),
  phone: Type.Optional(Type.String()),
});

/** One stage of user-interactive authentication; further keys depend on the stage. */
export const AuthenticationData = Type.Object({
  type: Type.Optional(Type.String()),
  // Clients built on Ruma write null where they have no session.
  session: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  password: Type.Optional(Type.String()),
  token: Type.Optional(Type.String()),
  identifier: Type.Optional(UserIdentifier),
  user: Type.Optional(Type.String()),
  medium: Type.Optional(Type.String()),
  address: Type.Optional(Type.String()),
  response: Type.Optional(Type.String({ maxLength: 8192 })),
  threepid_creds: Type.Optional(ThreePidCredentials),
});
