// QR sign-in: where two clients of a user meet (MSC4388, and MSC4108 of 2024).
import type { Readable } from "node:stream";
import type * as spec from "../../../spec/client/rendezvous.js";
import { forbidden, MatrixError, tooLarge } from "../../errors.js";
import * as rendezvous from "../../oauth/rendezvous.js";
import type { ServerName } from "../../protocol/identifiers.js";
import { type Handler, Reply } from "../handler.js";
import type { Services } from "../services.js";
import { requireOauth } from "./oauth.js";

const MAX_BYTES = 16_384;
const CACHE = { "Cache-Control": "no-store", Pragma: "no-cache", "Access-Control-Expose-Headers": "ETag" };

const concurrent = (status: number, errcode: string): MatrixError => new MatrixError(status, errcode, "Something else was left meanwhile: look at it first.");

/** Throws M_UNRECOGNIZED where QR sign-in leads nowhere: it takes the OAuth 2.0 API. */
const requireMeetings = (services: Services, server: ServerName): string => requireOauth(services, server);

/** What is left there is for programs: nobody is to be led to it as to a page. Throws M_FORBIDDEN. */
function refuseBrowsing(mode: string | undefined): void {
  if (mode === "navigate") throw forbidden("There is nothing here for people to read.");
}

export const findRendezvous: Handler<typeof spec.findRendezvous> = async (services, { server }) => {
  requireMeetings(services, server);
  return { create_available: true };
};

export const openRendezvous: Handler<typeof spec.openRendezvous> = async (services, { server, body }) => {
  requireMeetings(services, server);
  const { id, version, expires_ts } = await rendezvous.open(services, Buffer.from(body.data));
  return { id, sequence_token: String(version), expires_in_ms: expires_ts - services.clock.now() };
};

export const getRendezvous: Handler<typeof spec.getRendezvous> = async (services, { params, headers }) => {
  refuseBrowsing(headers["sec-fetch-mode"]);
  const { data, version, expires_ts } = await rendezvous.look(services, params.id);
  return { data: data.toString(), sequence_token: String(version), expires_in_ms: Math.max(0, expires_ts - services.clock.now()) };
};

export const putRendezvous: Handler<typeof spec.putRendezvous> = async (services, { params, body }) => {
  const version = await rendezvous.leave(services, params.id, Number(body.sequence_token), Buffer.from(body.data), params.txnId);
  if (version === undefined) throw concurrent(409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE");
  return { sequence_token: String(version) };
};

export const deleteRendezvous: Handler<typeof spec.deleteRendezvous> = async (services, { params }) => {
  await rendezvous.close(services, params.id);
  return {};
};

/** A body that is no JSON. Throws M_TOO_LARGE. */
async function bytesOf(body: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_BYTES) throw tooLarge("This is more than can be left here.");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const tagOf = (version: number): string => `"${version}"`;
const versionOf = (tag: string | undefined): number => Number(/^"(\d{1,9})"$/.exec(tag ?? "")?.[1] ?? Number.NaN);

export const openMsc4108Rendezvous: Handler<typeof spec.openMsc4108Rendezvous> = async (services, { server, body }) => {
  const base = requireMeetings(services, server);
  const { id, version, expires_ts } = await rendezvous.open(services, await bytesOf(body));
  const url = `${base}/_matrix/client/unstable/org.matrix.msc4108/rendezvous/${id}`;
  return new Reply(201, JSON.stringify({ url }), { ...CACHE, ETag: tagOf(version), Expires: new Date(expires_ts).toUTCString() });
};

export const getMsc4108Rendezvous: Handler<typeof spec.getMsc4108Rendezvous> = async (services, { params, headers }) => {
  refuseBrowsing(headers["sec-fetch-mode"]);
  const { data, version, expires_ts } = await rendezvous.look(services, params.id);
  const answer = { ...CACHE, ETag: tagOf(version), Expires: new Date(expires_ts).toUTCString() };
  if (versionOf(headers["if-none-match"]) === version) return new Reply(304, Buffer.alloc(0), answer);
  return new Reply(200, data, { ...answer, "Content-Type": "text/plain" });
};

export const putMsc4108Rendezvous: Handler<typeof spec.putMsc4108Rendezvous> = async (services, { params, headers, body }) => {
  const version = await rendezvous.leave(services, params.id, versionOf(headers["if-match"]), await bytesOf(body));
  if (version === undefined) throw concurrent(412, "M_CONCURRENT_WRITE");
  return new Reply(202, Buffer.alloc(0), { ...CACHE, ETag: tagOf(version) });
};

export const deleteMsc4108Rendezvous: Handler<typeof spec.deleteMsc4108Rendezvous> = async (services, { params }) => {
  await rendezvous.close(services, params.id);
  return new Reply(204, Buffer.alloc(0), CACHE);
};
