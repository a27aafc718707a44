// What a room's m.room.policy asks of its events (server-server API, "Policy Servers").
import { wireForm } from "../../protocol/event-format.js";
import { essentialText } from "../../protocol/event-hash.js";
import type { RoomEvent } from "../../protocol/event.js";
import { parseServerName, type ServerName } from "../../protocol/identifiers.js";
import { isObject, own, ownString } from "../../protocol/json.js";
import type { RoomVersion } from "../../protocol/room-version.js";
import { signaturesBy, verifyText } from "../../protocol/signing.js";
import { stateTuple } from "../../protocol/state-map.js";

export const POLICY = stateTuple("m.room.policy", "");
/** The id of every policy server's key. */
export const POLICY_KEY_ID = "ed25519:policy_server";

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

/** Whether an event has the signature of the policy server that its room names ("Validating Policy Server signatures"). */
export function isSignedByPolicy(version: RoomVersion, event: RoomEvent, { via, public_key }: PolicyServer): boolean {
  const json = wireForm(version, event);
  const signature = signaturesBy(json, via).get(POLICY_KEY_ID);
  return signature !== undefined && verifyText(public_key, signature, essentialText(version, json));
}

/** An event about which a policy server is asked. */
export interface PolicyQuestion {
  readonly room_nid: number;
  readonly version: RoomVersion;
  readonly event: RoomEvent;
  readonly policy: PolicyServer;
}

/** The event with the signature of the room's policy server. Throws what it says against the event. */
export type AskPolicyServer = (question: PolicyQuestion) => Promise<RoomEvent>;
