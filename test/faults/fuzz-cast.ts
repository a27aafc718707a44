// Who calls operations while they are fuzzed, and what the names in those calls stand for: rooms, events, tokens, whatever an
// operation may be asked about.
import { deviceOf } from "../support/device-keys.js";
import { numberAt, objectsAt, stringAt } from "../support/json-path.js";
import { passwordOf, roomOf, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

export const CALLERS = ["user", "other", "admin", "guest", "service", "nobody"] as const;
export type CallerName = (typeof CALLERS)[number];

/** Lone surrogates cannot be in a URL. */
export const enc = (value: string): string => encodeURIComponent(value.replaceAll(/\p{Surrogate}/gu, "?"));

export interface Cast {
  readonly clients: Readonly<Record<CallerName, TestClient>>;
  readonly names: ReadonlyMap<string, string>;
}

let castings = 0;

/** New users with rooms that they share with a bystander, and one of everything else. */
export async function newCast(server: TestServer, bystander: TestClient, serviceToken: string): Promise<Cast> {
  const number = (castings += 1);
  const [user, other, root] = [await server.register(`user${number}`), await server.register(`other${number}`), await server.register(`root${number}`)];
  await server.database.write({ name: "test_admin", text: "UPDATE accounts SET is_admin = true FROM users WHERE nid = user_nid AND user_id = $1" }, [root.user_id]);
  const admin = await server.login(`root${number}`);
  const asGuest = (await server.anonymous.post(`${V3}/register?kind=guest`)).body;
  const guest = server.client({ user_id: stringAt(asGuest, "user_id"), device_id: stringAt(asGuest, "device_id"), access_token: stringAt(asGuest, "access_token") });
  const service = server.client({ user_id: "@bridgebot:localhost", access_token: serviceToken });

  const shared = await roomOf(user, { preset: "public_chat", room_alias_name: `alias${number}`, initial_state: [{ type: "m.room.guest_access", state_key: "", content: { guest_access: "can_join" } }] });
  const old = await roomOf(user, { preset: "public_chat", room_version: "10" });
  const space = await roomOf(other, { preset: "private_chat", creation_content: { type: "m.space" }, invite: [user.user_id] });
  for (const client of [other, admin, guest, bystander]) await client.post(`${V3}/join/${enc(shared)}`);
  for (const client of [other, bystander]) await client.post(`${V3}/join/${enc(old)}`);
  const say = async (room: string, transaction: string): Promise<string> => stringAt((await user.put(`${V3}/rooms/${enc(room)}/send/m.room.message/${transaction}`, { msgtype: "m.text", body: "some words" })).body, "event_id") ?? "";
  const [event1, event2, event3] = [await say(shared, "first"), await say(shared, "second"), await say(old, "third")];

  const keys = deviceOf(user);
  await user.post(`${V3}/keys/upload`, { device_keys: keys.device_keys, one_time_keys: keys.oneTimeKeys("a", "b") });
  const backup = await user.post(`${V3}/room_keys/version`, { algorithm: "m.megolm_backup.v1.curve25519-aes-sha2", auth_data: {} });
  const filter = await user.post(`${V3}/user/${enc(user.user_id)}/filter`, { room: { timeline: { limit: 1 } } });
  const media = await user.request("POST", "/_matrix/media/v3/upload?filename=a.txt", "bytes", { "content-type": "text/plain" });
  const reserved = await user.post("/_matrix/media/v1/create");
  const mediaId = (uri: string | undefined): string => (uri ?? "").split("/").at(-1) ?? "";
  await user.put(`${V3}/pushrules/global/override/mine`, { actions: ["notify"], conditions: [] });
  await user.put(`${V3}/user/${enc(user.user_id)}/account_data/org.example.data`, { x: 1 });
  await user.put(`${V3}/user/${enc(user.user_id)}/rooms/${enc(shared)}/account_data/org.example.data`, { x: 1 });
  await user.put(`${V3}/rooms/${enc(shared)}/state/org.example.other/key`, { x: 1 });
  await user.post(`${V3}/rooms/${enc(shared)}/report/${enc(event1)}`, { reason: "x" });
  await other.post(`${V3}/users/${enc(user.user_id)}/report`, { reason: "x" });
  await admin.post("/_synapse/admin/v1/registration_tokens/new", { token: `token${number}` });
  const delayed = await user.put(`${V3}/rooms/${enc(shared)}/send/m.room.message/delayed?org.matrix.msc4140.delay=600000`, { body: "later" });
  const reports = await admin.get("/_synapse/admin/v1/event_reports?dir=b");
  const purge = await admin.post(`/_synapse/admin/v1/purge_history/${enc(shared)}`, { purge_up_to_ts: 1 });
  const synced = await user.get(`${V3}/sync`);
  const page = await user.get(`${V3}/rooms/${enc(shared)}/messages?dir=b&limit=2`);
  const sliding = await user.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", { lists: { all: { ranges: [[0, 9]], timeline_limit: 1 } } });
  const session = await user.post(`${V3}/delete_devices`, { devices: ["NEW"] });
  const openid = await user.post(`${V3}/user/${enc(user.user_id)}/openid/request_token`);
  const meeting = await user.post("/_matrix/client/unstable/io.element.msc4388/rendezvous", { data: "x" });
  const client = await server.anonymous.post("/_hansa/oauth/clients", { client_name: "x", client_uri: "https://client.example/", redirect_uris: ["https://client.example/back"], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" });

  const names = {
    room1: shared, room2: old, room3: space, event1, event2, event3,
    user1: user.user_id, user2: other.user_id, user3: guest.user_id, self: other.user_id,
    device1: user.device_id, device2: other.device_id, password1: passwordOf(`user${number}`),
    server: "localhost", alias1: `#alias${number}:localhost`,
    media1: mediaId(stringAt(media.body, "content_uri")), media2: mediaId(stringAt(reserved.body, "content_uri")),
    token1: stringAt(synced.body, "next_batch"), token2: stringAt(page.body, "end"), pos1: stringAt(sliding.body, "pos"),
    session1: stringAt(session.body, "session"), access1: guest.access_token, openid1: stringAt(openid.body, "access_token"),
    backup1: stringAt(backup.body, "version"), filter1: stringAt(filter.body, "filter_id"), delay1: stringAt(delayed.body, "delay_id"),
    registration1: `token${number}`, report1: String(numberAt(objectsAt(reports.body, "event_reports")[0], "id") ?? ""), purge1: stringAt(purge.body, "purge_id"),
    meeting1: stringAt(meeting.body, "id"), sequence1: stringAt(meeting.body, "sequence_token"), client1: stringAt(client.body, "client_id"),
  };
  const known = Object.entries(names).flatMap(([name, value]): [string, string][] => (value === undefined || value === "" ? [] : [[name, value]]));
  return { clients: { user, other, admin, guest, service, nobody: server.anonymous }, names: new Map(known) };
}
