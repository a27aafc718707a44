// Cases of operations on rooms: making, entering and leaving them, their events, names and lists.
import { stringAt } from "../../support/json-path.js";
import { SERVER, bodies, type Case, type Cases, elsewhere, enc, inRoom, next, never, ok, openRoom, own, roomOf, say, V1, V3, type World } from "./case.js";

const NOT_PROBED = "a report of what does not exist gets the answer of all reports, so that nobody learns what exists";

/** A public room of alice's in which bob is too. */
async function shared({ alice, bob }: World): Promise<string> {
  const room = await openRoom(alice);
  ok(await bob.post(inRoom(room, "join")));
  return room;
}

/** Somebody who takes no invitations. */
async function recluse(world: World): Promise<string> {
  const { user } = await world.someone();
  ok(await user.put(own(user, "account_data/m.invite_permission_config"), { default_action: "block" }));
  return user.user_id;
}

const powers = (kind: "kick" | "ban" | "unban"): Readonly<Record<string, Case>> => ({
  "200": async (w) => {
    const room = await shared(w);
    if (kind === "unban") ok(await w.alice.post(inRoom(room, "ban"), { user_id: w.bob.user_id }));
    return await w.alice.post(inRoom(room, kind), { user_id: w.bob.user_id });
  },
  "403 M_FORBIDDEN": async (w) => {
    const room = await shared(w);
    const { user_id } = (await w.someone()).user;
    if (kind === "unban") ok(await w.alice.post(inRoom(room, "ban"), { user_id }));
    return await w.bob.post(inRoom(room, kind), { user_id: kind === "unban" ? user_id : w.alice.user_id });
  },
});

const members = (rest: string, outside: string): Readonly<Record<string, Case>> => ({
  "200": async ({ alice }) => await alice.get(inRoom(await roomOf(alice), rest)),
  [outside]: async ({ alice, bob }) => await bob.get(inRoom(await roomOf(alice), rest)),
});

const relations = (rest: string): Readonly<Record<string, Case>> => ({
  "200": async ({ alice }) => {
    const room = await roomOf(alice);
    return await alice.get(`${V1}/rooms/${enc(room)}/relations/${enc(await say(alice, room))}${rest}`);
  },
  "404 M_NOT_FOUND": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/relations/$none${rest}`),
});

const newAlias = (): string => `#alias${next()}:${SERVER}`;
const aliasPath = (alias: string): string => `${V3}/directory/room/${enc(alias)}`;

async function named(world: World): Promise<string> {
  const alias = newAlias();
  ok(await world.alice.put(aliasPath(alias), { room_id: await roomOf(world.alice) }));
  return alias;
}

const setState = (type: string, content: (world: World, room: string) => object | Promise<object>, key = ""): Case => async (w) => {
  const room = await roomOf(w.alice);
  return await w.alice.put(inRoom(room, `state/${type}/${enc(key)}`), await content(w, room));
};

export const roomCases: Cases = {
  createRoom: {
    "200": async ({ alice }) => await alice.post(`${V3}/createRoom`, {}),
    ...bodies("POST", () => `${V3}/createRoom`),
    "400 M_INVALID_ROOM_STATE": async ({ alice }) => await alice.post(`${V3}/createRoom`, { power_level_content_override: { users: { [alice.user_id]: 100 } } }),
    "400 M_ROOM_IN_USE": async ({ alice }) => {
      const room_alias_name = `used${next()}`;
      await roomOf(alice, { room_alias_name });
      return await alice.post(`${V3}/createRoom`, { room_alias_name });
    },
    "400 M_UNSUPPORTED_ROOM_VERSION": async ({ alice }) => await alice.post(`${V3}/createRoom`, { room_version: "none" }),
    "403 M_INVITE_BLOCKED": async (w) => await w.alice.post(`${V3}/createRoom`, { invite: [await recluse(w)] }),
  },
  upgradeRoom: {
    "200": async ({ alice }) => await alice.post(inRoom(await roomOf(alice), "upgrade"), { new_version: "11" }),
    "400 M_UNSUPPORTED_ROOM_VERSION": async ({ alice }) => await alice.post(inRoom(await roomOf(alice), "upgrade"), { new_version: "none" }),
    "403 M_FORBIDDEN": async (w) => await w.bob.post(inRoom(await shared(w), "upgrade"), { new_version: "11" }),
  },
  inviteUser: {
    "200": async ({ alice, bob }) => await alice.post(inRoom(await roomOf(alice), "invite"), { user_id: bob.user_id }),
    ...bodies("POST", async ({ alice }) => inRoom(await roomOf(alice), "invite")),
    "400 M_UNSUPPORTED_ROOM_VERSION": async ({ alice, peer }) => {
      peer.answer("/_matrix/federation/v2/invite/", () => ({ status: 400, body: { errcode: "M_INCOMPATIBLE_ROOM_VERSION", error: "no", room_version: "12" } }));
      return await alice.post(inRoom(await roomOf(alice), "invite"), { user_id: `@old:${peer.name}` });
    },
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.post(inRoom(await openRoom(alice), "invite"), { user_id: alice.user_id }),
    "403 M_INVITE_BLOCKED": async (w) => await w.alice.post(inRoom(await roomOf(w.alice), "invite"), { user_id: await recluse(w) }),
  },
  inviteBy3PID: {
    "200": elsewhere("api/third-party-invites", "go to the user whom the identity server knows"),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.post(inRoom(await openRoom(alice), "invite"), { medium: "email", address: "x@example.org", id_server: "localhost", id_access_token: "x" }),
    "403 M_INVITE_BLOCKED": async (w) => {
      const address = `recluse${next()}@example.org`;
      ok(await w.admin.put(`/_synapse/admin/v2/users/${enc(await recluse(w))}`, { threepids: [{ medium: "email", address }] }));
      return await w.alice.post(inRoom(await roomOf(w.alice), "invite"), { medium: "email", address, id_server: "localhost", id_access_token: "x" });
    },
  },
  joinRoomById: {
    "200": async ({ alice, bob }) => await bob.post(inRoom(await openRoom(alice), "join")),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.post(inRoom(await roomOf(alice), "join")),
  },
  joinRoom: {
    "200": async ({ alice, bob }) => await bob.post(`${V3}/join/${enc(await openRoom(alice))}`),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.post(`${V3}/join/${enc(await roomOf(alice))}`),
  },
  knockRoom: {
    "200": async ({ alice, bob }) => {
      const join_rules = { type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } };
      return await bob.post(`${V3}/knock/${enc(await roomOf(alice, { initial_state: [join_rules] }))}`);
    },
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.post(`${V3}/knock/${enc(await roomOf(alice))}`),
    "404 M_NOT_FOUND": async (w) => await w.bob.post(`${V3}/knock/${enc(newAlias())}`),
  },
  leaveRoom: { "200": async ({ alice }) => await alice.post(inRoom(await roomOf(alice), "leave")) },
  forgetRoom: {
    "200": async ({ alice }) => {
      const room = await roomOf(alice);
      ok(await alice.post(inRoom(room, "leave")));
      return await alice.post(inRoom(room, "forget"));
    },
    "400 M_UNKNOWN": async ({ alice }) => await alice.post(inRoom(await roomOf(alice), "forget")),
  },
  kick: powers("kick"),
  ban: powers("ban"),
  unban: powers("unban"),
  getJoinedRooms: { "200": async ({ alice }) => await alice.get(`${V3}/joined_rooms`) },
  getMutualRooms: {
    "200": async ({ alice, bob }) => await alice.get(`${V1}/mutual_rooms?user_id=${enc(bob.user_id)}`),
    "400 M_INVALID_PARAM": async ({ alice }) => await alice.get(`${V1}/mutual_rooms?user_id=${enc(alice.user_id)}`),
  },
  setRoomAlias: {
    "200": async (w) => await w.alice.put(aliasPath(newAlias()), { room_id: await roomOf(w.alice) }),
    "400 M_INVALID_PARAM": async ({ alice }) => await alice.put(aliasPath("nonsense"), { room_id: await roomOf(alice) }),
    "409 M_UNKNOWN": async (w) => await w.alice.put(aliasPath(await named(w)), { room_id: await roomOf(w.alice) }),
  },
  getRoomIdByAlias: {
    "200": async (w) => await w.alice.get(aliasPath(await named(w))),
    "400 M_INVALID_PARAM": async ({ alice }) => await alice.get(aliasPath("nonsense")),
    "404 M_NOT_FOUND": async (w) => await w.alice.get(aliasPath(newAlias())),
  },
  deleteRoomAlias: {
    "200": async (w) => await w.alice.delete(aliasPath(await named(w))),
    "404 M_NOT_FOUND": async (w) => await w.alice.delete(aliasPath(newAlias())),
  },
  getLocalAliases: {
    "200": async ({ alice }) => await alice.get(inRoom(await roomOf(alice), "aliases")),
    "400 M_INVALID_PARAM": async ({ alice }) => await alice.get(inRoom("nonsense", "aliases")),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.get(inRoom(await roomOf(alice), "aliases")),
  },
  getRoomVisibilityOnDirectory: {
    "200": async ({ alice }) => await alice.get(`${V3}/directory/list/room/${enc(await roomOf(alice))}`),
    "404 M_NOT_FOUND": async ({ alice }) => await alice.get(`${V3}/directory/list/room/${enc(`!none:${SERVER}`)}`),
  },
  setRoomVisibilityOnDirectory: {
    "200": async ({ alice }) => await alice.put(`${V3}/directory/list/room/${enc(await roomOf(alice))}`, { visibility: "public" }),
    "404 M_NOT_FOUND": async ({ alice }) => await alice.put(`${V3}/directory/list/room/${enc(`!none:${SERVER}`)}`, { visibility: "public" }),
  },
  getPublicRooms: { "200": async ({ alice }) => await alice.get(`${V3}/publicRooms`) },
  queryPublicRooms: { "200": async ({ alice }) => await alice.post(`${V3}/publicRooms`, {}) },
  getRoomSummary: {
    "200": async ({ alice, bob }) => await bob.get(`${V1}/room_summary/${enc(await openRoom(alice))}`),
    "404 M_NOT_FOUND": async ({ alice, bob }) => await bob.get(`${V1}/room_summary/${enc(await roomOf(alice))}`),
  },
  getSpaceHierarchy: {
    "200": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/hierarchy`),
    "400 M_INVALID_PARAM": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/hierarchy?from=nonsense`),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.get(`${V1}/rooms/${enc(await roomOf(alice))}/hierarchy`),
  },
  getRoomEvents: members("messages?dir=b", "403"),
  getRoomState: members("state", "403"),
  getMembersByRoom: members("members", "403"),
  getJoinedMembersByRoom: members("joined_members", "403"),
  roomInitialSync: members("initialSync", "403"),
  getRoomStateWithKey: {
    ...members("state/m.room.create/", "403"),
    "404": async ({ alice }) => await alice.get(inRoom(await roomOf(alice), "state/m.room.topic/")),
  },
  setRoomStateWithKey: {
    "200": setState("m.room.topic", () => ({ topic: "x" })),
    "400 M_BAD_ALIAS": setState("m.room.canonical_alias", async (w) => ({ alias: await named(w) })),
    "400 M_INVALID_PARAM": setState("m.room.canonical_alias", () => ({ alias: "nonsense" })),
    "403 M_FORBIDDEN": async (w) => await w.bob.put(inRoom(await shared(w), "state/m.room.topic/"), { topic: "x" }),
    "403 M_INVITE_BLOCKED": async (w) => await w.alice.put(inRoom(await roomOf(w.alice), `state/m.room.member/${enc(await recluse(w))}`), { membership: "invite" }),
  },
  sendMessage: {
    "200": async ({ alice }) => await alice.put(inRoom(await roomOf(alice), `send/m.room.message/n${next()}`), { msgtype: "m.text", body: "x" }),
    "400 M_DUPLICATE_ANNOTATION": async ({ alice }) => {
      const room = await roomOf(alice);
      const content = { "m.relates_to": { rel_type: "m.annotation", event_id: await say(alice, room), key: "+" } };
      await say(alice, room, content, "m.reaction");
      return await alice.put(inRoom(room, `send/m.reaction/n${next()}`), content);
    },
  },
  redactEvent: {
    "200": async ({ alice }) => {
      const room = await roomOf(alice);
      return await alice.put(inRoom(room, `redact/${enc(await say(alice, room))}/n${next()}`), {});
    },
  },
  getOneRoomEvent: {
    "200": async ({ alice }) => {
      const room = await roomOf(alice);
      return await alice.get(inRoom(room, `event/${enc(await say(alice, room))}`));
    },
    "404 M_NOT_FOUND": async ({ alice }) => await alice.get(inRoom(await roomOf(alice), "event/$none")),
  },
  getOneEvent: {
    "200": async ({ alice }) => await alice.get(`${V3}/events/${enc(await say(alice, await roomOf(alice)))}`),
    "404": async ({ alice }) => await alice.get(`${V3}/events/$none`),
  },
  getEventContext: {
    "200": async ({ alice }) => {
      const room = await roomOf(alice);
      return await alice.get(inRoom(room, `context/${enc(await say(alice, room))}`));
    },
  },
  getEventByTimestamp: {
    "200": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/timestamp_to_event?ts=0&dir=f`),
    "404 M_NOT_FOUND": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/timestamp_to_event?ts=0&dir=b`),
  },
  getRelatingEvents: relations(""),
  getRelatingEventsWithRelType: relations("/m.thread"),
  getRelatingEventsWithRelTypeAndEventType: relations("/m.thread/m.room.message"),
  getThreadRoots: {
    "200": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/threads`),
    "400 M_INVALID_PARAM": async ({ alice }) => await alice.get(`${V1}/rooms/${enc(await roomOf(alice))}/threads?from=nonsense`),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.get(`${V1}/rooms/${enc(await roomOf(alice))}/threads`),
  },
  postReceipt: {
    "200": async ({ alice }) => {
      const room = await roomOf(alice);
      return await alice.post(inRoom(room, `receipt/m.read/${enc(await say(alice, room))}`), {});
    },
    "400 M_INVALID_PARAM": async ({ alice }) => {
      const room = await roomOf(alice);
      return await alice.post(inRoom(room, `receipt/m.read/${enc(await say(alice, room))}`), { thread_id: "" });
    },
  },
  setReadMarker: {
    "200": async ({ alice }) => {
      const room = await roomOf(alice);
      return await alice.post(inRoom(room, "read_markers"), { "m.fully_read": await say(alice, room) });
    },
  },
  setTyping: { "200": async ({ alice }) => await alice.put(inRoom(await roomOf(alice), `typing/${enc(alice.user_id)}`), { typing: true, timeout: 1000 }) },
  reportRoom: {
    "200": async ({ alice, bob }) => await bob.post(inRoom(await openRoom(alice), "report"), { reason: "x" }),
    "404 M_NOT_FOUND": never(NOT_PROBED),
  },
  reportEvent: {
    "200": async (w) => {
      const room = await shared(w);
      return await w.bob.post(inRoom(room, `report/${enc(await say(w.alice, room))}`), { reason: "x" });
    },
    "404 M_NOT_FOUND": never(NOT_PROBED),
  },
  reportUser: {
    "200": async ({ alice, bob }) => await alice.post(`${V3}/users/${enc(bob.user_id)}/report`, { reason: "x" }),
    "404 M_NOT_FOUND": never(NOT_PROBED),
  },
  search: {
    "200": async ({ alice }) => await alice.post(`${V3}/search`, { search_categories: { room_events: { search_term: "x" } } }),
    "400": async ({ alice }) => await alice.post(`${V3}/search`, {}),
  },
  sync: { "200": async ({ alice }) => await alice.get(`${V3}/sync`) },
  initialSync: {
    "200": async ({ alice }) => await alice.get(`${V3}/initialSync`),
    "404": never("it speaks of an avatar, of which this operation knows nothing"),
  },
  getEvents: {
    "200": async ({ alice }) => await alice.get(`${V3}/events?timeout=0`),
    "400": async ({ alice }) => await alice.get(`${V3}/events?timeout=0&from=nonsense`),
  },
  peekEvents: {
    "200": async ({ alice, bob }) => {
      const history = { type: "m.room.history_visibility", state_key: "", content: { history_visibility: "world_readable" } };
      return await bob.get(`${V3}/events?timeout=0&room_id=${enc(await roomOf(alice, { initial_state: [history] }))}`);
    },
    "400": async ({ alice, bob }) => await bob.get(`${V3}/events?timeout=0&from=nonsense&room_id=${enc(await openRoom(alice))}`),
  },
  defineFilter: { "200": async ({ alice }) => await alice.post(own(alice, "filter"), {}) },
  getFilter: {
    "200": async ({ alice }) => await alice.get(own(alice, `filter/${stringAt(ok(await alice.post(own(alice, "filter"), { room: { timeline: { limit: 3 } } })), "filter_id")}`)),
    "404": async ({ alice }) => await alice.get(own(alice, "filter/999999")),
  },
  getRoomTags: { "200": async ({ alice }) => await alice.get(own(alice, `rooms/${enc(await roomOf(alice))}/tags`)) },
  setRoomTag: { "200": async ({ alice }) => await alice.put(own(alice, `rooms/${enc(await roomOf(alice))}/tags/u.x`), { order: 0.5 }) },
  deleteRoomTag: { "200": async ({ alice }) => await alice.delete(own(alice, `rooms/${enc(await roomOf(alice))}/tags/u.x`)) },
  updateAppserviceRoomDirectoryVisibility: {
    "200": async ({ alice, bridge, server }) =>
      await bridge.request(server, "PUT", `${V3}/directory/list/appservice/net/${enc(await openRoom(alice))}`, { visibility: "public" }),
  },
  getNotifications: { "200": async ({ alice }) => await alice.get(`${V3}/notifications`) },
  getWellknownPolicy: {
    "200": async ({ server }) => await server.anonymous.get("/.well-known/matrix/policy_server"),
    "404": never("every server can be the policy server of a room"),
  },
  getVersions: { "200": async ({ server }) => await server.anonymous.get("/_matrix/client/versions") },
  getWellknown: {
    "200": async ({ server }) => await server.anonymous.get("/.well-known/matrix/client"),
    "404": async ({ bare }) => await bare.anonymous.get("/.well-known/matrix/client"),
  },
  getWellknownSupport: {
    "200": async ({ server }) => await server.anonymous.get("/.well-known/matrix/support"),
    "404": async ({ bare }) => await bare.anonymous.get("/.well-known/matrix/support"),
  },
};

