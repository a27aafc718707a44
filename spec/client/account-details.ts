// Pages of the account besides the overview: the user's picture and addresses.
import { Type } from "typebox";
import { operation } from "../operation.js";

const Page = Type.Unknown();
const Text = Type.Optional(Type.String({ maxLength: 4096 }));
const headers = Type.Object({ cookie: Type.Optional(Type.String({ maxLength: 16_384 })) });

export const showAvatar = operation({
  operationId: "showAvatar",
  method: "GET",
  paths: ["/_hansa/account/avatar"],
  auth: "none",
  limit: "download",
  summary: "The picture of the user who is logged in to the pages.",
  headers,
  response: Page,
});

export const changeAvatar = operation({
  operationId: "changeAvatar",
  method: "POST",
  paths: ["/_hansa/account/avatar"],
  auth: "none",
  limit: "upload",
  summary: "Gives that user another picture.",
  headers: Type.Object({ ...headers.properties, "content-type": Type.Optional(Type.String({ maxLength: 255 })), "x-csrf": Text }),
  body: "bytes",
  response: Page,
});

export const showAddresses = operation({
  operationId: "showAddresses",
  method: "GET",
  paths: ["/_hansa/account/addresses"],
  auth: "none",
  limit: "lookup",
  summary: "The mail addresses and telephone numbers of the user who is logged in to the pages.",
  headers,
  response: Page,
});

export const changeAddresses = operation({
  operationId: "changeAddresses",
  method: "POST",
  paths: ["/_hansa/account/addresses"],
  auth: "none",
  limit: "login",
  summary: "What the forms of that page do.",
  headers,
  body: Type.Object({ csrf: Text, action: Text, medium: Text, address: Text, sid: Text, client_secret: Text, password: Text }),
  form: true,
  response: Page,
});
