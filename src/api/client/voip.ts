// Client-server API, "Voice over IP", and what group calls go through (MSC4143).
import { createHmac } from "node:crypto";
import type * as spec from "../../../spec/client/voip.js";
import type { Config } from "../../config.js";
import { isObject, type JsonObject, parseJson } from "../../protocol/json.js";
import type { Handler } from "../handler.js";

export const getTurnServer: Handler<typeof spec.getTurnServer> = async ({ config, clock }, { auth }) => {
  const { turn_uris, turn_shared_secret, turn_username, turn_password, turn_seconds, turn_guests } = config.voip;
  if (turn_uris.length === 0 || (auth.is_guest && !turn_guests)) return {};
  const common = { uris: turn_uris, ttl: turn_seconds };
  if (turn_shared_secret === undefined) return { ...common, username: turn_username ?? "", password: turn_password ?? "" };
  // The time at which it expires, in seconds, is part of the name: the TURN server reckons the same password from it.
  const username = `${Math.floor(clock.now() / 1000) + turn_seconds}:${auth.user_id}`;
  return { ...common, username, password: createHmac("sha1", turn_shared_secret).update(username).digest("base64") };
};

/** What group calls go through, as it is configured. */
export function rtcTransports({ voip }: Config): JsonObject[] {
  return voip.rtc_transports.map((transport) => parseJson(JSON.stringify(transport))).filter(isObject);
}

export const getRtcTransports: Handler<typeof spec.getRtcTransports> = async ({ config }) => ({ rtc_transports: rtcTransports(config) });
