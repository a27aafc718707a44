// Users' own keys, with which they sign their devices and other users (client-server API, "Cross-signing").
import { devicesChanged, ownKeysChanged } from "../accounts/device-lists.js";
import { appendToLog } from "../accounts/context.js";
import { forbidden, invalidParam, type MatrixError, MatrixError as Refusal, missingParam, notFound } from "../errors.js";
import { type DeviceId, parseUserId, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own } from "../protocol/json.js";
import { signaturesBy, signedText, verifyJson } from "../protocol/signing.js";
import {
  addKeySignatures,
  type CrossSigningKey,
  crossSigningKeys,
  type KeySignature,
  lockCrossSigning,
  removeCrossSigningKeys,
  setCrossSigningKeys,
  type Usage,
  USAGES,
} from "../storage/cross-signing.js";
import type { Tx } from "../storage/database.js";
import { noteSigned, toldDevices } from "../storage/device-lists.js";
import type { Reads } from "../storage/statement.js";
import type { EncryptionContext, NumberedUser } from "./context.js";
import type { ShownUser } from "./shown-keys.js";
import { crossSigningPublicKey, fingerprintKey, invalidSignature, isSignedBy, keyText, withoutUnsigned } from "./signatures.js";

const MAX_SIGNED = 2_000;
const USAGE_NAMES: readonly Usage[] = ["master", "self_signing", "user_signing"];

export interface UploadedOwnKeys {
  readonly master_key?: JsonObject | undefined;
  readonly self_signing_key?: JsonObject | undefined;
  readonly user_signing_key?: JsonObject | undefined;
}

interface Owner extends NumberedUser {
  readonly user_id: UserId;
}

/** The keys in an upload by their use, with their public keys. Throws M_INVALID_PARAM for what is none of the user. */
function uploadedKeys(owner: Owner, uploaded: UploadedOwnKeys): Map<Usage, { readonly key: JsonObject; readonly public_key: string }> {
  const found = new Map<Usage, { readonly key: JsonObject; readonly public_key: string }>();
  for (const usage of USAGE_NAMES) {
    const key = uploaded[`${usage}_key`];
    if (key === undefined) continue;
    const public_key = crossSigningPublicKey(key, usage, owner.user_id);
    if (public_key === undefined) throw invalidParam(`"${usage}_key" must name the user, its use and exactly one Ed25519 key.`);
    found.set(usage, { key: withoutUnsigned(key), public_key });
  }
  return found;
}

/** Whether an upload changes keys where there is a master key already: then the user has to confirm it. */
export async function needsConfirmation({ database }: Pick<EncryptionContext, "database">, owner: Owner, uploaded: UploadedOwnKeys): Promise<boolean> {
  const keys = uploadedKeys(owner, uploaded);
  const known = await crossSigningKeys(database, [owner.user_nid]);
  if (!known.some(({ usage }) => usage === USAGES.master)) return false;
  return [...keys].some(([usage, { public_key }]) => known.find((key) => key.usage === USAGES[usage])?.public_key !== public_key);
}

/**
 * Keeps keys of a user. Keys that a master key which goes had signed go with it. `confirmed` says that the user was asked.
 * Throws M_INVALID_PARAM, M_MISSING_PARAM without a master key, M_INVALID_SIGNATURE where that did not sign the others, and
 * M_FORBIDDEN for the name of a device, or if another upload came between the question and the answer.
 */
export async function uploadOwnKeys(context: EncryptionContext, owner: Owner, uploaded: UploadedOwnKeys, confirmed: boolean): Promise<void> {
  const keys = uploadedKeys(owner, uploaded);
  if (keys.size === 0) return;
  const { user_id, user_nid } = owner;
  await context.database.transaction(async (tx) => {
    await lockCrossSigning(tx, user_nid);
    const reads = readsOf(tx);
    const known = await crossSigningKeys(reads, [user_nid]);
    const before = known.find(({ usage }) => usage === USAGES.master)?.public_key;
    const master = keys.get("master")?.public_key ?? before;
    if (master === undefined) throw missingParam("There is no master key yet: upload it first, or together with the others.");
    if (!confirmed && before !== undefined && [...keys].some(([usage, { public_key }]) => publicKeyOf(known, usage) !== public_key)) {
      throw forbidden("The keys were changed by another session: begin again.");
    }
    for (const [usage, { key }] of keys) {
      if (usage !== "master" && !isSignedBy(key, user_id, master)) throw invalidSignature(`The master key has not signed "${usage}_key".`);
    }
    const devices = await toldDevices(reads, [user_nid]);
    const names = new Set<string>(devices.map(({ device_id }) => device_id));
    if ([...keys.values()].some(({ public_key }) => names.has(public_key))) throw forbidden("A device has the name of this key.");
    const rows = [...keys].map(([usage, { key, public_key }]) => ({ user_nid, usage: USAGES[usage], public_key, key: keyText(key) }));
    const isNew = (row: CrossSigningKey): boolean => known.find(({ usage }) => usage === row.usage)?.key !== row.key;
    const gone = before === undefined || before === master ? [] : USAGE_NAMES.filter((usage) => !keys.has(usage)).map((usage) => USAGES[usage]);
    const fresh = rows.filter(isNew);
    if (fresh.length === 0 && gone.length === 0) return;
    await removeCrossSigningKeys(tx, gone.map((usage) => ({ user_nid, usage })));
    await setCrossSigningKeys(tx, rows);
    if (gone.length > 0 || fresh.some(({ usage }) => usage !== USAGES.user_signing)) ownKeysChanged(context, tx, user_nid);
    else concernsOnlySelf(context, tx, user_nid, [user_nid]);
  });
}

const publicKeyOf = (keys: readonly CrossSigningKey[], usage: Usage): string | undefined => keys.find((key) => key.usage === USAGES[usage])?.public_key;

const readsOf = (tx: Tx): Reads => ({ read: (statement, values) => tx.query(statement, values) });

/** Why signatures were not taken: by user, then by the key they are on. */
export type SignatureFailures = Record<string, Record<string, Readonly<Record<string, unknown>>>>;

/** Keys of users, as the signer sees them. */
type Lookup = (users: readonly string[]) => Promise<ReadonlyMap<string, NumberedUser & ShownUser>>;

/**
 * Keeps signatures of a user on their own devices and master key, and on others' master keys; gives which were refused and
 * why. `lookUp` knows keys of users wherever they are.
 */
export async function uploadSignatures(context: EncryptionContext, signer: Owner, signed: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>, lookUp: Lookup): Promise<SignatureFailures> {
  const asked = Object.entries(signed).flatMap(([user, keys]) => Object.entries(keys).map(([target, object]) => ({ user, target, object })));
  if (asked.length > MAX_SIGNED) throw invalidParam(`At most ${MAX_SIGNED} keys can be signed at once.`);
  const known = await lookUp([...new Set([signer.user_id, ...Object.keys(signed).filter((user) => parseUserId(user) !== undefined)])]);
  const me = known.get(signer.user_id);
  // Users and targets are whatever the client wrote, also what objects have from their prototype.
  const failures = new Map<string, Map<string, Readonly<Record<string, unknown>>>>();
  const accepted: KeySignature[] = [];
  for (const { user, target, object } of asked) {
    const owner = known.get(user);
    const result = user === signer.user_id ? ownSignatures(signer, me, target, object) : othersSignatures(signer, me, owner, target, object);
    if (result instanceof Refusal) failures.set(user, (failures.get(user) ?? new Map<string, Readonly<Record<string, unknown>>>()).set(target, result.body()));
    else accepted.push(...result.map((signature) => ({ ...signature, user_nid: owner?.user_nid ?? 0, signer_nid: signer.user_nid, target })));
  }
  if (accepted.length > 0) await keep(context, signer, me, accepted);
  return Object.fromEntries([...failures].map(([user, refused]) => [user, Object.fromEntries(refused)]));
}

type Checked = Pick<KeySignature, "key_id" | "signature">[] | MatrixError;

/** Signatures on one's own device, by the self-signing key, or on one's master key, by a device. */
function ownSignatures(signer: Owner, me: ShownUser | undefined, target: string, object: JsonObject): Checked {
  const device = me?.devices.find(({ device_id }) => device_id === target);
  if (device?.keys !== undefined) {
    const selfSigning = me?.self_signing_key && crossSigningPublicKey(me.self_signing_key, "self_signing", signer.user_id);
    const keys = new Map(selfSigning === undefined ? [] : [[`ed25519:${selfSigning}`, selfSigning]]);
    // The device signed itself when it was uploaded; what comes along is no news.
    return rightSignatures(signer, device.keys, object, keys, new Set([`ed25519:${target}`]));
  }
  const master = me?.master_key;
  if (master === undefined || crossSigningPublicKey(master, "master", signer.user_id) !== target) return notFound("You have no key of this name.");
  const devices = (me?.devices ?? []).flatMap(({ device_id, keys }) => {
    const key = keys && fingerprintKey(keys, device_id);
    return key === undefined ? [] : [[`ed25519:${device_id}`, key] as const];
  });
  return rightSignatures(signer, master, object, new Map(devices), new Set([`ed25519:${target}`]));
}

/** Signatures on another user's master key, by the user-signing key. */
function othersSignatures(signer: Owner, me: ShownUser | undefined, owner: (NumberedUser & ShownUser) | undefined, target: string, object: JsonObject): Checked {
  const master = owner?.master_key;
  if (owner === undefined || master === undefined || crossSigningPublicKey(master, "master", owner.user_id) !== target) {
    return notFound("The user has no master key of this name.");
  }
  const key = me?.user_signing_key && crossSigningPublicKey(me.user_signing_key, "user_signing", signer.user_id);
  return rightSignatures(signer, master, object, new Map(key === undefined ? [] : [[`ed25519:${key}`, key]]), new Set());
}

/** The signer's signatures on an object that must be the known key, by any of some keys. */
function rightSignatures(signer: Owner, known: JsonObject, object: JsonObject, keys: ReadonlyMap<string, string>, ignored: ReadonlySet<string>): Checked {
  let same: boolean;
  try {
    same = signedText(known) === signedText(object);
  } catch {
    same = false;
  }
  if (!same) return invalidParam("This is not the key that was uploaded.");
  const signatures = [...signaturesBy(object, signer.user_id)].filter(([id]) => !ignored.has(id));
  if (signatures.length === 0) return invalidSignature("There is no signature of yours.");
  const wrong = signatures.some(([id]) => {
    const key = keys.get(id);
    return key === undefined || !verifyJson(object, signer.user_id, id, key);
  });
  return wrong ? invalidSignature("Invalid signature") : signatures.map(([key_id, signature]) => ({ key_id, signature }));
}

/** With what users have verified others, and whom, is told to nobody but themselves. */
function concernsOnlySelf(context: EncryptionContext, tx: Tx, user_nid: number, users: readonly number[]): void {
  noteSigned(tx, user_nid, users);
  appendToLog(context, tx, [{ kind: "key", user_nid }]);
}

async function keep(context: EncryptionContext, signer: Owner, me: ShownUser | undefined, accepted: readonly KeySignature[]): Promise<void> {
  const names = new Set<string>((me?.devices ?? []).map(({ device_id }) => device_id));
  await context.database.transaction(async (tx) => {
    const fresh = await addKeySignatures(tx, accepted);
    const mine = new Set(fresh.filter(({ user_nid }) => user_nid === signer.user_nid).map(({ target }) => target));
    const others = [...new Set(fresh.map(({ user_nid }) => user_nid))].filter((nid) => nid !== signer.user_nid);
    const devices = [...mine].filter((target) => names.has(target)) as DeviceId[];
    if (devices.length > 0) devicesChanged(context, tx, devices.map((device_id) => ({ user_nid: signer.user_nid, device_id })));
    else if (mine.size > 0) ownKeysChanged(context, tx, signer.user_nid);
    if (devices.length > 0 && devices.length < mine.size) appendToLog(context, tx, [{ kind: "device_list", user_nid: signer.user_nid }]);
    if (others.length > 0) concernsOnlySelf(context, tx, signer.user_nid, others);
  });
}

/** The public master key in a key that another server tells; undefined if it is none of the user. */
export function toldOwnKey(value: JsonObject | undefined, usage: Usage, user: NumberedUser): CrossSigningKey | undefined {
  const public_key = value && crossSigningPublicKey(value, usage, user.user_id);
  if (value === undefined || public_key === undefined) return undefined;
  try {
    return { user_nid: user.user_nid, usage: USAGES[usage], public_key, key: keyText(withoutUnsigned(value)) };
  } catch {
    return undefined;
  }
}

/** The object in a field, if it is one. */
export function ownObject(object: JsonObject, key: string): JsonObject | undefined {
  const value = own(object, key);
  return isObject(value) ? value : undefined;
}

