// The link in mails about unread messages by which whoever gets them ends them.
import { Type } from "typebox";
import { operation } from "../operation.js";

const link = Type.Object({ pusher: Type.Integer({ minimum: 0 }), token: Type.String({ maxLength: 255 }) });
/** A page. */
const Page = Type.Unknown();

export const showUnsubscribe = operation({
  operationId: "showUnsubscribe",
  method: "GET",
  paths: ["/_hansa/client/v1/unsubscribe"],
  auth: "none",
  limit: "lookup",
  summary: "The page that the link leads to. Looking at it ends nothing: programs that check mails do that too.",
  query: link,
  response: Page,
});

export const unsubscribe = operation({
  operationId: "unsubscribe",
  method: "POST",
  paths: ["/_hansa/client/v1/unsubscribe"],
  auth: "none",
  limit: "lookup",
  summary: "Ends the mails, by the button of that page or of a mail program (RFC 8058).",
  query: link,
  response: Page,
});
