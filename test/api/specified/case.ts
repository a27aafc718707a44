// What the cases of operations are made of: the server and the users they act with, and what many of them do first.
import type { TestAppService } from "../../support/application-service.js";
import { stringAt, type JsonObject } from "../../support/json-path.js";
import type { Peer } from "../../support/peer.js";
import type { Answer, TestClient, TestServer } from "../../support/server.js";
import type * as support from "../../support/specified-answers.js";

export const V1 = "/_matrix/client/v1";
export const V3 = "/_matrix/client/v3";

/** The name of all servers here. */
export const SERVER = "localhost";

export interface World {
  /** With all that can be switched on. */
  readonly server: TestServer;
  /** With nothing of that. */
  readonly bare: TestServer;
  /** Users of `server`; alice and bob share no room. */
  readonly alice: TestClient;
  readonly bob: TestClient;
  readonly admin: TestClient;
  /** Alice where nobody has room for media. */
  readonly full: TestClient;
  /** Application services: one that is there, one without an address, one that nobody reaches. */
  readonly bridge: TestAppService;
  readonly silent: TestAppService;
  readonly dead: TestAppService;
  /** Another server. */
  readonly peer: Peer;
  /** A user whom nobody else acts with, and the name. */
  someone(): Promise<{ readonly user: TestClient; readonly name: string }>;
}

export type Case = support.Case<World>;
export type Cases = support.Cases<World>;
export { elsewhere, never } from "../../support/specified-answers.js";

export const enc = encodeURIComponent;
export const inRoom = (room: string, rest: string): string => `${V3}/rooms/${enc(room)}/${rest}`;
/** Of a user's own. */
export const own = ({ user_id }: TestClient, rest: string): string => `${V3}/user/${enc(user_id)}/${rest}`;

/** Throws if an answer that a case only builds upon is no 200. */
export function ok({ status, body }: Pick<Answer, "status" | "body">): JsonObject {
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}

export async function roomOf(client: TestClient, options: JsonObject = {}): Promise<string> {
  return stringAt(ok(await client.post(`${V3}/createRoom`, options)), "room_id") ?? "";
}

export const openRoom = (client: TestClient): Promise<string> => roomOf(client, { preset: "public_chat" });

let sent = 0;
/** A number that no other call got. */
export const next = (): number => (sent += 1);

export async function say(client: TestClient, room: string, content: JsonObject = { msgtype: "m.text", body: "hello" }, type = "m.room.message"): Promise<string> {
  return stringAt(ok(await client.put(inRoom(room, `send/${type}/n${next()}`), content)), "event_id") ?? "";
}

/** As those answer who refuse every body but an object. */
export const bodies = (method: "PUT" | "POST", path: (world: World) => string | Promise<string>): Readonly<Record<string, Case>> => ({
  "400 M_BAD_JSON": async (w) => await w.alice.request(method, await path(w), [1]),
  "400 M_NOT_JSON": async (w) => await w.alice.request(method, await path(w), "{", { "content-type": "application/json" }),
});
