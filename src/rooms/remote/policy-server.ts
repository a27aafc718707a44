// The policy servers of rooms: asks them to sign what is sent, and is one (server-server API, "Policy Servers").
import { badJson, forbidden, MatrixError, notFound, unknownError, unrecognized } from "../../errors.js";
import { FederationError } from "../../federation/client.js";
import { addSignature, cosignEvent, parseEvent, wireForm } from "../../protocol/event-format.js";
import type { RoomEvent } from "../../protocol/event.js";
import { parseRoomId, serverNameOf, type ServerName } from "../../protocol/identifiers.js";
import { isObject, own, ownString, type JsonObject } from "../../protocol/json.js";
import { aclAllows, compileServerAcl } from "../../protocol/server-acl.js";
import { signaturesBy } from "../../protocol/signing.js";
import { stateTuple } from "../../protocol/state-map.js";
import { logger } from "../../log.js";
import { isClosed } from "../../storage/admin-rooms.js";
import { hasJoinedMembers } from "../../storage/event-graph.js";
import { checkSignatures } from "./check-events.js";
import type { RoomContext } from "../context.js";
import { findRoom, membershipAmong, memberTuple, stateEventsOf } from "../current-state.js";
import { isSubjectToPolicy, POLICY, POLICY_KEY_ID, policyServerOf, type PolicyQuestion } from "../owner/policy.js";
import type { Sender } from "./receive.js";

const log = logger("rooms");

/** A sender waits no longer for it; nor do those behind them in the room. */
const ANSWER_MS = 5_000;
/** After a policy server gave no answer it is not asked for so long, so that one room's senders do not wait one after another. */
const REST_MS = 3_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_RESTING = 1_000;
const SERVER_ACL = stateTuple("m.room.server_acl", "");

export class PolicyServers {
  readonly #context: RoomContext;
  /** Until when servers that gave no answer are left alone. */
  readonly #resting = new Map<ServerName, number>();

  constructor(context: RoomContext) {
    this.#context = context;
  }

  /**
   * The event with the policy server's signature, or as it is where that server has nobody in the room, and so no say. Throws the policy
   * server's refusal as it is; M_FORBIDDEN for a signature that does not hold; M_UNKNOWN 503 where none could be had: without one other
   * servers would hide the event.
   */
  async sign({ room_nid, version, event, policy: { via, public_key } }: PolicyQuestion): Promise<RoomEvent> {
    const { database, federation, servers } = this.#context;
    if (!(await hasJoinedMembers(database, room_nid, via))) return event;
    const key = federation.policyKey(via);
    if (key?.publicKey === public_key) {
      const refusal = await refusalByPolicy(this.#context, room_nid, event);
      if (refusal !== undefined) throw forbidden(refusal);
      return cosignEvent(version, event, via, key);
    }
    const sender = serverNameOf(event.sender);
    const answer = await this.#ask(servers.isLocal(sender) ? sender : servers.names[0], via, wireForm(version, event));
    const theirs = own(answer, via);
    const signature = isObject(theirs) ? ownString(theirs, POLICY_KEY_ID) : undefined;
    const signed = signature === undefined ? undefined : addSignature(version, event, { server: via, keyId: POLICY_KEY_ID, publicKey: public_key, signature });
    if (signed === undefined) throw forbidden("The room's policy server did not sign this with the key that the room knows.");
    return signed;
  }

  async #ask(origin: ServerName, destination: ServerName, body: JsonObject): Promise<JsonObject> {
    if (performance.now() < (this.#resting.get(destination) ?? 0)) throw noAnswer();
    try {
      const answer = await this.#context.federation.client.request({
        origin,
        destination,
        method: "POST",
        uri: "/_matrix/policy/v1/sign",
        body,
        timeoutMs: ANSWER_MS,
        maxBytes: MAX_ANSWER_BYTES,
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      this.#resting.delete(destination);
      return answer;
    } catch (error) {
      if (!(error instanceof FederationError)) throw error;
      const { status, errcode, answer } = error;
      if (status !== undefined && status < 500 && errcode !== undefined) throw refusalOf(status, errcode, answer);
      log.info({ server: destination, err: error }, "a policy server does not answer");
      if (this.#resting.size >= MAX_RESTING) this.#resting.clear();
      this.#resting.set(destination, performance.now() + REST_MS);
      throw noAnswer();
    }
  }
}

/**
 * Signs another server's event as the policy server of its room: the signatures by server ("POST /sign"). Throws M_UNRECOGNIZED where we
 * are no policy server, M_BAD_JSON, M_NOT_FOUND for a room that does not name us with our key or where none of ours is, M_FORBIDDEN
 * (403 by the room's access control list, else 400).
 */
export async function signAsPolicyServer(context: RoomContext, { origin, destination }: Sender, wire: JsonObject): Promise<JsonObject> {
  const { database, federation } = context;
  const key = federation.policyKey(destination);
  if (key === undefined) throw unrecognized(404, "This server is not a policy server.");
  const roomId = parseRoomId(own(wire, "room_id"));
  if (roomId === undefined) throw badJson("The event names no room.");
  const room = await findRoom(database, roomId);
  const state = room === undefined ? undefined : await stateEventsOf(context, database, room.nid, [POLICY, SERVER_ACL]);
  const policy = policyServerOf(state?.get(POLICY));
  const names = policy?.via === destination && policy.public_key === key.publicKey;
  if (room === undefined || !names || !(await hasJoinedMembers(database, room.nid, destination))) {
    throw notFound("This server is not the policy server of this room.");
  }
  const acl = state?.get(SERVER_ACL);
  if (acl !== undefined && !aclAllows(compileServerAcl(acl.content), origin)) throw forbidden("The room does not let your server take part.");
  const parsed = parseEvent(room.rules, wire);
  if ("malformed" in parsed) throw badJson(`The event is malformed: ${parsed.malformed}.`);
  if (parsed.redacted) throw badJson("The event's content is not that of its hash.");
  const { event } = parsed;
  const [checked] = await checkSignatures(federation.keyRing, room.rules, [parsed]);
  if (checked === undefined || "refused" in checked) throw refused(`The event is not sound: ${checked?.refused ?? "there is none"}.`);
  if (!isSubjectToPolicy(event)) throw refused("What names the policy server needs no signature.");
  const refusal = await refusalByPolicy(context, room.nid, event);
  if (refusal !== undefined) throw refused(refusal);
  const signatures = signaturesBy(wireForm(room.rules, cosignEvent(room.rules, event, destination, key)), destination);
  return { [destination]: { [key.id]: signatures.get(key.id) ?? "" } };
}

const refused = (message: string): MatrixError => new MatrixError(400, "M_FORBIDDEN", message);

/**
 * Why we as a policy server do not recommend an event; undefined if we do. It is what the room's members and our administrators have
 * already decided of its sender, also where other servers have not heard of it yet or do not hold to it; never what it says.
 */
async function refusalByPolicy(context: RoomContext, roomNid: number, { room_id, sender }: RoomEvent): Promise<string | undefined> {
  const { database, federation, servers } = context;
  const server = serverNameOf(sender);
  if (!servers.isLocal(server) && !federation.policy.allows(server)) return "This server does not deal with the sender's.";
  if (await isClosed(database, room_id)) return "The room is blocked.";
  const state = await stateEventsOf(context, database, roomNid, [SERVER_ACL, memberTuple(sender)]);
  const acl = state.get(SERVER_ACL);
  if (acl !== undefined && !aclAllows(compileServerAcl(acl.content), server)) return "The room does not let the sender's server take part.";
  return membershipAmong(state, sender) === "ban" ? "The sender is banned from the room." : undefined;
}

const noAnswer = (): MatrixError => unknownError(503, "The room's policy server does not answer: try again later.");

function refusalOf(status: number, errcode: string, { error, retry_after_ms }: JsonObject): MatrixError {
  const message = typeof error === "string" ? error : "The room's policy server refuses this.";
  // To a client these would say something else: that it or this server does not know the operation, or the token.
  if (status === 401 || errcode === "M_UNRECOGNIZED") return forbidden(message);
  const extra = typeof retry_after_ms === "number" ? { retry_after_ms } : {};
  return new MatrixError(status, errcode, message, { extra });
}
