// Where links and codes that prove addresses are shown to be received: pages of ours, and the Identity Service API's operation
// that clients submit codes with.
import { Type } from "typebox";
import { operation } from "../operation.js";
import { ClientSecret } from "../types/authentication.js";

const Proof = Type.Object({
  sid: Type.String({ maxLength: 255 }),
  client_secret: ClientSecret,
  token: Type.String({ maxLength: 255 }),
});
/** A page. */
const Page = Type.Unknown();

export const showEmailValidation = operation({
  operationId: "showEmailValidation",
  method: "GET",
  paths: ["/_hansa/client/v1/validate/email"],
  auth: "none",
  limit: "lookup",
  summary: "The page that a link in a mail leads to. Looking at it confirms nothing: programs that check mails do that too.",
  query: Proof,
  response: Page,
});

export const confirmEmailValidation = operation({
  operationId: "confirmEmailValidation",
  method: "POST",
  paths: ["/_hansa/client/v1/validate/email"],
  auth: "none",
  limit: "lookup",
  summary: "Confirms an e-mail address, by the button of that page.",
  query: Proof,
  response: Page,
});

export const submitMsisdnToken = operation({
  operationId: "submitMsisdnToken",
  method: "POST",
  paths: ["/_hansa/client/v1/validate/msisdn/submit_token"],
  auth: "none",
  limit: "lookup",
  summary: "Confirms a phone number by the code that was sent to it.",
  body: Proof,
  response: Type.Object({ success: Type.Boolean() }),
});
