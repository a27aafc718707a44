// Scopes (client-server API, "Scope").
import { parseDeviceId, type DeviceId } from "../protocol/identifiers.js";

const API = new Set(["urn:matrix:client:api:*", "urn:matrix:org.matrix.msc2967.client:api:*"]);
const DEVICE = /^urn:matrix:(?:org\.matrix\.msc2967\.)?client:device:([!#-[\]-~]+)$/;
const MAX_TEXT = 1000;

export interface Scope {
  /** What is granted, of what was asked for: tokens that this server does not know are left out. */
  readonly scope: string;
  readonly device_id: DeviceId;
  /** The client wants an identity token (OpenID Connect). */
  readonly openid: boolean;
}

/** The scope that a client asks for; undefined unless it is full access for exactly one device. */
export function parseScope(text: string): Scope | undefined {
  if (text.length > MAX_TEXT) return undefined;
  const tokens = [...new Set(text.split(" "))].filter((token) => token === "openid" || API.has(token) || DEVICE.test(token));
  const devices = tokens.flatMap((token) => DEVICE.exec(token)?.[1] ?? []);
  const device_id = devices.every((id) => id === devices[0]) ? parseDeviceId(devices[0]) : undefined;
  if (device_id === undefined || !tokens.some((token) => API.has(token))) return undefined;
  return { scope: tokens.join(" "), device_id, openid: tokens.includes("openid") };
}
