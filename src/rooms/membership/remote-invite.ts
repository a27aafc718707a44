// Invitations between servers: ours are signed by the other server before they happen, those of others by us (server-server
// API, "Inviting to a room").
import { FederationError } from "../../federation/client.js";
import { forbidden, invalidParam, MatrixError, unknownError } from "../../errors.js";
import { cosignEvent } from "../../protocol/event-format.js";
import type { RoomEvent } from "../../protocol/event.js";
import { type EventId, parseUserId, type RoomId, serverNameOf, type UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, own, ownString } from "../../protocol/json.js";
import { membershipIn } from "../../protocol/membership.js";
import { roomVersion, type RoomVersion } from "../../protocol/room-version.js";
import { checkEvents, refusalOf } from "../remote/check-events.js";
import type { RoomContext } from "../context.js";
import { findRoom, memberTuple, requireRoom, stateEventsOf } from "../current-state.js";
import { hasLocalMember } from "../../storage/memberships.js";
import { nextMemberEvent, signDraft } from "./event-template.js";
import { inviteFilters } from "./invite-filter.js";
import { setOutside, strippedObjects } from "./outside.js";
import { POLICY, policyServerOf } from "../owner/policy.js";
import type { Sender } from "../remote/receive.js";
import { strippedStateOf } from "../views/stripped-state.js";


/**
 * Invites a user of another server, which signs the invitation and tells its user. Throws M_FORBIDDEN where the room's rules or
 * the other server refuse it, what the room's policy server says against it, M_UNKNOWN 502 if that cannot be reached.
 */
export async function inviteElsewhere(
  context: RoomContext,
  sender: UserId,
  roomId: RoomId,
  target: UserId,
  content: JsonObject,
): Promise<EventId> {
  const { database, owners } = context;
  const room = await requireRoom(database, roomId, forbidden("You are not in this room."));
  const version = room.rules;
  const draft = await nextMemberEvent(context, database, room, { sender, target, content: { ...content, membership: "invite" } });
  const built = signDraft(context, version, draft, serverNameOf(sender));
  const state = await stateEventsOf(context, database, room.nid, [memberTuple(sender), POLICY]);
  const policy = policyServerOf(state.get(POLICY));
  const event = policy === undefined ? built : await context.askPolicyServer({ room_nid: room.nid, version, event: built, policy });
  const inviter = state.get(memberTuple(sender));
  const known = (await strippedStateOf(context, database, room.nid)).map((read) => read.event);
  const shown = inviter === undefined ? known : [...known, inviter];
  const signed = await askToSign(context, version, event, target, shown);
  const { outcomes } = await owners.receive(version, roomId, [{ event: signed, as: "live" }]);
  if (outcomes.get(event.event_id) !== "live") throw forbidden("The room does not allow this invitation any more.");
  return event.event_id;
}

async function askToSign(
  { federation }: RoomContext,
  version: RoomVersion,
  event: RoomEvent,
  target: UserId,
  shown: readonly RoomEvent[],
): Promise<RoomEvent> {
  const destination = serverNameOf(target);
  const path = `${encodeURIComponent(event.room_id)}/${encodeURIComponent(event.event_id)}`;
  const wire = JSON.parse(event.json) as JsonObject;
  const whole = shown.map(({ json }) => JSON.parse(json) as JsonObject);
  const request = { origin: serverNameOf(event.sender), destination, method: "PUT" as const, hasEvents: true };
  let answer: JsonObject;
  try {
    answer = await federation.client.request({
      ...request,
      uri: `/_matrix/federation/v2/invite/${path}`,
      body: { event: wire, room_version: version.id, invite_room_state: whole },
    }).catch((error: unknown) => {
      // Older servers know rooms of the first two versions only.
      if (!(error instanceof FederationError) || !error.isUnknownPath || version.eventIds !== "chosen") throw error;
      const body = { ...wire, unsigned: { invite_room_state: strippedObjects(shown) } };
      return federation.client.request({ ...request, uri: `/_matrix/federation/v1/invite/${path}`, body });
    });
  } catch (error) {
    if (!(error instanceof FederationError)) throw error;
    if (error.isOutage) throw unknownError(502, `${destination} could not be reached.`, error);
    // What we have sent is wrong, not what the client has.
    if (error.errcode === "M_MISSING_PARAM" || error.errcode === "M_INVALID_PARAM") throw unknownError(502, `${destination} does not understand the invitation.`, error);
    if (error.errcode === "M_INCOMPATIBLE_ROOM_VERSION" || error.errcode === "M_UNSUPPORTED_ROOM_VERSION") {
      throw new MatrixError(400, "M_UNSUPPORTED_ROOM_VERSION", `${destination} does not know room version ${version.id}.`);
    }
    const code = error.errcode === undefined || error.status !== 403 ? "M_FORBIDDEN" : error.errcode;
    throw new MatrixError(403, code, ownString(error.answer, "error") ?? `${destination} refuses the invitation.`);
  }
  const [checked] = await checkEvents(federation.keyRing, version, [own(answer, "event") ?? null]);
  const signed = checked !== undefined && "event" in checked && checked.event.event_id === event.event_id ? checked.event : undefined;
  if (signed === undefined) throw unknownError(502, `${destination} did not give the invitation back as it was.`);
  return signed;
}

export interface Invitation {
  readonly event: JsonObject;
  readonly room_version: string;
  readonly invite_room_state: readonly JsonValue[];
}

/**
 * Signs another server's invitation of a user of ours, who is told of it: the signed event's text. Throws M_INVALID_PARAM for what
 * is no such invitation, M_INCOMPATIBLE_ROOM_VERSION, M_INVITE_BLOCKED, M_FORBIDDEN.
 */
export async function takeInvitation(
  context: RoomContext,
  { origin, destination }: Sender,
  roomId: RoomId,
  eventId: EventId,
  { event: wire, room_version, invite_room_state }: Invitation,
): Promise<string> {
  const { database, federation, interning } = context;
  const version = roomVersion(room_version);
  if (version === undefined) throw new MatrixError(400, "M_INCOMPATIBLE_ROOM_VERSION", "This server does not know this room version.", { extra: { room_version } });
  const [checked] = await checkEvents(federation.keyRing, version, [wire]);
  if (checked === undefined) throw invalidParam("There is no event.");
  if ("refused" in checked) throw refusalOf(`The invitation is not sound: ${checked.refused}.`, checked.because);
  const { event } = checked;
  const target = parseUserId(event.state_key);
  if (event.type !== "m.room.member" || membershipIn(event.content) !== "invite") throw invalidParam("This is no invitation.");
  if (event.room_id !== roomId || event.event_id !== eventId) throw invalidParam("The invitation is another one than the path names.");
  if (serverNameOf(event.sender) !== origin) throw invalidParam("A server invites in the name of its own users only.");
  if (target === undefined || serverNameOf(target) !== destination) throw invalidParam("The invited user is not one of this server.");
  await requireCreateEvent(context, version, roomId, invite_room_state);
  const userNid = (await interning.findUsers([target])).get(target);
  if (userNid === undefined) throw forbidden("There is no such user.");
  if ((await inviteFilters(database, [userNid]))(userNid, event.sender) === "block") {
    throw new MatrixError(403, "M_INVITE_BLOCKED", `${target} does not want to be invited.`);
  }
  const key = federation.signingKey(destination);
  if (key === undefined) throw new Error("an invitation to a server that is not ours");
  const signed = cosignEvent(version, event, destination, key);
  // Where we are in the room, the invitation comes once more as an event of the room.
  const room = await findRoom(database, roomId);
  const inside = room !== undefined && (await hasLocalMember(database, room.nid));
  if (!inside) await setOutside(context, version, roomId, signed, invite_room_state);
  return signed.json;
}

/**
 * Where the room id is a hash, the state has to have the create event, and what of it is a whole event has to be sound and of this room.
 * Servers in use give stripped state, some the create event too, although the specification asks for whole events: nothing that is
 * shown of an invitation is proven before the join, with them as little as in older versions. Throws M_INVALID_PARAM.
 */
async function requireCreateEvent({ federation }: RoomContext, version: RoomVersion, roomId: RoomId, state: readonly JsonValue[]): Promise<void> {
  if (!version.hashedRoomIds) return;
  const entries = state.filter(isObject);
  if (!entries.some((entry) => own(entry, "type") === "m.room.create" && own(entry, "state_key") === "")) {
    throw invalidParam("The room's create event is not among its state.");
  }
  const checked = await checkEvents(federation.keyRing, version, entries.filter((entry) => own(entry, "signatures") !== undefined));
  const bad = checked.find((result) => !("event" in result) || result.event.room_id !== roomId);
  if (bad !== undefined) throw invalidParam("The state of the room is not sound.");
}
