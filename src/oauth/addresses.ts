// Where the OAuth 2.0 API and its pages are.
import type { Config } from "../config.js";

/** Paths after the public address of a server. */
export const PATHS = {
  authorize: "/_hansa/oauth/authorize",
  token: "/_hansa/oauth/token",
  register: "/_hansa/oauth/register",
  revoke: "/_hansa/oauth/revoke",
  device: "/_hansa/oauth/device",
  keys: "/_hansa/oauth/keys",
  link: "/_hansa/account/link",
  account: "/_hansa/account",
  addresses: "/_hansa/account/addresses",
  avatar: "/_hansa/account/avatar",
  login: "/_hansa/account/login",
  signUp: "/_hansa/account/register",
  sso: "/_hansa/account/sso",
} as const;

/** The public address of a server without a slash at its end; undefined where it offers no OAuth. */
export function publicAddress(config: Config, server: string): string | undefined {
  if (!config.oauth.enabled) return undefined;
  return config.servers.find(({ name }) => name === server)?.public_base_url?.replace(/\/+$/, "");
}
