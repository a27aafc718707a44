// /sync and the small calls of a conversation over one WebSocket: an extension of this server, not of the specification.
//
// A client connects to the path below with the query of /sync (`filter`, `since`, `full_state`, `set_presence`,
// `use_state_after`). The access token is in the Authorization header or, for web browsers, which cannot set one, in
// the first frame: {"type":"authenticate","token":"..."}, within ten seconds. The server says {"type":"authenticated"}.
//
// Syncs. The server sends {"type":"sync","position","response"} as soon as there is something to tell; `response` is what
// /sync would have answered, `position` its next_batch. It sends the next only after {"type":"ack","position"}: this is
// when a client asks /sync again, and what a device need not be sent again is forgotten then. So a slow reader costs no more
// than one answer. After 30 seconds without news an answer without news comes, to move the position on. Whoever connects again says
// the last position that it has stored as `since`: nothing is missing or comes twice. `set_presence` in an ack changes that
// of the query.
//
// Calls. {"type":"request","id","operation","params","query","body"} calls one of SOCKET_OPERATIONS with the parts that
// HTTP has; {"type":"response","id","status","body"} answers. Rights, checks, limits and transaction ids are those of HTTP.
// Those of one socket are carried out one after another. Who sends more than are carried out is not read meanwhile.
//
// The server pings; who does not answer is cut off. Before it closes a socket for an error it sends {"type":"error","body"} with the
// Matrix error; CLOSE_CODES has the codes.
import { Type } from "typebox";
import { operation } from "../operation.js";

export const websocketSync = operation({
  operationId: "websocketSync",
  method: "GET",
  paths: ["/_matrix/client/unstable/org.hansa.websocket/sync"],
  auth: "none",
  summary: "Upgrades the connection to a WebSocket that carries /sync and small calls; 426 for what is no such upgrade.",
  response: Type.Object({}),
});
