// The rooms that two users share (client-server API, "Mutual rooms").
import { invalidParam } from "../../errors.js";
import type { RoomId, UserId } from "../../protocol/identifiers.js";
import { countMutualRooms, mutualRoomsAfter } from "../../storage/memberships.js";
import type { RoomContext, RoomUser } from "../context.js";

const PAGE = 100;

export interface MutualRooms {
  readonly joined: RoomId[];
  readonly count: number;
  readonly next_batch?: string;
}

/** A page of the rooms that the user and another one have both joined. Throws M_INVALID_PARAM for the user, for a token. */
export async function mutualRooms(
  { database, interning }: RoomContext,
  user: RoomUser,
  other: UserId,
  from: string | undefined,
): Promise<MutualRooms> {
  if (other === user.user_id) throw invalidParam("With yourself you share all your rooms.");
  const [, place] = from === undefined ? [from, "0"] : (/^m(\d{1,15})$/.exec(from) ?? []);
  if (place === undefined) throw invalidParam('"from" is no token of this server.');
  const otherNid = (await interning.findUsers([other])).get(other);
  if (otherNid === undefined) return { joined: [], count: 0 };
  return await database.snapshot(async (reads) => {
    const [rooms, count] = await Promise.all([
      mutualRoomsAfter(reads, user.user_nid, otherNid, Number(place), PAGE + 1),
      countMutualRooms(reads, user.user_nid, otherNid),
    ]);
    const page = rooms.slice(0, PAGE);
    const last = page.at(-1);
    return {
      joined: page.map(({ room_id }) => room_id),
      count,
      ...(rooms.length > PAGE && last !== undefined && { next_batch: `m${last.nid}` }),
    };
  });
}
