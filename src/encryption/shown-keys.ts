// Keys of users as others are shown them, with the signatures that the asker may see (client-server API, "Key and signature
// security").
import type { DeviceId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, parseJson } from "../protocol/json.js";
import { withSignature } from "../protocol/signing.js";
import { type CrossSigningKey, crossSigningKeys, type KeySignature, keySignatures, USAGES } from "../storage/cross-signing.js";
import { toldDevices } from "../storage/device-lists.js";
import type { Reads } from "../storage/statement.js";
import { fromText } from "../storage/text.js";
import { groupBy } from "./collections.js";
import type { NumberedUser } from "./context.js";

/** A device as it is shown; without keys it can only be named. */
export interface ShownDevice {
  readonly device_id: DeviceId;
  readonly keys: JsonObject | undefined;
  readonly display_name: string | undefined;
}

export interface ShownUser {
  readonly devices: readonly ShownDevice[];
  readonly master_key: JsonObject | undefined;
  readonly self_signing_key: JsonObject | undefined;
  readonly user_signing_key: JsonObject | undefined;
}

interface KnownDevice {
  readonly user_nid: number;
  readonly device_id: DeviceId;
  readonly display_name: string | null;
  readonly keys: string | null;
}

/**
 * The keys of users whose devices are given, and whose own keys are if they are not those that we keep; signatures by themselves
 * and by the asker. The user-signing key only for its owner.
 */
export async function shownUsers(
  reads: Reads,
  users: readonly NumberedUser[],
  devices: readonly KnownDevice[],
  asker: NumberedUser | undefined,
  ownKeys?: readonly CrossSigningKey[],
): Promise<Map<number, ShownUser>> {
  const nids = users.map(({ user_nid }) => user_nid);
  const [keys, signatures] = await Promise.all([ownKeys ?? crossSigningKeys(reads, nids), keySignatures(reads, nids, asker?.user_nid)]);
  const byTarget = groupBy(signatures, ({ user_nid, target }) => `${user_nid} ${target}`);
  const devicesOf = groupBy(devices, ({ user_nid }) => user_nid);
  const keysOf = groupBy(keys, ({ user_nid }) => user_nid);
  return new Map(
    users.map((user) => {
      const { user_nid } = user;
      const signed = (key: JsonObject, target: string): JsonObject => addSignatures(key, byTarget.get(`${user_nid} ${target}`) ?? [], user, asker);
      const own = (usage: number): JsonObject | undefined => {
        const found = keysOf.get(user_nid)?.find((key) => key.usage === usage);
        const key = found === undefined ? undefined : parseJson(found.key);
        return found === undefined || !isObject(key) ? undefined : signed(key, found.public_key);
      };
      const shown: ShownUser = {
        devices: (devicesOf.get(user_nid) ?? []).map(({ device_id, display_name, keys: text }) => {
          const parsed = text === null ? undefined : parseJson(text);
          return {
            device_id,
            keys: isObject(parsed) ? signed(parsed, device_id) : undefined,
            display_name: display_name === null ? undefined : fromText(display_name),
          };
        }),
        master_key: own(USAGES.master),
        self_signing_key: own(USAGES.self_signing),
        user_signing_key: asker?.user_nid === user_nid ? own(USAGES.user_signing) : undefined,
      };
      return [user_nid, shown];
    }),
  );
}

/** The keys of users of ours. */
export async function shownLocalUsers(reads: Reads, users: readonly NumberedUser[], asker: NumberedUser | undefined): Promise<Map<number, ShownUser>> {
  return await shownUsers(reads, users, await toldDevices(reads, users.map(({ user_nid }) => user_nid)), asker);
}

/** A key with the signatures of its owner and the asker, both those that came with it and later ones. */
function addSignatures(key: JsonObject, signatures: readonly KeySignature[], owner: NumberedUser, asker: NumberedUser | undefined): JsonObject {
  return signatures.reduce((signed, { signer_nid, key_id, signature }) => {
    const signer = signer_nid === owner.user_nid ? owner.user_id : asker?.user_id;
    return signer === undefined ? signed : withSignature(signed, signer, key_id, signature);
  }, withoutOthersSignatures(key, [owner.user_id, asker?.user_id]));
}

/** Who else has signed a key is told to nobody, also where its owner or another server has written it into the key. */
function withoutOthersSignatures(key: JsonObject, signers: readonly (string | undefined)[]): JsonObject {
  const all = own(key, "signatures");
  if (!isObject(all) || Object.keys(all).every((signer) => signers.includes(signer))) return key;
  return { ...key, signatures: Object.fromEntries(Object.entries(all).filter(([signer]) => signers.includes(signer))) };
}

/** A device's keys with its name, if that is to be seen. */
export function withName(keys: JsonObject, name: string | undefined): JsonObject {
  const unsigned = own(keys, "unsigned");
  return { ...keys, unsigned: { ...(isObject(unsigned) ? unsigned : {}), ...(name !== undefined && { device_display_name: name }) } };
}
