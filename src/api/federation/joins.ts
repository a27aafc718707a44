// Server-server API, "Joining Rooms".
import type * as spec from "../../../spec/federation/joins.js";
import { joinTemplate, takeJoin } from "../../rooms/membership/serve-join.js";
import type { JoinAnswer } from "../../rooms/membership/serve-join.js";
import { Reply, type Handler } from "../handler.js";

export const makeJoin: Handler<typeof spec.makeJoin> = async (services, { auth, params, query }) =>
  await joinTemplate(services, auth, params.roomId, params.userId, query.ver);

/** Events are sent as they were signed: their texts, put together. */
function answerOf({ event, pdus, authChain, servers, membersOmitted }: JoinAnswer, origin: string): string {
  const list = (events: JoinAnswer["pdus"]): string => `[${events.map((read) => read.event.json).join(",")}]`;
  return (
    `{"origin":${JSON.stringify(origin)},"members_omitted":${membersOmitted},"servers_in_room":${JSON.stringify(servers)},` +
    `"event":${event.json},"state":${list(pdus)},"auth_chain":${list(authChain)}}`
  );
}

export const sendJoinV1: Handler<typeof spec.sendJoinV1> = async (services, { auth, params, body }) =>
  new Reply(200, `[200,${answerOf(await takeJoin(services, auth, params.roomId, params.eventId, body, false), auth.destination)}]`);

export const sendJoinV2: Handler<typeof spec.sendJoinV2> = async (services, { auth, params, query, body }) =>
  new Reply(200, answerOf(await takeJoin(services, auth, params.roomId, params.eventId, body, query.omit_members === true), auth.destination));
