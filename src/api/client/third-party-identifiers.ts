// Client-server API, "Adding Account Administrative Contact Information", and the messages that prove addresses.
import type * as spec from "../../../spec/client/third-party-identifiers.js";
import type { BodyOf } from "../../../spec/operation.js";
import { requirePasswords } from "../../accounts/account.js";
import { type Challenge, requireAuthentication } from "../../accounts/interactive-authentication.js";
import { requireOpen } from "../../accounts/registration.js";
import type { Requester } from "../../accounts/requester.js";
import { addValidated, removeThirdPartyId } from "../../accounts/third-party-ids.js";
import { requestValidation, requireValidated, type Credentials } from "../../accounts/validation.js";
import { invalidParam, MatrixError } from "../../errors.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import { canonicalAddress, canonicalEmail, canonicalPhoneNumber, type ThirdPartyId } from "../../protocol/third-party-ids.js";
import { listThirdPartyIds } from "../../storage/third-party-ids.js";
import type { ValidationPurpose } from "../../storage/validation-sessions.js";
import type { Handler, Request } from "../handler.js";
import type { Services } from "../services.js";
import { confirmation } from "./confirmation.js";

type EmailRequest = BodyOf<typeof spec.requestTokenToRegisterEmail>;
type MsisdnRequest = BodyOf<typeof spec.requestTokenToRegisterMSISDN>;

export const getAccount3PIDs: Handler<typeof spec.getAccount3PIDs> = async ({ database }, { auth }) => ({
  threepids: await listThirdPartyIds(database, auth.user_nid),
});

async function add(services: Services, auth: Requester, body: Challenge["body"], credentials: Credentials): Promise<void> {
  const { sid } = await requireValidated(services, serverNameOf(auth.user_id), "account", credentials);
  await requireAuthentication(services, confirmation(services, "add3PID", auth, body));
  await services.database.transaction((tx) => addValidated(services, tx, auth, sid));
}

export const post3PIDs: Handler<typeof spec.post3PIDs> = async (services, { auth, body }) => {
  await add(services, auth, body, body.three_pid_creds).catch((cause: unknown) => {
    const isUnproved = cause instanceof MatrixError && cause.errcode === "M_THREEPID_AUTH_FAILED";
    throw isUnproved ? new MatrixError(403, cause.errcode, cause.message) : cause;
  });
  return {};
};

export const add3PID: Handler<typeof spec.add3PID> = async (services, { auth, body }) => {
  await add(services, auth, body, body);
  return {};
};

export const bind3PID: Handler<typeof spec.bind3PID> = async () => {
  throw new MatrixError(400, "M_SERVER_NOT_TRUSTED", "This server trusts no identity server.");
};

export const unbind3pidFromAccount: Handler<typeof spec.unbind3pidFromAccount> = async () => ({
  id_server_unbind_result: "no-support",
});

export const delete3pidFromAccount: Handler<typeof spec.delete3pidFromAccount> = async (services, { auth, body }) => {
  const id = canonicalAddress(body.medium, body.address);
  if (id !== undefined) await removeThirdPartyId(services, auth.user_nid, id);
  return { id_server_unbind_result: "no-support" };
};

function emailOf({ email }: EmailRequest): ThirdPartyId {
  const address = canonicalEmail(email);
  if (address === undefined) throw invalidParam("This is not an e-mail address.");
  return { medium: "email", address };
}

function phoneOf({ country, phone_number }: MsisdnRequest): ThirdPartyId {
  const address = canonicalPhoneNumber(phone_number, country);
  if (address === undefined) throw invalidParam("This is not a phone number of that country.");
  return { medium: "msisdn", address };
}

interface TokenRequest {
  readonly body: EmailRequest | MsisdnRequest;
  readonly acceptedLanguages: string;
  readonly auth?: Requester | undefined;
  readonly server: Request<typeof spec.requestTokenToRegisterEmail>["server"];
}

function send(services: Services, purpose: ValidationPurpose, id: ThirdPartyId, request: TokenRequest): ReturnType<typeof requestValidation> {
  const { client_secret, send_attempt, next_link } = request.body;
  const server = request.auth === undefined ? request.server : serverNameOf(request.auth.user_id);
  const { acceptedLanguages: accepted_languages } = request;
  return requestValidation(services, { server, purpose, id, client_secret, send_attempt, next_link, accepted_languages });
}

export const requestTokenTo3PIDEmail: Handler<typeof spec.requestTokenTo3PIDEmail> = (services, request) =>
  send(services, "account", emailOf(request.body), request);

export const requestTokenTo3PIDMSISDN: Handler<typeof spec.requestTokenTo3PIDMSISDN> = (services, request) =>
  send(services, "account", phoneOf(request.body), request);

export const requestTokenToRegisterEmail: Handler<typeof spec.requestTokenToRegisterEmail> = async (services, request) => {
  requireOpen(services, request.server);
  return await send(services, "register", emailOf(request.body), request);
};

export const requestTokenToRegisterMSISDN: Handler<typeof spec.requestTokenToRegisterMSISDN> = async (services, request) => {
  requireOpen(services, request.server);
  return await send(services, "register", phoneOf(request.body), request);
};

export const requestTokenToResetPasswordEmail: Handler<typeof spec.requestTokenToResetPasswordEmail> = async (services, request) => {
  requirePasswords(services);
  return await send(services, "password", emailOf(request.body), request);
};

export const requestTokenToResetPasswordMSISDN: Handler<typeof spec.requestTokenToResetPasswordMSISDN> = async (services, request) => {
  requirePasswords(services);
  return await send(services, "password", phoneOf(request.body), request);
};
