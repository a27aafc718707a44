// Client-server API, "Fallback" of user-interactive authentication and "Login Fallback": pages for clients that do not know
// a stage or a way to log in.
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { ClientSecret } from "../types/authentication.js";

const stage = Type.Object({ stage: Type.String() });
const session = Type.Object({ session: Type.String({ maxLength: 255 }) });
/** A page. */
const Page = Type.Unknown();

export const showStage = operation({
  operationId: "showStage",
  method: "GET",
  paths: clientPaths("/auth/{stage}/fallback/web"),
  auth: "none",
  limit: "lookup",
  summary: "A page to pass a stage of user-interactive authentication with.",
  params: stage,
  query: session,
  response: Page,
});

export const passStage = operation({
  operationId: "passStage",
  method: "POST",
  paths: clientPaths("/auth/{stage}/fallback/web"),
  auth: "none",
  limit: "registration",
  summary: "Passes the stage.",
  params: stage,
  query: session,
  body: Type.Object({
    token: Type.Optional(Type.String({ maxLength: 255 })),
    "g-recaptcha-response": Type.Optional(Type.String({ maxLength: 8192 })),
    email: Type.Optional(Type.String({ maxLength: 500 })),
    sid: Type.Optional(Type.String({ maxLength: 255 })),
    client_secret: Type.Optional(ClientSecret),
  }),
  form: true,
  response: Page,
});

export const showLogin = operation({
  operationId: "showLogin",
  method: "GET",
  paths: ["/_matrix/static/client/login/", "/_matrix/static/client/login"],
  auth: "none",
  limit: "lookup",
  summary: "A page to log in with.",
  response: Page,
});
