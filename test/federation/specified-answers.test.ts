// Every answer that the specification names for what other servers ask, and for what we ask application services and push
// gateways: each is provoked here or in a test that is named, or it is said why it never comes.
import sharp from "sharp";
import { buildEvent, type EventDraft } from "../../src/protocol/event-format.js";
import type { EventId, RoomId, UserId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { type RoomVersion, roomVersion } from "../../src/protocol/room-version.js";
import { freePort } from "../support/free-port.js";
import { federationSettings, startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, stringAt, type JsonObject as Body } from "../support/json-path.js";
import { uploaded } from "../support/media.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import { joinAsPeer } from "../support/peer-room.js";
import type { TestClient } from "../support/server.js";
import { type Case, type Cases, elsewhere, expectAnswers, expectComplete, never } from "../support/specified-answers.js";

const V3 = "/_matrix/client/v3";
const FEDERATION = "/_matrix/federation";
const enc = encodeURIComponent;
const NO_KNOWLEDGE = "whatever an application service answers but 200 means that it knows nothing of it";
const LACKING = "a body that lacks something is M_BAD_JSON here, as with all operations";
const OWN_MEDIA = "other servers are given media of the asked server only";

interface World {
  readonly here: FederatingServer;
  /** With next to no limits. */
  readonly limited: FederatingServer;
  readonly peer: Peer;
  readonly alice: TestClient;
}

function version(id: string): RoomVersion {
  const found = roomVersion(id);
  if (found === undefined) throw new Error("no such version");
  return found;
}

const ask = ({ here, peer }: World, method: "GET" | "PUT" | "POST", uri: string, body?: JsonObject): Promise<PeerAnswer> =>
  peer.request(here.federationUrl, here.name, method, uri, body);

let serial = 0;
async function roomOf(client: TestClient, options: Body = {}): Promise<string> {
  const { status, body } = await client.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11", ...options });
  if (status !== 200) throw new Error(JSON.stringify(body));
  return stringAt(body, "room_id") ?? "";
}
const joinRule = (content: Body): Body => ({ initial_state: [{ type: "m.room.join_rules", state_key: "", content }] });
const knockable = ({ alice }: World): Promise<string> => roomOf(alice, joinRule({ join_rule: "knock" }));
const restricted = ({ alice }: World, room_id: string, more: Body = {}): Promise<string> =>
  roomOf(alice, { ...joinRule({ join_rule: "restricted", allow: [{ type: "m.room_membership", room_id }] }), ...more });
const nowhere = ({ here }: World): string => `!nowhere:${here.name}`;
const malloryOf = ({ peer }: World): UserId => `@mallory:${peer.name}` as UserId;

async function say({ alice }: World, room: string): Promise<string> {
  return stringAt((await alice.put(`${V3}/rooms/${enc(room)}/send/m.room.message/s${(serial += 1)}`, { body: "x" })).body, "event_id") ?? "";
}

type Step = "join" | "knock" | "leave";
const make = (w: World, step: Step, room: string, user: string = malloryOf(w), versions = "ver=11"): Promise<PeerAnswer> =>
  ask(w, "GET", `${FEDERATION}/v1/make_${step}/${enc(room)}/${enc(user)}${step === "leave" ? "" : `?${versions}`}`);

/** The event of a template, completed, and as whatever step it is sent. */
async function complete(w: World, step: Step, room: string): Promise<{ send: (as: Step, change?: JsonObject) => Promise<PeerAnswer> }> {
  const template = await make(w, step, room);
  if (template.status !== 200) throw new Error(JSON.stringify(template.body));
  const draft = { ...objectAt(template.body, "event"), origin_server_ts: Date.now() } as unknown as EventDraft;
  const event = buildEvent(version("11"), draft, w.peer.name, w.peer.key);
  const wire = JSON.parse(event.json) as JsonObject;
  return { send: (as, change = {}) => ask(w, "PUT", `${FEDERATION}/${as === "knock" ? "v1" : "v2"}/send_${as}/${enc(room)}/${enc(event.event_id)}`, { ...wire, ...change }) };
}

/** A join that claims to be vouched for by alice, without anybody having been asked. */
async function claimed(w: World, room: string): Promise<PeerAnswer> {
  const mallory = malloryOf(w);
  const some = [`$${"A".repeat(43)}` as EventId];
  const content = { membership: "join", join_authorised_via_users_server: w.alice.user_id };
  const draft = { room_id: room as RoomId, type: "m.room.member", sender: mallory, state_key: mallory, content, origin_server_ts: Date.now(), depth: 10, prev_events: some, auth_events: some };
  const event = buildEvent(version("11"), draft, w.peer.name, w.peer.key);
  return await ask(w, "PUT", `${FEDERATION}/v2/send_join/${enc(room)}/${enc(event.event_id)}`, JSON.parse(event.json) as JsonObject);
}

/** A room that mallory may join by the rules, but where nobody of ours may invite. */
async function ungrantable(w: World): Promise<string> {
  const space = await roomOf(w.alice);
  await joinAsPeer(w.peer, w.here, space);
  return await restricted(w, space, { power_level_content_override: { invite: 101 } });
}

/** An invitation of a user of ours into a room of the other server. */
async function invite(w: World, api: 1 | 2, target: string, { room_version = api === 1 ? "1" : "11", membership = "invite" } = {}): Promise<PeerAnswer> {
  const rules = version(api === 1 ? "1" : "11");
  const room = `!room${(serial += 1)}:${w.peer.name}` as RoomId;
  const some = [`$some:${w.peer.name}` as EventId];
  const draft = { room_id: room, type: "m.room.member", sender: malloryOf(w), state_key: target, content: { membership }, origin_server_ts: Date.now(), depth: 10, prev_events: api === 1 ? some : [`$${"A".repeat(43)}` as EventId], auth_events: api === 1 ? some : [], ...(api === 1 && { event_id: `$invite${serial}:${w.peer.name}` as EventId }) };
  const event = buildEvent(rules, draft, w.peer.name, w.peer.key);
  const wire = JSON.parse(event.json) as JsonObject;
  const body = api === 1 ? { ...wire, unsigned: { invite_room_state: [] } } : { event: wire, room_version, invite_room_state: [] };
  return await ask(w, "PUT", `${FEDERATION}/v${api}/invite/${enc(room)}/${enc(event.event_id)}`, body);
}

function invitations(api: 1 | 2): Readonly<Record<string, Case<World>>> {
  return {
    "200": async (w) => await invite(w, api, w.alice.user_id),
    "400 M_INVALID_PARAM": async (w) => await invite(w, api, w.alice.user_id, { membership: "join" }),
    "403 M_FORBIDDEN": async (w) => await invite(w, api, `@nobody:${w.here.name}`),
    "403 M_INVITE_BLOCKED": async (w) => {
      const recluse = await w.here.register(`recluse${(serial += 1)}`);
      await recluse.put(`${V3}/user/${enc(recluse.user_id)}/account_data/m.invite_permission_config`, { default_action: "block" });
      return await invite(w, api, recluse.user_id);
    },
  };
}

/** What is asked of an event in a room in which mallory is. */
const ofEvent = (uri: (room: string, event: string) => string): Case<World> => async (w) => {
  const room = await roomOf(w.alice);
  await joinAsPeer(w.peer, w.here, room);
  return await ask(w, "GET", FEDERATION + uri(enc(room), enc(await say(w, room))));
};
const plain = (uri: string, body?: JsonObject): Case<World> => async (w) => await ask(w, body === undefined ? "GET" : "POST", uri.replace("ALICE", enc(w.alice.user_id)).replace("PEER", w.peer.name), body);

async function reserved({ alice }: World): Promise<string> {
  return (stringAt((await alice.post("/_matrix/media/v1/create")).body, "content_uri") ?? "").split("/").at(-1) ?? "";
}
const limited = (uri: string): Case<World> => async ({ limited: server, peer }) => {
  const get = (): Promise<PeerAnswer> => peer.request(server.federationUrl, server.name, "GET", uri);
  await get();
  return await get();
};
const MEDIA = `${FEDERATION}/v1/media`;
const SIZE = "width=10&height=10&method=scale";
async function thumbnailOf(w: World, content: Buffer | string): Promise<PeerAnswer> {
  const id = (await uploaded(w.here, w.alice, content, "image/png")).split("/").at(-1) ?? "";
  return await ask(w, "GET", `${MEDIA}/thumbnail/${id}?${SIZE}`);
}

const SERVERS: Cases<World> = {
  askPolicyServerToSign: {
    "200": elsewhere("federation/policy-server", "sign what others send, and what our users send"),
    "400 M_BAD_JSON": elsewhere("federation/policy-server", "refuse what is not sound, and who was banned or kept out"),
    "400 M_FORBIDDEN": elsewhere("federation/policy-server", "refuse what is not sound, and who was banned or kept out"),
    "400 M_NOT_JSON": async ({ here }) => await here.anonymous.request("POST", "/_matrix/policy/v1/sign", "{", { "content-type": "application/json" }),
    "403 M_FORBIDDEN": elsewhere("federation/policy-server", "refuse what is not sound, and who was banned or kept out"),
    "404 M_NOT_FOUND": elsewhere("federation/policy-server", "sign nothing for rooms that do not name us with our key"),
    "404 M_UNRECOGNIZED": never("every server can be the policy server of a room"),
    "429 M_LIMIT_EXCEEDED": never("how often it is asked is up to the rooms that chose it"),
  },
  backfillRoom: { "200": ofEvent((room, event) => `/v1/backfill/${room}?v=${event}&limit=5`) },
  getMissingPreviousEvents: {
    "200": async (w) => {
      const room = await roomOf(w.alice);
      await joinAsPeer(w.peer, w.here, room);
      return await ask(w, "POST", `${FEDERATION}/v1/get_missing_events/${enc(room)}`, { earliest_events: [], latest_events: [await say(w, room)] });
    },
  },
  getEvent: { "200": ofEvent((_, event) => `/v1/event/${event}`) },
  getEventAuth: { "200": ofEvent((room, event) => `/v1/event_auth/${room}/${event}`) },
  getRoomState: { "200": ofEvent((room, event) => `/v1/state/${room}?event_id=${event}`) },
  getRoomStateIds: {
    "200": ofEvent((room, event) => `/v1/state_ids/${room}?event_id=${event}`),
    "403 M_FORBIDDEN": async (w) => {
      const room = await roomOf(w.alice);
      return await ask(w, "GET", `${FEDERATION}/v1/state_ids/${enc(room)}?event_id=${enc(await say(w, room))}`);
    },
    "404 M_NOT_FOUND": ofEvent((room) => `/v1/state_ids/${room}?event_id=${enc(`$${"A".repeat(43)}`)}`),
  },
  getEventByTimestamp: { "200": ofEvent((room) => `/v1/timestamp_to_event/${room}?ts=0&dir=f`), "404 M_NOT_FOUND": ofEvent((room) => `/v1/timestamp_to_event/${room}?ts=0&dir=b`) },
  getContent: {
    "200": elsewhere("federation/media", "are given with their type and name, also when the other server has forgotten them"),
    "429 M_LIMIT_EXCEEDED": limited(`${MEDIA}/download/none`),
    "502 M_TOO_LARGE": never(OWN_MEDIA),
    "504 M_NOT_YET_UPLOADED": async (w) => await ask(w, "GET", `${MEDIA}/download/${await reserved(w)}?timeout_ms=0`),
  },
  getContentThumbnail: {
    "200": elsewhere("federation/media", "get thumbnails from the copy"),
    "400 M_UNKNOWN": async (w) => await thumbnailOf(w, "no image"),
    "413 M_TOO_LARGE": async (w) => await thumbnailOf(w, await sharp({ create: { width: 2_000, height: 2_001, channels: 3, background: "red" } }).png().toBuffer()),
    "429 M_LIMIT_EXCEEDED": limited(`${MEDIA}/thumbnail/none?${SIZE}`),
    "502 M_TOO_LARGE": never(OWN_MEDIA),
    "504 M_NOT_YET_UPLOADED": async (w) => await ask(w, "GET", `${MEDIA}/thumbnail/${await reserved(w)}?${SIZE}&timeout_ms=0`),
  },
  sendInviteV1: invitations(1),
  sendInviteV2: {
    ...invitations(2),
    "400 M_INCOMPATIBLE_ROOM_VERSION": async (w) => await invite(w, 2, w.alice.user_id, { room_version: "unheard of" }),
    "400 M_MISSING_PARAM": never(LACKING),
  },
  makeJoin: {
    "200": async (w) => await make(w, "join", await roomOf(w.alice)),
    "400 M_INCOMPATIBLE_ROOM_VERSION": async (w) => await make(w, "join", await roomOf(w.alice), malloryOf(w), "ver=1"),
    "400 M_UNABLE_TO_AUTHORISE_JOIN": async (w) => await make(w, "join", await restricted(w, `!space:elsewhere.example`)),
    "400 M_UNABLE_TO_GRANT_JOIN": async (w) => await make(w, "join", await ungrantable(w)),
    "403 M_FORBIDDEN": async (w) => await make(w, "join", await roomOf(w.alice, { preset: "private_chat" })),
    "404 M_NOT_FOUND": async (w) => await make(w, "join", nowhere(w)),
  },
  sendJoinV2: {
    "200": async (w) => {
      const room = await roomOf(w.alice);
      return await (await complete(w, "join", room)).send("join");
    },
    "400 M_INVALID_PARAM": async (w) => await (await complete(w, "knock", await knockable(w))).send("join"),
    "400 M_MISSING_PARAM": never(LACKING),
    "400 M_UNABLE_TO_AUTHORISE_JOIN": async (w) => await claimed(w, await restricted(w, `!space:elsewhere.example`)),
    "400 M_UNABLE_TO_GRANT_JOIN": async (w) => await claimed(w, await ungrantable(w)),
    "403 M_FORBIDDEN": async (w) => await (await complete(w, "join", await roomOf(w.alice))).send("join", { signatures: {} }),
  },
  makeKnock: {
    "200": async (w) => await make(w, "knock", await knockable(w)),
    "400 M_INCOMPATIBLE_ROOM_VERSION": async (w) => await make(w, "knock", await knockable(w), malloryOf(w), "ver=1"),
    "403 M_FORBIDDEN": async (w) => await make(w, "knock", await roomOf(w.alice)),
    "404 M_NOT_FOUND": async (w) => await make(w, "knock", nowhere(w)),
  },
  sendKnock: {
    "200": async (w) => await (await complete(w, "knock", await knockable(w))).send("knock"),
    "400 M_INVALID_PARAM": async (w) => await (await complete(w, "join", await roomOf(w.alice))).send("knock"),
    "403 M_FORBIDDEN": async (w) => {
      const room = await knockable(w);
      const knock = await complete(w, "knock", room);
      await w.alice.put(`${V3}/rooms/${enc(room)}/state/m.room.join_rules/`, { join_rule: "invite" });
      return await knock.send("knock");
    },
    "404 M_NOT_FOUND": async (w) => await ask(w, "PUT", `${FEDERATION}/v1/send_knock/${enc(nowhere(w))}/${enc(`$${"A".repeat(43)}`)}`, {}),
  },
  makeLeave: {
    "200": async (w) => {
      const room = await roomOf(w.alice);
      await joinAsPeer(w.peer, w.here, room);
      return await make(w, "leave", room);
    },
    "403 M_FORBIDDEN": async (w) => await make(w, "leave", await roomOf(w.alice)),
  },
  sendLeaveV2: {
    "200": async (w) => {
      const room = await roomOf(w.alice);
      await joinAsPeer(w.peer, w.here, room);
      return await (await complete(w, "leave", room)).send("leave");
    },
    "400 M_INVALID_PARAM": async (w) => await (await complete(w, "join", await roomOf(w.alice))).send("leave"),
  },
  exchangeThirdPartyInvite: { "200": elsewhere("federation/third-party-invites", "the inviter's server is asked to invite, version") },
  onBindThirdPartyIdentifier: { "200": elsewhere("federation/third-party-invites", "the inviter's server is asked to invite, version") },
  exchangeOpenIdToken: {
    "200": async (w) => {
      const { body } = await w.alice.post(`${V3}/user/${enc(w.alice.user_id)}/openid/request_token`);
      return await ask(w, "GET", `${FEDERATION}/v1/openid/userinfo?access_token=${stringAt(body, "access_token")}`);
    },
    "401 M_UNKNOWN_TOKEN": plain(`${FEDERATION}/v1/openid/userinfo?access_token=nonsense`),
  },
  perspectivesKeyQuery: { "200": plain("/_matrix/key/v2/query/PEER") },
  bulkPerspectivesKeyQuery: { "200": plain("/_matrix/key/v2/query", { server_keys: {} }) },
  getServerKey: { "200": plain("/_matrix/key/v2/server") },
  getPublicRooms: { "200": plain(`${FEDERATION}/v1/publicRooms`) },
  queryPublicRooms: { "200": plain(`${FEDERATION}/v1/publicRooms`, {}) },
  queryInfo: { "200": plain(`${FEDERATION}/v1/query/profile?user_id=ALICE`) },
  queryRoomDirectory: {
    "200": async (w) => {
      const room_alias_name = `named${(serial += 1)}`;
      await roomOf(w.alice, { room_alias_name });
      return await ask(w, "GET", `${FEDERATION}/v1/query/directory?room_alias=${enc(`#${room_alias_name}:${w.here.name}`)}`);
    },
    "404 M_NOT_FOUND": async (w) => await ask(w, "GET", `${FEDERATION}/v1/query/directory?room_alias=${enc(`#none:${w.here.name}`)}`),
  },
  queryProfile: {
    "200": plain(`${FEDERATION}/v1/query/profile?user_id=ALICE`),
    "403 M_FORBIDDEN": never("profiles are shown to everybody: there is no setting to hide them"),
    "404 M_NOT_FOUND": async (w) => await ask(w, "GET", `${FEDERATION}/v1/query/profile?user_id=${enc(`@nobody:${w.here.name}`)}`),
  },
  getSpaceHierarchy: {
    "200": async (w) => await ask(w, "GET", `${FEDERATION}/v1/hierarchy/${enc(await roomOf(w.alice))}`),
    "404 M_NOT_FOUND": async (w) => await ask(w, "GET", `${FEDERATION}/v1/hierarchy/${enc(await roomOf(w.alice, { preset: "private_chat" }))}`),
  },
  sendTransaction: { "200": async (w) => await ask(w, "PUT", `${FEDERATION}/v1/send/t${(serial += 1)}`, { origin: w.peer.name, origin_server_ts: Date.now(), pdus: [], edus: [] }) },
  getUserDevices: { "200": plain(`${FEDERATION}/v1/user/devices/ALICE`) },
  claimUserEncryptionKeys: { "200": plain(`${FEDERATION}/v1/user/keys/claim`, { one_time_keys: {} }) },
  queryUserEncryptionKeys: { "200": plain(`${FEDERATION}/v1/user/keys/query`, { device_keys: {} }) },
  getVersion: { "200": plain(`${FEDERATION}/v1/version`) },
  getWellKnown: { "200": async ({ here }) => await here.anonymous.get("/.well-known/matrix/server") },
};

const QUERIES = "appservice/queries";
const refused = { "401": never(NO_KNOWLEDGE), "403": never(NO_KNOWLEDGE), "404": never(NO_KNOWLEDGE) };
const lookups = { "200": elsewhere(QUERIES, "looks users and places up"), ...refused };
const APPLICATION_SERVICES: Cases<World> = {
  ping: { "200": elsewhere(QUERIES, "pings") },
  sendTransaction: { "200": elsewhere("appservice/deliveries", "sends the same transaction again until it is taken, and goes on at once after a ping") },
  queryUserById: { ...refused, "200": elsewhere(QUERIES, "makes users whose profile is asked for, or who are invited, on demand"), "404": elsewhere(QUERIES, "knows no users that the application service does not know, and does not ask for others") },
  queryRoomByAlias: { ...refused, "200": elsewhere(QUERIES, "makes rooms on demand") },
  getProtocolMetadata: { ...refused, "200": elsewhere(QUERIES, "tells clients of networks, and leaves out what is not sound") },
  queryUserByProtocol: lookups,
  queryLocationByProtocol: lookups,
  queryLocationByAlias: lookups,
  queryUserByID: lookups,
};
const PUSH_GATEWAYS: Cases<World> = { notify: { "200": elsewhere("push/delivery", "tells all of an event, in order, with what the rules add") } };

describe("the answers that the specification names for servers", () => {
  let world: World;
  before(async () => {
    const port = await freePort();
    const [here, limiting, peer] = await Promise.all([
      startFederatingServer({ ...federationSettings(port), servers: [{ name: `localhost:${port}`, federation_address: `localhost:${port}` }], media: { max_image_pixels: 4_000_000 } }),
      startFederatingServer({ rate_limits: { download: { per_second: 0.001, burst: 1 } } }),
      startPeer(),
    ]);
    world = { here: { ...here, name: `localhost:${port}`, federationUrl: `https://localhost:${port}` }, limited: limiting, peer, alice: await here.register("alice") };
  });
  after(async () => {
    for (const part of [world.here, world.limited, world.peer]) await part[Symbol.asyncDispose]();
  });

  it("have a case each", () => {
    expectComplete("server-server", SERVERS);
    expectComplete("application-service", APPLICATION_SERVICES);
    expectComplete("push-gateway", PUSH_GATEWAYS);
  });

  for (const [operation, answers] of Object.entries(SERVERS)) it(operation, () => expectAnswers(answers, world));
});
