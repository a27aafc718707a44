// Whose network address a request comes from, seen through reverse proxies that the configuration trusts.
import type { IncomingMessage } from "node:http";
import { BlockList, isIP, isIPv4 } from "node:net";
import { addRange } from "../config.js";

/** Gives the address of a request's caller. Headers count only as far as trusted proxies have written them. */
export type CallerAddress = (request: IncomingMessage) => string;

/** IPv4 addresses that come as IPv6 (::ffff:10.0.0.1) are the same addresses. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && isIPv4(address.slice(7)) ? address.slice(7) : address;
}

/** A hop without its port, which some proxies write too. */
function withoutPort(hop: string): string {
  return /^(?:\[([\da-f:.]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/i.exec(hop)?.slice(1).find((address) => address !== undefined) ?? hop;
}

/** Whether an address belongs to one of the ranges. */
export function addressMatcher(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) addRange(list, range);
  return (address) => {
    const family = isIP(plain(address));
    return family !== 0 && list.check(plain(address), family === 4 ? "ipv4" : "ipv6");
  };
}

/**
 * The right-most hop of X-Forwarded-For that is not a trusted proxy: what stands left of it is only what that hop claims.
 * A hop that is no address ends the walk at the proxy that reported it.
 */
export function callerAddress(trustedProxies: readonly string[]): CallerAddress {
  const trusted = addressMatcher(trustedProxies);
  return (request) => {
    let address = plain(request.socket.remoteAddress ?? "");
    const header = request.headers["x-forwarded-for"];
    if (header === undefined || !trusted(address)) return address;
    for (const hop of String(header).split(",").toReversed()) {
      const next = plain(withoutPort(hop.trim()));
      if (isIP(next) === 0) return address;
      address = next;
      if (!trusted(address)) return address;
    }
    return address;
  };
}

/**
 * What an address counts as for limits: itself, or for IPv6 its /64, since each customer line is given that many addresses
 * to choose from.
 */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [left = "", right = ""] = address.split("::");
  const [before, after] = [groups(left), groups(right)];
  const width = before.length + after.length + (address.includes(".") ? 1 : 0);
  const all = [...before, ...Array<string>(Math.max(0, 8 - width)).fill("0"), ...after];
  return `${all.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
}
