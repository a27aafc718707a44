// Client-server API, "Room Creation".
import type * as spec from "../../../spec/client/create-room.js";
import { requireAliasFree } from "../../appservice/acting.js";
import { requestUsers } from "../../appservice/queries.js";
import { parseRoomAlias, serverNameOf } from "../../protocol/identifiers.js";
import * as create from "../../rooms/create.js";
import type { Handler } from "../handler.js";

export const createRoom: Handler<typeof spec.createRoom> = async (services, { auth, body: wished }) => {
  const body = auth.shadow_banned === true ? { ...wished, invite: [], invite_3pid: [] } : wished;
  const alias = parseRoomAlias(`#${body.room_alias_name ?? ""}:${serverNameOf(auth.user_id)}`);
  if (body.room_alias_name !== undefined && alias !== undefined) requireAliasFree(services.appservices, alias, auth);
  await requestUsers(services, body.invite ?? []);
  return { room_id: await create.createRoom(services, auth, body) };
};
