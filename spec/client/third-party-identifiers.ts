// Client-server API, "Adding Account Administrative Contact Information", and the messages that prove addresses.
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { AuthenticationData, ClientSecret, ThreePidCredentials } from "../types/authentication.js";

const Medium = Type.Union([Type.Literal("email"), Type.Literal("msisdn")]);
const Unbound = Type.Object({ id_server_unbind_result: Type.Union([Type.Literal("success"), Type.Literal("no-support")]) });
const Session = Type.Object({ sid: Type.String(), submit_url: Type.Optional(Type.String()) });

const EmailRequest = Type.Object({
  client_secret: ClientSecret,
  email: Type.String({ maxBytes: 500 }),
  send_attempt: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
  next_link: Type.Optional(Type.String({ maxBytes: 2000 })),
});
const MsisdnRequest = Type.Object({
  client_secret: ClientSecret,
  country: Type.String({ minLength: 2, maxLength: 2 }),
  phone_number: Type.String({ maxBytes: 100 }),
  send_attempt: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
  next_link: Type.Optional(Type.String({ maxBytes: 2000 })),
});

export const getAccount3PIDs = operation({
  operationId: "getAccount3PIDs",
  method: "GET",
  paths: clientPaths("/account/3pid"),
  auth: "user",
  limit: "lookup",
  summary: "The addresses of the account.",
  response: Type.Object({
    threepids: Type.Array(
      Type.Object({ medium: Medium, address: Type.String(), validated_at: Type.Integer(), added_at: Type.Integer() }),
    ),
  }),
});

export const post3PIDs = operation({
  operationId: "post3PIDs",
  method: "POST",
  paths: clientPaths("/account/3pid"),
  auth: "user",
  limit: "account",
  summary: "As add3PID, as older clients call it.",
  body: Type.Object({ auth: Type.Optional(AuthenticationData), three_pid_creds: ThreePidCredentials }),
  response: Type.Object({}),
});

export const add3PID = operation({
  operationId: "add3PID",
  method: "POST",
  paths: clientPaths("/account/3pid/add"),
  auth: "user",
  limit: "account",
  summary: "Gives the account an address that was proved, after user-interactive authentication.",
  body: Type.Object({
    auth: Type.Optional(AuthenticationData),
    sid: Type.String({ maxLength: 255 }),
    client_secret: ClientSecret,
  }),
  response: Type.Object({}),
});

export const bind3PID = operation({
  operationId: "bind3PID",
  method: "POST",
  paths: clientPaths("/account/3pid/bind"),
  auth: "user",
  limit: "account",
  summary: "Refused: this server trusts no identity server.",
  body: Type.Object({
    client_secret: ClientSecret,
    id_server: Type.String(),
    id_access_token: Type.String(),
    sid: Type.String({ maxLength: 255 }),
  }),
  response: Type.Object({}),
});

export const unbind3pidFromAccount = operation({
  operationId: "unbind3pidFromAccount",
  method: "POST",
  paths: clientPaths("/account/3pid/unbind"),
  auth: "user",
  limit: "account",
  summary: "Changes nothing: this server has bound no address anywhere.",
  body: Type.Object({ id_server: Type.Optional(Type.String()), medium: Medium, address: Type.String() }),
  response: Unbound,
});

export const delete3pidFromAccount = operation({
  operationId: "delete3pidFromAccount",
  method: "POST",
  paths: clientPaths("/account/3pid/delete"),
  auth: "user",
  limit: "account",
  refusedWhileSuspended: true,
  summary: "Takes an address from the account.",
  body: Type.Object({ id_server: Type.Optional(Type.String()), medium: Medium, address: Type.String() }),
  response: Unbound,
});

export const requestTokenTo3PIDEmail = operation({
  operationId: "requestTokenTo3PIDEmail",
  method: "POST",
  paths: clientPaths("/account/3pid/email/requestToken"),
  auth: "optional",
  limit: "validation",
  summary: "Sends a link to an e-mail address that is to be added to an account.",
  body: EmailRequest,
  response: Session,
});

export const requestTokenTo3PIDMSISDN = operation({
  operationId: "requestTokenTo3PIDMSISDN",
  method: "POST",
  paths: clientPaths("/account/3pid/msisdn/requestToken"),
  auth: "optional",
  limit: "validation",
  summary: "Sends a code to a phone number that is to be added to an account.",
  body: MsisdnRequest,
  response: Session,
});

export const requestTokenToRegisterEmail = operation({
  operationId: "requestTokenToRegisterEmail",
  method: "POST",
  paths: clientPaths("/register/email/requestToken"),
  auth: "none",
  limit: "validation",
  summary: "Sends a link to the e-mail address of a new user.",
  body: EmailRequest,
  response: Session,
});

export const requestTokenToRegisterMSISDN = operation({
  operationId: "requestTokenToRegisterMSISDN",
  method: "POST",
  paths: clientPaths("/register/msisdn/requestToken"),
  auth: "none",
  limit: "validation",
  summary: "Sends a code to the phone number of a new user.",
  body: MsisdnRequest,
  response: Session,
});

export const requestTokenToResetPasswordEmail = operation({
  operationId: "requestTokenToResetPasswordEmail",
  method: "POST",
  paths: clientPaths("/account/password/email/requestToken"),
  auth: "none",
  limit: "validation",
  summary: "Sends a link to the e-mail address of a user who has forgotten the password.",
  body: EmailRequest,
  response: Session,
});

export const requestTokenToResetPasswordMSISDN = operation({
  operationId: "requestTokenToResetPasswordMSISDN",
  method: "POST",
  paths: clientPaths("/account/password/msisdn/requestToken"),
  auth: "none",
  limit: "validation",
  summary: "Sends a code to the phone number of a user who has forgotten the password.",
  body: MsisdnRequest,
  response: Session,
});
