// Asks the policy server of a room to sign what our users send (server-server API, "Policy Servers").
import { forbidden, MatrixError, unknownError } from "../errors.js";
import { FederationError, type FederationClient } from "../federation/client.js";
import { addSignature, wireForm } from "../protocol/event-format.js";
import type { RoomEvent } from "../protocol/event.js";
import { parseServerName, serverNameOf, type ServerName } from "../protocol/identifiers.js";
import { isObject, own, ownString, type JsonObject } from "../protocol/json.js";
import type { RoomVersion } from "../protocol/room-version.js";
import { logger } from "../log.js";
import type { Database } from "../storage/database.js";
import { hasJoinedMembers } from "../storage/event-graph.js";

const log = logger("rooms");

/** A sender waits no longer for it; nor do those behind them in the room. */
const ANSWER_MS = 5_000;
/** After a policy server gave no answer it is not asked for so long, so that one room's senders do not wait one after another. */
const REST_MS = 3_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_RESTING = 1_000;
const KEY_ID = "ed25519:policy_server";

/** What a room's m.room.policy says. */
export interface PolicyServer {
  readonly via: ServerName;
  readonly public_key: string;
}

/** The policy server that a room's m.room.policy names; undefined where it names none ("Determining if a Policy Server is enabled"). */
export function policyServerOf(policy: RoomEvent | undefined): PolicyServer | undefined {
  if (policy === undefined) return undefined;
  const via = parseServerName(own(policy.content, "via"));
  const keys = own(policy.content, "public_keys");
  const public_key = isObject(keys) ? ownString(keys, "ed25519") : undefined;
  return via === undefined || public_key === undefined ? undefined : { via, public_key };
}

/** Whether a policy server is asked about an event: about all but the event that names it. */
export function isSubjectToPolicy({ type, state_key }: { readonly type: string; readonly state_key?: string | undefined }): boolean {
  return type !== "m.room.policy" || state_key !== "";
}

interface PolicyQuestion {
  readonly room_nid: number;
  readonly version: RoomVersion;
  readonly event: RoomEvent;
  readonly policy: PolicyServer;
}

/** The event with the signature of the room's policy server. Throws what it says against the event. */
export type AskPolicyServer = (question: PolicyQuestion) => Promise<RoomEvent>;

export class PolicyServers {
  readonly #client: FederationClient;
  readonly #database: Database;
  /** Until when servers that gave no answer are left alone. */
  readonly #resting = new Map<ServerName, number>();

  constructor(client: FederationClient, database: Database) {
    this.#client = client;
    this.#database = database;
  }

  /**
   * The event with the policy server's signature, or as it is where that server has nobody in the room, and so no say. Throws the policy
   * server's refusal as it is; M_FORBIDDEN for a signature that does not hold; M_UNKNOWN 503 where none could be had: without one other
   * servers would hide the event.
   */
  async sign({ room_nid, version, event, policy: { via, public_key } }: PolicyQuestion): Promise<RoomEvent> {
    if (!(await hasJoinedMembers(this.#database, room_nid, via))) return event;
    const answer = await this.#ask(serverNameOf(event.sender), via, wireForm(version, event));
    const theirs = own(answer, via);
    const signature = isObject(theirs) ? ownString(theirs, KEY_ID) : undefined;
    const signed = signature === undefined ? undefined : addSignature(version, event, { server: via, keyId: KEY_ID, publicKey: public_key, signature });
    if (signed === undefined) throw forbidden("The room's policy server did not sign this with the key that the room knows.");
    return signed;
  }

  async #ask(origin: ServerName, destination: ServerName, body: JsonObject): Promise<JsonObject> {
    if (performance.now() < (this.#resting.get(destination) ?? 0)) throw noAnswer();
    try {
      const answer = await this.#client.request({
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

const noAnswer = (): MatrixError => unknownError(503, "The room's policy server does not answer: try again later.");

function refusalOf(status: number, errcode: string, { error, retry_after_ms }: JsonObject): MatrixError {
  const message = typeof error === "string" ? error : "The room's policy server refuses this.";
  // To a client these would say something else: that it or this server does not know the operation, or the token.
  if (status === 401 || errcode === "M_UNRECOGNIZED") return forbidden(message);
  const extra = typeof retry_after_ms === "number" ? { retry_after_ms } : {};
  return new MatrixError(status, errcode, message, { extra });
}
