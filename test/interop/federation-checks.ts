// What two servers have to do for each other: one has the room (near), a user of the other (far) comes to it.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { deviceOf } from "../support/device-keys.js";
import { isObject, objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { Account, Missing, required, until, WrongAnswer } from "./account.js";

export interface Pair {
  readonly near: Account;
  readonly far: Account;
  /** Another user of the far server. */
  readonly other: Account;
  readonly version: string;
}

export interface Check {
  readonly name: string;
  /** The first room version that has it; undefined if the version is of no matter. */
  readonly since?: number;
  readonly run: (pair: Pair) => Promise<void>;
}

const unique = (): string => randomBytes(6).toString("hex");

function expect(fact: boolean, what: string): void {
  if (!fact) throw new WrongAnswer(what);
}

async function publicRoom({ near, version }: Pair, more: Record<string, unknown> = {}): Promise<string> {
  return await near.createRoom({ preset: "public_chat", room_version: version, ...more });
}

/** A room that both are in. */
async function sharedRoom(pair: Pair, more: Record<string, unknown> = {}): Promise<string> {
  const room = await publicRoom(pair, more);
  await pair.far.join(room, pair.near);
  await Promise.all([pair.near.seesMember(room, pair.far, "join"), pair.far.seesMember(room, pair.far, "join")]);
  return room;
}

/** Lets the far user do what its creator may. */
async function promote({ near, far, version }: Pair, room: string): Promise<void> {
  const levels = (await near.state(room, "m.room.power_levels")) ?? {};
  const users = { ...objectAt(levels, "users"), [far.id]: version === "12" ? 99 : 100 };
  await near.setState(room, "m.room.power_levels", { ...levels, users });
  await until("the far server knows the power levels", async () => {
    const known = (await far.state(room, "m.room.power_levels")) ?? {};
    return objectAt(known, "users")[far.id] !== undefined;
  });
}

async function sameState(pair: Pair, room: string): Promise<void> {
  const text = (state: ReadonlyMap<string, string>): string => JSON.stringify([...state].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  await until("both servers have the same state", async () => text(await pair.near.wholeState(room)) === text(await pair.far.wholeState(room)));
}

/** The checks that are made once for each room version. */
export const ROOM_CHECKS: readonly Check[] = [
  {
    name: "join by alias",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const name = `alias-${unique()}`;
      const room = await publicRoom(pair, { room_alias_name: name });
      expect((await far.join(`#${name}:${near.server}`)) === room, "another room was joined");
      await near.seesMember(room, far, "join");
      await far.syncsRoom(room, "join");
      await sameState(pair, room);
    },
  },
  {
    name: "invite, accept",
    since: 1,
    async run(pair) {
      const { near, far, version } = pair;
      const room = await near.createRoom({ preset: "private_chat", room_version: version, name: "by invitation" });
      await far.refused(403, "POST", `join/${encodeURIComponent(room)}?server_name=${near.server}&via=${near.server}`, {});
      await near.change(room, "invite", far);
      const invite = await far.syncsRoom(room, "invite");
      const shown = objectsAt(invite, "invite_state", "events");
      expect(shown.some((event) => event["type"] === "m.room.name" && objectAt(event, "content")["name"] === "by invitation"), "the invitation does not tell the name");
      expect(shown.some((event) => event["type"] === "m.room.member" && event["state_key"] === far.id), "the invitation is not among its state");
      await far.join(room, near);
      await near.seesMember(room, far, "join");
      await far.sees(room, await near.say(room, "welcome"));
    },
  },
  {
    name: "invite, decline",
    since: 1,
    async run({ near, far, version }) {
      const room = await near.createRoom({ preset: "private_chat", room_version: version });
      await near.change(room, "invite", far);
      await far.syncsRoom(room, "invite");
      await far.leave(room);
      await near.seesMember(room, far, "leave");
      await far.syncsRoom(room, "leave");
    },
  },
  {
    name: "invite taken back",
    since: 1,
    async run({ near, far, version }) {
      const room = await near.createRoom({ preset: "private_chat", room_version: version });
      await near.change(room, "invite", far);
      await far.syncsRoom(room, "invite");
      await near.change(room, "kick", far);
      await far.syncsRoom(room, "leave");
    },
  },
  {
    name: "invite of a second user",
    since: 1,
    async run(pair) {
      const { near, far, other, version } = pair;
      const room = await near.createRoom({ preset: "private_chat", room_version: version, invite: [far.id] });
      await far.syncsRoom(room, "invite");
      await far.join(room, near);
      await far.seesMember(room, far, "join");
      await far.change(room, "invite", other);
      await other.syncsRoom(room, "invite");
      await near.seesMember(room, other, "invite");
      await other.join(room);
      await near.seesMember(room, other, "join");
      await sameState(pair, room);
    },
  },
  {
    name: "knock, admit",
    since: 7,
    async run({ near, far, version }) {
      const initial_state = [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }];
      const room = await near.createRoom({ preset: "private_chat", room_version: version, name: "knock here", initial_state });
      await far.ok("POST", `knock/${encodeURIComponent(room)}?server_name=${near.server}&via=${near.server}`, { reason: "please" });
      await near.seesMember(room, far, "knock");
      const knock = await far.syncsRoom(room, "knock");
      expect(objectsAt(knock, "knock_state", "events").length > 0, "the knock shows no state");
      await near.change(room, "invite", far);
      await far.syncsRoom(room, "invite");
      await far.join(room, near);
      await near.seesMember(room, far, "join");
    },
  },
  {
    name: "knock, refuse",
    since: 7,
    async run({ near, far, version }) {
      const initial_state = [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }];
      const room = await near.createRoom({ preset: "private_chat", room_version: version, initial_state });
      await far.ok("POST", `knock/${encodeURIComponent(room)}?server_name=${near.server}&via=${near.server}`, {});
      await near.seesMember(room, far, "knock");
      await far.syncsRoom(room, "knock");
      await near.change(room, "kick", far);
      await far.syncsRoom(room, "leave");
    },
  },
  {
    name: "restricted join",
    since: 8,
    async run(pair) {
      const { near, far, version } = pair;
      const lobby = await publicRoom(pair);
      const content = { join_rule: "restricted", allow: [{ type: "m.room_membership", room_id: lobby }] };
      const initial_state = [{ type: "m.room.join_rules", state_key: "", content }];
      const room = await near.createRoom({ preset: "private_chat", room_version: version, initial_state });
      await far.refused(403, "POST", `join/${encodeURIComponent(room)}?server_name=${near.server}&via=${near.server}`, {});
      await far.join(lobby, near);
      await near.seesMember(lobby, far, "join");
      await far.join(room, near);
      await near.seesMember(room, far, "join");
      await far.sees(room, await near.say(room, "admitted"));
      await near.sees(room, await far.say(room, "thanks"));
    },
  },
  {
    name: "messages",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      const sent: string[] = [];
      for (let number = 0; number < 10; number += 1) sent.push(await near.say(room, `near ${number}`), await far.say(room, `far ${number}`));
      for (const id of sent) await Promise.all([near.sees(room, id), far.sees(room, id)]);
      await far.syncUntil("the last message", (sync) =>
        objectsAt(sync, "rooms", "join", room, "timeline", "events").some((event) => event["event_id"] === sent.at(-2)),
      );
    },
  },
  {
    name: "messages at the same time",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      await promote(pair, room);
      const work = Array.from({ length: 8 }, (_, number) => [near, far].map(async (who) => [await who.say(room, `${number}`), await who.setState(room, "m.room.topic", { topic: `${number} of ${who.id}` })]));
      const sent = (await Promise.all(work.flat())).flat();
      for (const id of sent) await Promise.all([near.sees(room, id), far.sees(room, id)]);
      // One more from each joins the branches.
      await far.sees(room, await near.say(room, "together"));
      await near.sees(room, await far.say(room, "again"));
      await sameState(pair, room);
    },
  },
  {
    name: "state, redaction",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      await promote(pair, room);
      await far.setState(room, "m.room.topic", { topic: "set from afar" });
      await until("the near server knows the topic", async () => (await near.state(room, "m.room.topic"))?.["topic"] === "set from afar");
      for (const [speaker, redactor] of [[far, near], [near, far], [far, far]] as const) {
        const id = await speaker.say(room, "not for long");
        await redactor.sees(room, id);
        await redactor.ok("PUT", `rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(id)}/${unique()}`, { reason: "so" });
        for (const reader of [near, far]) {
          await until(`${reader.side.label} has redacted`, async () => {
            const event = await reader.event(room, id);
            return event !== undefined && Object.keys(objectAt(event, "content")).length === 0 && isObject(objectAt(event, "unsigned")["redacted_because"]);
          });
        }
      }
      await sameState(pair, room);
    },
  },
  {
    name: "history before the join",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await publicRoom(pair);
      const before: string[] = [];
      for (let number = 0; number < 45; number += 1) before.push(await near.say(room, `before ${number}`));
      await far.join(room, near);
      const after = await near.say(room, "after");
      await far.sees(room, after);
      await until(`${far.side.label} pages back to the beginning`, async () => {
        const found = (await far.history(room)).flatMap((event) => (event["type"] === "m.room.message" ? (stringAt(event, "event_id") ?? []) : []));
        return found.join() === [...before, after].toReversed().join();
      });
      const create = (await far.history(room)).at(-1);
      expect(create?.["type"] === "m.room.create", "the history does not end with the create event");
    },
  },
  {
    name: "leave, come back",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      await far.leave(room);
      await near.seesMember(room, far, "leave");
      const missed = await near.say(room, "while nobody was there");
      await far.join(room, near);
      await near.seesMember(room, far, "join");
      await far.sees(room, await near.say(room, "welcome back"));
      await near.sees(room, await far.say(room, "here again"));
      await until(`${far.side.label} finds what it missed`, async () => (await far.history(room)).some((event) => event["event_id"] === missed));
      await sameState(pair, room);
    },
  },
  {
    name: "kick",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      await near.change(room, "kick", far);
      await far.syncsRoom(room, "leave");
      await until("the kicked may not speak", async () => (await far.call("PUT", `rooms/${encodeURIComponent(room)}/send/m.room.message/${unique()}`, { msgtype: "m.text", body: "x" })).status === 403);
      await far.join(room, near);
      await near.seesMember(room, far, "join");
    },
  },
  {
    name: "ban, unban",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      await near.change(room, "ban", far);
      await far.syncsRoom(room, "leave");
      await far.refused(403, "POST", `join/${encodeURIComponent(room)}?server_name=${near.server}&via=${near.server}`, {});
      await near.change(room, "unban", far);
      await far.join(room, near);
      await near.seesMember(room, far, "join");
      await far.sees(room, await near.say(room, "after the ban"));
    },
  },
  {
    name: "ban, unban, invite",
    since: 1,
    async run(pair) {
      const { near, far, version } = pair;
      const room = await near.createRoom({ preset: "private_chat", room_version: version, invite: [far.id] });
      await far.syncsRoom(room, "invite");
      await far.join(room, near);
      await near.seesMember(room, far, "join");
      await near.change(room, "ban", far);
      await far.syncsRoom(room, "leave");
      await near.change(room, "unban", far);
      await near.change(room, "invite", far);
      await far.syncsRoom(room, "invite");
      await far.join(room, near);
      await near.seesMember(room, far, "join");
    },
  },
  {
    name: "moderation from afar",
    since: 1,
    async run(pair) {
      const { near, far, other } = pair;
      const room = await sharedRoom(pair);
      await promote(pair, room);
      await other.join(room, near);
      await near.seesMember(room, other, "join");
      await far.change(room, "kick", other);
      await near.seesMember(room, other, "leave");
      await far.change(room, "ban", other);
      await near.seesMember(room, other, "ban");
      await sameState(pair, room);
    },
  },
  {
    name: "access control list",
    since: 1,
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      const host = (account: Account): string => account.server.replace(/:\d+$/, "");
      if (host(near) === host(far)) throw new Missing("both servers have the same host name");
      await near.setState(room, "m.room.server_acl", { allow: ["*"], deny: [host(far)], allow_ip_literals: true });
      const id = await far.say(room, "unheard");
      await far.sees(room, await near.say(room, "marker"));
      await sleep(3_000);
      expect((await near.event(room, id)) === undefined, "the denied server was heard");
    },
  },
];

/** The checks for which the room's version is of no matter. */
export const OTHER_CHECKS: readonly Check[] = [
  {
    name: "profile",
    async run(pair) {
      const { near, far } = pair;
      await far.ok("PUT", `profile/${encodeURIComponent(far.id)}/displayname`, { displayname: "From Afar" });
      const shown = await near.ok("GET", `profile/${encodeURIComponent(far.id)}`);
      expect(shown["displayname"] === "From Afar", "the name is not shown");
      await near.refused(404, "GET", `profile/${encodeURIComponent(`@nobody-${unique()}:${far.server}`)}`);
      const room = await sharedRoom(pair);
      await until("the member event has the name", async () => (await near.state(room, "m.room.member", far.id))?.["displayname"] === "From Afar");
      await far.ok("PUT", `profile/${encodeURIComponent(far.id)}/displayname`, { displayname: "Renamed" });
      await until("the member event has the new name", async () => (await near.state(room, "m.room.member", far.id))?.["displayname"] === "Renamed");
    },
  },
  {
    name: "directory",
    async run(pair) {
      const { near, far } = pair;
      const name = `listed-${unique()}`;
      const room = await publicRoom(pair, { room_alias_name: name, name, visibility: "public" });
      const found = await far.ok("GET", `directory/room/${encodeURIComponent(`#${name}:${near.server}`)}`);
      expect(found["room_id"] === room, "the alias is of another room");
      await far.refused(404, "GET", `directory/room/${encodeURIComponent(`#no-${name}:${near.server}`)}`);
      await until("the room is listed", async () => {
        const listed = await far.ok("POST", `publicRooms?server=${near.server}`, { filter: { generic_search_term: name } });
        return objectsAt(listed, "chunk").some((entry) => entry["room_id"] === room);
      });
      const all = await far.ok("GET", `publicRooms?server=${near.server}&limit=1`);
      expect(objectsAt(all, "chunk").length === 1, "the limit of the list is not kept");
    },
  },
  {
    name: "typing",
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      for (const [typist, reader] of [[near, far], [far, near]] as const) {
        await reader.catchUp();
        await typist.ok("PUT", `rooms/${encodeURIComponent(room)}/typing/${encodeURIComponent(typist.id)}`, { typing: true, timeout: 30_000 });
        await reader.syncUntil("who is typing", (sync) =>
          objectsAt(sync, "rooms", "join", room, "ephemeral", "events").some((event) => event["type"] === "m.typing" && JSON.stringify(event["content"]).includes(typist.id)),
        );
        await typist.ok("PUT", `rooms/${encodeURIComponent(room)}/typing/${encodeURIComponent(typist.id)}`, { typing: false });
        await reader.syncUntil("that nobody is typing", (sync) =>
          objectsAt(sync, "rooms", "join", room, "ephemeral", "events").some((event) => event["type"] === "m.typing" && !JSON.stringify(event["content"]).includes(typist.id)),
        );
      }
    },
  },
  {
    name: "receipts",
    async run(pair) {
      const { near, far } = pair;
      const room = await sharedRoom(pair);
      for (const [speaker, reader] of [[near, far], [far, near]] as const) {
        const id = await speaker.say(room, "have you read this");
        await reader.sees(room, id);
        await speaker.catchUp();
        await reader.ok("POST", `rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(id)}`, {});
        await speaker.syncUntil("the receipt", (sync) =>
          objectsAt(sync, "rooms", "join", room, "ephemeral", "events").some(
            (event) => event["type"] === "m.receipt" && objectAt(event, "content", id, "m.read", reader.id)["ts"] !== undefined,
          ),
        );
      }
    },
  },
  {
    name: "presence",
    async run(pair) {
      const { near, far } = pair;
      await sharedRoom(pair);
      await near.catchUp();
      const status_msg = `here ${unique()}`;
      await far.ok("PUT", `presence/${encodeURIComponent(far.id)}/status`, { presence: "online", status_msg });
      await near.syncUntil("the presence", (sync) =>
        objectsAt(sync, "presence", "events").some((event) => event["sender"] === far.id && objectAt(event, "content")["status_msg"] === status_msg),
      );
    },
  },
  {
    name: "to-device messages",
    async run({ near, far }) {
      for (const [speaker, reader] of [[near, far], [far, near]] as const) {
        for (const device of [reader.device, "*"]) {
          const words = unique();
          await reader.catchUp();
          await speaker.ok("PUT", `sendToDevice/org.example.test/${unique()}`, { messages: { [reader.id]: { [device]: { words } } } });
          await reader.syncUntil("the message", (sync) =>
            objectsAt(sync, "to_device", "events").some((event) => event["sender"] === speaker.id && objectAt(event, "content")["words"] === words),
          );
        }
      }
    },
  },
  {
    name: "device lists and keys",
    async run(pair) {
      const { near, far } = pair;
      await sharedRoom(pair);
      await near.ok("POST", "keys/query", { device_keys: {} });
      await near.catchUp();
      const device = deviceOf({ user_id: far.id, device_id: far.device });
      const key = device.oneTimeKey();
      await far.ok("POST", "keys/upload", { device_keys: device.device_keys, one_time_keys: { "signed_curve25519:AAAAAQ": key } });
      await near.syncUntil("the changed device list", (sync) => {
        const changed = objectAt(sync, "device_lists")["changed"];
        return Array.isArray(changed) && changed.includes(far.id);
      });
      const shown = await near.ok("POST", "keys/query", { device_keys: { [far.id]: [] } });
      const keys = objectAt(shown, "device_keys", far.id, far.device, "keys");
      expect(keys[`ed25519:${far.device}`] === device.key.publicKey, "the device's keys are not shown");
      const claim = { one_time_keys: { [far.id]: { [far.device]: "signed_curve25519" } } };
      const claimed = await near.ok("POST", "keys/claim", claim);
      expect(objectAt(claimed, "one_time_keys", far.id, far.device, "signed_curve25519:AAAAAQ")["key"] === key["key"], "the one-time key is not given");
      const again = await near.ok("POST", "keys/claim", claim);
      expect(Object.keys(objectAt(again, "one_time_keys", far.id, far.device)).length === 0, "a one-time key is given twice");
    },
  },
  {
    name: "media",
    async run({ near, far }) {
      const content = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
      const upload = await near.bytes("POST", "/_matrix/media/v3/upload?filename=dot.png", new Uint8Array(content), "image/png");
      const uri = required(objectAt(JSON.parse(upload.bytes.toString())), "content_uri").replace("mxc://", "");
      const download = await far.bytes("GET", `/_matrix/client/v1/media/download/${uri}`);
      expect(download.status === 200 && download.bytes.equals(content), `the download differs: ${download.status}`);
      const thumbnail = await far.bytes("GET", `/_matrix/client/v1/media/thumbnail/${uri}?width=32&height=32&method=scale`);
      expect(thumbnail.status === 200 && thumbnail.bytes.length > 0, `there is no thumbnail: ${thumbnail.status}`);
      const none = await far.bytes("GET", `/_matrix/client/v1/media/download/${near.server}/${unique()}`);
      expect(none.status === 404, `media that does not exist: ${none.status}`);
    },
  },
  {
    name: "space",
    async run(pair) {
      const { near, far } = pair;
      const child = await publicRoom(pair, { name: "child" });
      const space = await publicRoom(pair, { creation_content: { type: "m.space" } });
      await near.setState(space, "m.space.child", { via: [near.server] }, child);
      await far.join(space, near);
      const listed = await far.call("GET", `../v1/rooms/${encodeURIComponent(space)}/hierarchy`);
      const rooms = objectsAt(listed.body, "rooms").map((entry) => entry["room_id"]);
      expect(rooms.includes(child), `the child that only the other server knows is not listed: ${listed.status}`);
    },
  },
  {
    name: "time, context",
    async run(pair) {
      const { near, far } = pair;
      const room = await publicRoom(pair);
      const first = await near.say(room, "early");
      for (let number = 0; number < 30; number += 1) await near.say(room, `later ${number}`);
      await far.join(room, near);
      const time = Number((await near.event(room, first))?.["origin_server_ts"]);
      const path = `../v1/rooms/${encodeURIComponent(room)}/timestamp_to_event?dir=f&ts=${time}`;
      await near.ok("GET", path);
      await far.ok("GET", path);
      const found = await far.call("GET", path);
      expect(found.body["event_id"] === first, `another event was found: ${JSON.stringify(found.body)}`);
      const context = await far.ok("GET", `rooms/${encodeURIComponent(room)}/context/${encodeURIComponent(first)}?limit=4`);
      expect(stringAt(context, "event", "event_id") === first, "there is no context");
    },
  },
];

/** Comes to a room of so many members, leaves and comes back, and speaks each time before all of its state is there. */
export function largeRoom(members: number): Check {
  return {
    name: `room of ${members} members`,
    async run(pair) {
      const { near, far } = pair;
      const room = await publicRoom(pair);
      const crowd: Account[] = [near];
      const gather = async (): Promise<void> => {
        while (crowd.length < members) {
          const member = await Account.register(near.side, "one-of-many");
          if (crowd.push(member) > members) return;
          await member.join(room);
        }
      };
      await Promise.all(Array.from({ length: 5 }, gather));
      const wanted = new Set([...(await joinedMembers(near, room)), far.id]);
      expect(wanted.size === members + 1, `the room has ${wanted.size - 1} members`);
      const said: string[] = [];
      for (const visit of ["first", "second"]) {
        const joining = far.join(room, near);
        for (let number = 0; number < 5; number += 1) said.push(await near.say(room, `${visit} visit, at the door ${number}`));
        await joining;
        const inside: string[] = [];
        for (let number = 0; number < 10; number += 1) {
          inside.push(...(await Promise.all([near, far, crowd[number % crowd.length] ?? near].map(async (who) => await who.say(room, `${visit} visit ${number}`)))));
        }
        for (const id of inside) await Promise.all([near.sees(room, id), far.sees(room, id)]);
        said.push(...inside);
        await sameState(pair, room);
        for (const who of [near, far]) {
          await until(`${who.side.label} knows all members`, async () => {
            const known = await joinedMembers(who, room);
            return known.size === wanted.size && [...wanted].every((id) => known.has(id));
          });
        }
        for (const who of [near, far]) {
          await until(`${who.side.label} shows all that was said`, async () => {
            const shown = new Set((await who.history(room)).map((event) => event["event_id"]));
            return said.every((id) => shown.has(id));
          });
        }
        if (visit === "second") return;
        await far.leave(room);
        await near.seesMember(room, far, "leave");
        said.push(await near.say(room, "while nobody was there"));
      }
    },
  };
}

async function joinedMembers(who: Account, room: string): Promise<Set<string>> {
  return new Set(Object.keys(objectAt(await who.ok("GET", `rooms/${encodeURIComponent(room)}/joined_members`), "joined")));
}
