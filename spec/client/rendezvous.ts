// QR sign-in: where two clients of a user meet (MSC4388, and MSC4108 of 2024).
import { Type } from "typebox";
import { operation } from "../operation.js";

const MSC4388 = "/_matrix/client/unstable/io.element.msc4388/rendezvous";
const MSC4108 = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
const id = Type.Object({ id: Type.String({ maxLength: 255 }) });
const Data = Type.String({ maxLength: 16_384 });
const headers = Type.Object({
  "if-match": Type.Optional(Type.String({ maxLength: 255 })),
  "if-none-match": Type.Optional(Type.String({ maxLength: 255 })),
  "sec-fetch-mode": Type.Optional(Type.String({ maxLength: 255 })),
});

export const findRendezvous = operation({
  operationId: "findRendezvous",
  method: "GET",
  paths: [MSC4388],
  auth: "none",
  limit: "lookup",
  summary: "Whether clients can meet here.",
  response: Type.Object({ create_available: Type.Boolean() }),
});

export const openRendezvous = operation({
  operationId: "openRendezvous",
  method: "POST",
  paths: [MSC4388],
  auth: "none",
  limit: "login",
  summary: "Opens a place to meet.",
  body: Type.Object({ data: Data }),
  response: Type.Object({ id: Type.String(), sequence_token: Type.String(), expires_in_ms: Type.Integer() }),
});

export const getRendezvous = operation({
  operationId: "getRendezvous",
  method: "GET",
  paths: [`${MSC4388}/{id}`],
  auth: "none",
  limit: "lookup",
  summary: "What was left there last.",
  params: id,
  headers,
  response: Type.Object({ data: Type.String(), sequence_token: Type.String(), expires_in_ms: Type.Integer() }),
});

export const putRendezvous = operation({
  operationId: "putRendezvous",
  method: "PUT",
  paths: [`${MSC4388}/{id}`, `${MSC4388}/{id}/{txnId}`],
  auth: "none",
  limit: "lookup",
  summary: "Leaves something else, in answer to what was there.",
  params: Type.Object({ id: Type.String({ maxLength: 255 }), txnId: Type.Optional(Type.String({ maxLength: 255 })) }),
  body: Type.Object({ sequence_token: Type.String({ maxLength: 255 }), data: Data }),
  response: Type.Object({ sequence_token: Type.String() }),
});

export const deleteRendezvous = operation({
  operationId: "deleteRendezvous",
  method: "DELETE",
  paths: [`${MSC4388}/{id}`],
  auth: "none",
  limit: "lookup",
  summary: "Ends it.",
  params: id,
  response: Type.Object({}),
});

export const openMsc4108Rendezvous = operation({
  operationId: "openMsc4108Rendezvous",
  method: "POST",
  paths: [MSC4108],
  auth: "none",
  limit: "login",
  summary: "The same for clients of 2024: the body is what is left, the ETag its version.",
  body: "bytes",
  response: Type.Object({ url: Type.String() }),
});

export const getMsc4108Rendezvous = operation({
  operationId: "getMsc4108Rendezvous",
  method: "GET",
  paths: [`${MSC4108}/{id}`],
  auth: "none",
  limit: "lookup",
  summary: "What was left there last.",
  params: id,
  headers,
  response: Type.Unknown(),
});

export const putMsc4108Rendezvous = operation({
  operationId: "putMsc4108Rendezvous",
  method: "PUT",
  paths: [`${MSC4108}/{id}`],
  auth: "none",
  limit: "lookup",
  summary: "Leaves something else, in answer to what was there.",
  params: id,
  headers,
  body: "bytes",
  response: Type.Unknown(),
});

export const deleteMsc4108Rendezvous = operation({
  operationId: "deleteMsc4108Rendezvous",
  method: "DELETE",
  paths: [`${MSC4108}/{id}`],
  auth: "none",
  limit: "lookup",
  summary: "Ends it.",
  params: id,
  response: Type.Unknown(),
});
