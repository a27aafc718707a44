// Server access control lists (m.room.server_acl): which servers may take part in a room.
import { compileGlob, type Glob, matchesWhole } from "./glob.js";
import { type ServerName, splitServerName } from "./identifiers.js";
import { type JsonObject, own } from "./json.js";

/** A compiled list. */
export interface ServerAcl {
  readonly allowIpLiterals: boolean;
  readonly allow: readonly Glob[];
  readonly deny: readonly Glob[];
}

function globs(content: JsonObject, key: string): Glob[] {
  const list = own(content, key);
  const patterns: readonly unknown[] = Array.isArray(list) ? list : [];
  return patterns.filter((pattern) => typeof pattern === "string").map(compileGlob);
}

/** Compiles the content of an m.room.server_acl event; entries that are no strings count for nothing. */
export function compileServerAcl(content: JsonObject): ServerAcl {
  return {
    allowIpLiterals: own(content, "allow_ip_literals") !== false,
    allow: globs(content, "allow"),
    deny: globs(content, "deny"),
  };
}

/** Whether the room of this list lets a server take part. Without such an event in its state a room lets in all. */
export function aclAllows(acl: ServerAcl, server: ServerName): boolean {
  const host = splitServerName(server)?.host.toLowerCase() ?? "";
  const literal = host.startsWith("[") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
  if (literal && !acl.allowIpLiterals) return false;
  if (acl.deny.some((glob) => matchesWhole(glob, host))) return false;
  return acl.allow.some((glob) => matchesWhole(glob, host));
}
