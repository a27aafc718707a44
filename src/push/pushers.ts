// The pushers of a user as clients set them (client-server API, "Push Notifications: API").
import { appendToLog } from "../accounts/context.js";
import type { Requester } from "../accounts/requester.js";
import { invalidParam, MatrixError, missingParam, tooLarge } from "../errors.js";
import { canonicalEmail } from "../protocol/third-party-ids.js";
import { type JsonObject, ownString } from "../protocol/json.js";
import { deletePusher, deletePushersOfOthers, type PusherFields, pushersOfUser, setPusher } from "../storage/pushers.js";
import { listThirdPartyIds } from "../storage/third-party-ids.js";
import type { PushRulesContext } from "./rules.js";

const MAX_PUSHERS = 100;
const MAX_DATA_BYTES = 8_192;
/** Where gateways are asked. Every other path could make this server ask for what its surroundings trust it with. */
const GATEWAY_PATH = "/_matrix/push/v1/notify";
/** The app id of mails. */
const MAIL_APP = "m.email";
/** All mails leave by the same way. */
const MAIL_GATEWAY = "mailto:";

/** What a client says of a pusher. */
export interface WantedPusher {
  readonly app_id: string;
  readonly pushkey: string;
  readonly kind: string;
  readonly app_display_name?: string | undefined;
  readonly device_display_name?: string | undefined;
  readonly profile_tag?: string | undefined;
  readonly lang?: string | undefined;
  readonly data?: JsonObject | undefined;
  /** MSC3881; absent: switched on, by the device that it is for. */
  readonly enabled?: boolean | undefined;
}

/** The origin of the gateway that a pusher names. Throws M_MISSING_PARAM, M_INVALID_PARAM. */
function requireGateway(data: JsonObject, allowHttp: boolean): string {
  const text = ownString(data, "url");
  if (text === undefined) throw missingParam('"data" needs the "url" of the push gateway.');
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.pathname !== GATEWAY_PATH || url.username !== "" || url.password !== "") {
    throw invalidParam(`The "url" of a push gateway must end in ${GATEWAY_PATH}.`);
  }
  if (url.protocol !== "https:" && !(allowHttp && url.protocol === "http:")) {
    throw invalidParam('The "url" of a push gateway must start with https://.');
  }
  return url.origin;
}

/** Throws M_MISSING_PARAM, M_INVALID_PARAM for what cannot be a pusher. */
function requireFields(wanted: WantedPusher): PusherFields {
  const { app_display_name, device_display_name, lang, data, kind } = wanted;
  if (kind !== "http" && kind !== "email") throw invalidParam('"kind" must be "http", "email" or null.');
  const given = { app_display_name, device_display_name, lang, data };
  const missing = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [name] : []));
  if (app_display_name === undefined || device_display_name === undefined || lang === undefined || data === undefined) {
    throw missingParam(`A pusher needs ${missing.join(", ")}.`);
  }
  if (Buffer.byteLength(JSON.stringify(data)) > MAX_DATA_BYTES) throw invalidParam(`"data" may have at most ${MAX_DATA_BYTES} bytes.`);
  const { app_id, pushkey, profile_tag, enabled = true } = wanted;
  return { app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang, data, enabled };
}

/**
 * Adds a pusher, or changes the one with this app id and pushkey. Without `append` other users lose theirs of the same.
 * Throws M_MISSING_PARAM, M_INVALID_PARAM, M_THREEPID_NOT_FOUND for an address that is not the user's, M_TOO_LARGE.
 */
export async function changePusher(
  context: PushRulesContext,
  { user_nid, device_id }: Requester,
  wanted: WantedPusher,
  append: boolean,
): Promise<void> {
  const { config, clock, database } = context;
  let fields = requireFields(wanted);
  let gateway = MAIL_GATEWAY;
  if (fields.kind === "http") gateway = requireGateway(fields.data, config.push.allow_http);
  else fields = { ...fields, pushkey: await requireMailable(context, user_nid, fields) };
  await database.transaction(async (tx) => {
    const pushers = await pushersOfUser(database, user_nid);
    const known = pushers.some(({ app_id, pushkey }) => app_id === fields.app_id && pushkey === fields.pushkey);
    if (!known && pushers.length >= MAX_PUSHERS) {
      throw tooLarge(`A user may have at most ${MAX_PUSHERS} pushers: delete some.`);
    }
    if (!append) await deletePushersOfOthers(tx, user_nid, fields.app_id, fields.pushkey);
    await setPusher(tx, {
      ...fields,
      user_nid,
      device_id: fields.kind === "http" ? device_id : undefined,
      set_ts: clock.now(),
      gateway,
      keepDevice: wanted.enabled !== undefined,
    });
    // Rooms of all processes learn from it that the user is to be told.
    appendToLog(context, tx, [{ kind: "push_rule", user_nid }]);
    tx.afterCommit(() => context.ruleChanges.note(user_nid));
  });
}

/** The address as it is stored. Throws M_INVALID_PARAM, M_THREEPID_NOT_FOUND. */
async function requireMailable({ config, database }: PushRulesContext, userNid: number, { app_id, pushkey }: PusherFields): Promise<string> {
  if (app_id !== MAIL_APP) throw invalidParam(`The "app_id" of mails is "${MAIL_APP}".`);
  if (config.mail.host === undefined) throw invalidParam("This server sends no mails.");
  const address = canonicalEmail(pushkey);
  const ids = await listThirdPartyIds(database, userNid);
  if (address === undefined || !ids.some(({ medium, address: own }) => medium === "email" && own === address)) {
    throw new MatrixError(400, "M_THREEPID_NOT_FOUND", "Add the e-mail address to your account first.");
  }
  return address;
}

/** Deletes a pusher of a user, if there is one, with all that it was owed. */
export async function removePusher({ database }: PushRulesContext, userNid: number, appId: string, pushkey: string): Promise<void> {
  const stored = appId === MAIL_APP ? (canonicalEmail(pushkey) ?? pushkey) : pushkey;
  await database.transaction((tx) => deletePusher(tx, userNid, appId, stored));
}
