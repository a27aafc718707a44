// How users confirm what is grave (client-server API, "User-Interactive Authentication API"): with their password, but in sessions
// of the OAuth 2.0 API on the account page alone: a client of that must never be one to type a password into.
import type { Challenge } from "../../accounts/interactive-authentication.js";
import { passwordChallenge } from "../../accounts/password-login.js";
import type { Requester } from "../../accounts/requester.js";
import { publicAddress } from "../../oauth/addresses.js";
import { serverNameOf } from "../../protocol/identifiers.js";
import type { Services } from "../services.js";

/** Where the account page of a session of the OAuth 2.0 API is; undefined for other sessions, and where there is no such page. */
export function accountPageOf({ config }: Pick<Services, "config">, { oauth, user_id }: Requester): string | undefined {
  return oauth === true ? publicAddress(config, serverNameOf(user_id)) : undefined;
}

/** What the requester has to do before an operation; without any flow where that is to be done on the account page. */
export function confirmation(services: Services, operation: string, auth: Requester, body: Challenge["body"]): Challenge {
  const challenge = passwordChallenge(services, operation, auth.user_id, body);
  return accountPageOf(services, auth) === undefined ? challenge : { ...challenge, flows: [] };
}
