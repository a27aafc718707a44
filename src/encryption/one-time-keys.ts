// Taking one-time keys of devices, of each key at most once (client-server API, "POST /keys/claim"; server-server API, "POST
// /user/keys/claim").
import { keysLeftChanged } from "../accounts/device-lists.js";
import { invalidParam } from "../errors.js";
import { parseDeviceId, type ServerName, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue, parseJson } from "../protocol/json.js";
import { claimKeys, type WantedKey } from "../storage/device-keys.js";
import { groupBy, mapLimit } from "./collections.js";
import type { EncryptionContext } from "./context.js";
import { ownObject } from "./cross-signing.js";
import { namedUsers, timeoutOf } from "./key-query.js";
import { askPersistently } from "./persistent-question.js";
import { failureOf } from "./remote-device-lists.js";

const MAX_CLAIMED = 10_000;
const AT_ONCE = 20;
const MAX_BYTES = 16 * 1024 * 1024;

/** Algorithms by device, by user. */
export type AskedKeys = Readonly<Record<string, Readonly<Record<string, string>>>>;
type GivenKeys = Record<string, Record<string, JsonObject>>;

/** Takes keys of devices of our users. They are gone for good before this returns. Throws M_INVALID_PARAM for too many. */
async function claimLocalKeys(context: EncryptionContext, users: readonly UserId[], asked: AskedKeys): Promise<GivenKeys> {
  const nids = await context.interning.findUsers(users);
  const wanted = [...nids].flatMap(([user, user_nid]) =>
    Object.entries(asked[user] ?? {}).flatMap(([device, algorithm]): WantedKey[] => {
      const device_id = parseDeviceId(device);
      return device_id === undefined || /[\0\p{Surrogate}]/u.test(algorithm) ? [] : [{ user_nid, device_id, algorithm }];
    }),
  );
  if (wanted.length > MAX_CLAIMED) throw invalidParam(`At most ${MAX_CLAIMED} keys can be claimed at once.`);
  if (wanted.length === 0) return {};
  const given = await context.database.transaction(async (tx) => {
    const claimed = await claimKeys(tx, wanted);
    if (claimed.changed.length > 0) keysLeftChanged(context, tx, claimed.changed);
    return claimed.given;
  });
  const names = new Map([...nids].map(([user, nid]) => [nid, user]));
  const answer = new Map<string, [string, JsonObject][]>();
  for (const { user_nid, device_id, algorithm, key_id, key } of given) {
    const parsed: JsonValue = parseJson(key);
    const user = names.get(user_nid) ?? "";
    const devices = answer.get(user) ?? [];
    devices.push([device_id, { [`${algorithm}:${key_id}`]: parsed }]);
    answer.set(user, devices);
  }
  return Object.fromEntries([...answer].map(([user, devices]) => [user, Object.fromEntries(devices)]));
}

/** Answers a client: takes keys here and asks other servers for theirs. Throws M_INVALID_PARAM. */
export async function claimKeysOfUsers(
  context: EncryptionContext,
  asked: AskedKeys,
  timeoutMs: number | undefined,
): Promise<{ readonly one_time_keys: GivenKeys; readonly failures: Record<string, JsonObject> }> {
  const { servers } = context;
  const users = namedUsers(asked);
  const isOurs = (user: UserId): boolean => servers.isLocal(serverNameOf(user));
  const one_time_keys = await claimLocalKeys(context, users.filter(isOurs), asked);
  const failures: Record<string, JsonObject> = {};
  const elsewhere = groupBy(users.filter((user) => !isOurs(user)), (user) => serverNameOf(user));
  await mapLimit([...elsewhere], AT_ONCE, async ([destination, theirs]) => {
    const wanted = Object.fromEntries(theirs.map((user) => [user, asked[user] ?? {}]));
    try {
      const question = { destination, method: "POST", uri: "/_matrix/federation/v1/user/keys/claim", body: { one_time_keys: wanted }, maxBytes: MAX_BYTES } as const;
      const answer = await askPersistently(context, question, timeoutOf(timeoutMs));
      const given = ownObject(answer, "one_time_keys") ?? {};
      for (const user of theirs) {
        const devices = Object.entries(ownObject(given, user) ?? {}).flatMap(([device, keys]) =>
          isObject(keys) && Object.hasOwn(wanted[user] ?? {}, device) ? [[device, keys] as const] : [],
        );
        if (devices.length > 0) one_time_keys[user] = Object.fromEntries(devices);
      }
    } catch (error) {
      failures[destination] = failureOf(error);
    }
  });
  return { one_time_keys, failures };
}

/** Answers another server that asks one of ours. Throws M_INVALID_PARAM. */
export async function claimKeysForServer(context: EncryptionContext, ours: ServerName, asked: AskedKeys): Promise<GivenKeys> {
  return await claimLocalKeys(context, namedUsers(asked).filter((user) => serverNameOf(user) === ours), asked);
}
