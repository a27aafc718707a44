// Client-server API, "Voice over IP", and what group calls go through (MSC4143).
import { createHmac } from "node:crypto";
import type * as spec from "../../../spec/client/voip.js";
import { LIVEKIT_PATH } from "../../accounts/livekit.js";
import type { Config } from "../../config.js";
import { serverNameOf } from "../../protocol/identifiers.js";
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

/** What group calls of a server's users go through: as it is configured, and the LiveKit server that we let members into. */
export function rtcTransports({ servers, voip }: Config, server: string): JsonObject[] {
  const configured = voip.rtc_transports.map((transport) => parseJson(JSON.stringify(transport))).filter(isObject);
  const address = servers.find(({ name }) => name === server)?.public_base_url?.replace(/\/+$/, "");
  if (voip.livekit === undefined || address === undefined) return configured;
  return [{ type: "livekit", livekit_service_url: address + LIVEKIT_PATH }, ...configured];
}

export const getRtcTransports: Handler<typeof spec.getRtcTransports> = async ({ config }, { auth }) => ({ rtc_transports: rtcTransports(config, serverNameOf(auth.user_id)) });
