// One case for every numbered authorisation rule that refuses, run in every room version that has it, and one for every
// way to be allowed.
import { expect } from "chai";
import { type AuthEvent, authorise, authoriseAuthEvents, mayRedact, type Verdict } from "../../src/protocol/authorisation.js";
import { authorisingTuples, selectAuthEvents } from "../../src/protocol/auth-events.js";
import type { RoomEvent } from "../../src/protocol/event.js";
import { requiredSigners } from "../../src/protocol/event-format.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { powerLevels } from "../../src/protocol/power-levels.js";
import type { RuleName } from "../../src/protocol/rule-numbers.js";
import { roomVersions, type RoomVersion, V1, V10, V11, V12, V3, V6, V7, V8 } from "../../src/protocol/room-version.js";
import { signJson, signingKey } from "../../src/protocol/signing.js";
import { splitStateTuple, type StateMap } from "../../src/protocol/state-map.js";
import { ALICE, BOB, CAROL, DAVE, EVE, type FixtureEvent, FRANK, GRACE, RoomFixture } from "./room-fixture.js";

const thirdPartyKey = signingKey("ed25519:0", Buffer.alloc(32, 3));
const otherKey = signingKey("ed25519:0", Buffer.alloc(32, 4));

function member(sender: string, target: string, membership: string, content: JsonObject = {}): FixtureEvent {
  return { type: "m.room.member", sender, state_key: target, content: { ...content, membership } };
}
function levels(sender: string, content: JsonObject): FixtureEvent {
  return { type: "m.room.power_levels", state_key: "", sender, content };
}
/** The room's levels with some changed. */
function changed(room: RoomFixture, sender: string, changes: JsonObject): FixtureEvent {
  return levels(sender, { ...room.get("m.room.power_levels").content, ...changes });
}
function thirdPartyInvite(room: RoomFixture, changes: JsonObject = {}, key = thirdPartyKey): FixtureEvent {
  room.put(
    room.event({
      type: "m.room.third_party_invite",
      state_key: "token",
      sender: BOB,
      content: { public_key: otherKey.publicKey, public_keys: [{ public_key: thirdPartyKey.publicKey }] },
    }),
  );
  const signed = signJson({ mxid: DAVE, token: "token", ...changes }, "id.example", key);
  return member(BOB, DAVE, "invite", { third_party_invite: { signed } });
}

const verdict = (room: RoomFixture, fields: FixtureEvent, state: StateMap<RoomEvent> = room.state): Verdict =>
  authorise(room.version, room.event(fields), state);

/** Verdict on the auth events of a message by Bob: what the selection takes, altered; the create event is known in any case. */
function authEvents(room: RoomFixture, alter: (chosen: AuthEvent[]) => AuthEvent[], createRejected = false): Verdict {
  const message = room.event({ type: "m.room.message", sender: BOB });
  const chosen = selectAuthEvents(room.version, message, room.state).map((event) => ({ event, rejected: false }));
  const named = alter(chosen);
  const known = new Map(named.map((auth) => [auth.event.event_id, auth]));
  if (room.version.hashedRoomIds) known.set(room.create.event_id, { event: room.create, rejected: createRejected });
  return authoriseAuthEvents(room.version, { ...message, auth_events: named.map(({ event }) => event.event_id) }, known);
}

const REFUSALS: Readonly<Record<Exclude<RuleName, "member.authoriserSignature">, (room: RoomFixture) => Verdict>> = {
  "create.prevEvents": (room) =>
    authorise(room.version, { ...room.create, prev_events: [room.create.event_id] }, new Map()),
  "create.roomId": (room) => verdict(room, { type: "m.room.create", state_key: "", sender: BOB, content: room.create.content }),
  "create.roomVersion": (room) =>
    verdict(room, { type: "m.room.create", state_key: "", content: { ...room.create.content, room_version: "unknown" } }),
  "create.creator": (room) =>
    room.version.privilegedCreators
      ? verdict(room, { type: "m.room.create", state_key: "", content: { additional_creators: [BOB, "bob"] } })
      : verdict(room, { type: "m.room.create", state_key: "", content: {} }),
  "room.create": (room) => authEvents(room, (all) => all, true),
  "authEvents.duplicate": (room) =>
    authEvents(room, (all) => [...all, { event: room.event({ type: "m.room.member", state_key: BOB }), rejected: false }]),
  "authEvents.unexpected": (room) =>
    authEvents(room, (all) => [...all, { event: room.get("m.room.join_rules"), rejected: false }]),
  "authEvents.rejected": (room) =>
    authEvents(room, (all) => all.map((auth) => ({ ...auth, rejected: auth.event.type === "m.room.member" }))),
  "authEvents.noCreate": (room) => authEvents(room, (all) => all.filter(({ event }) => event !== room.create)),
  "authEvents.otherRoom": (room) =>
    authEvents(room, (all) =>
      all.map(({ event }) => {
        const elsewhere = event.type === "m.room.member" ? { ...event, room_id: room.event({ type: "x", room_id: "!other:a.example" }).room_id } : event;
        return { event: elsewhere, rejected: false };
      }),
    ),
  federate: ({ version }) => verdict(new RoomFixture(version, { "m.federate": false }), { type: "m.room.message", sender: BOB }),
  "aliases.noStateKey": (room) => verdict(room, { type: "m.room.aliases" }),
  "aliases.domain": (room) => verdict(room, { type: "m.room.aliases", sender: CAROL, state_key: "b.example" }),
  "member.malformed": (room) => verdict(room, { type: "m.room.member", content: { membership: "join" } }),
  "join.sender": (room) => verdict(room, member(BOB, FRANK, "join")),
  "join.banned": (room) => {
    room.joinRule("public");
    return verdict(room, member(EVE, EVE, "join"));
  },
  "join.authoriser": (room) => {
    room.joinRule("restricted");
    return verdict(room, member(DAVE, DAVE, "join", { join_authorised_via_users_server: CAROL }));
  },
  "join.otherwise": (room) => verdict(room, member(DAVE, DAVE, "join")),
  "invite.thirdParty.banned": (room) => {
    room.member(DAVE, "ban");
    return verdict(room, thirdPartyInvite(room));
  },
  "invite.thirdParty.noSigned": (room) => verdict(room, member(BOB, DAVE, "invite", { third_party_invite: {} })),
  "invite.thirdParty.malformed": (room) =>
    verdict(room, member(BOB, DAVE, "invite", { third_party_invite: { signed: { mxid: DAVE } } })),
  "invite.thirdParty.mxid": (room) => verdict(room, thirdPartyInvite(room, { mxid: FRANK })),
  "invite.thirdParty.unknown": (room) => verdict(room, thirdPartyInvite(room, { token: "other" })),
  "invite.thirdParty.sender": (room) => verdict(room, { ...thirdPartyInvite(room), sender: GRACE }),
  "invite.thirdParty.signature": (room) =>
    verdict(room, thirdPartyInvite(room, {}, signingKey("ed25519:0", Buffer.alloc(32, 5)))),
  "invite.notJoined": (room) => verdict(room, member(FRANK, DAVE, "invite")),
  "invite.target": (room) => verdict(room, member(BOB, CAROL, "invite")),
  "invite.level": (room) => verdict(room, member(CAROL, DAVE, "invite")),
  "leave.self": (room) => verdict(room, member(EVE, EVE, "leave")),
  "leave.notJoined": (room) => verdict(room, member(FRANK, CAROL, "leave")),
  "leave.banned": (room) => {
    room.put(room.event(changed(room, ALICE, { ban: 60 })));
    return verdict(room, member(BOB, EVE, "leave"));
  },
  "leave.level": (room) => verdict(room, member(BOB, GRACE, "leave")),
  "ban.notJoined": (room) => verdict(room, member(FRANK, CAROL, "ban")),
  "ban.level": (room) => verdict(room, member(BOB, GRACE, "ban")),
  "knock.joinRule": (room) => verdict(room, member(DAVE, DAVE, "knock")),
  "knock.sender": (room) => {
    room.joinRule("knock");
    return verdict(room, member(BOB, DAVE, "knock"));
  },
  "knock.membership": (room) => {
    room.joinRule("knock");
    return verdict(room, member(FRANK, FRANK, "knock"));
  },
  "member.unknown": (room) => verdict(room, member(BOB, BOB, "float")),
  "sender.notJoined": (room) => verdict(room, { type: "m.room.message", sender: FRANK }),
  "thirdPartyInvite.level": (room) => verdict(room, { type: "m.room.third_party_invite", sender: CAROL, state_key: "t" }),
  "event.level": (room) => verdict(room, { type: "org.example.high", sender: BOB }),
  "event.stateKey": (room) => verdict(room, { type: "org.example.state", sender: BOB, state_key: ALICE }),
  "powerLevels.integers": (room) => verdict(room, changed(room, GRACE, { ban: "50" })),
  "powerLevels.maps": (room) => verdict(room, changed(room, GRACE, { events: { "m.room.name": "50" } })),
  "powerLevels.users": (room) => verdict(room, changed(room, GRACE, { users: { bob: 50 } })),
  "powerLevels.creators": (room) => verdict(room, changed(room, GRACE, { users: { [ALICE]: 100 } })),
  "powerLevels.namedOld": (room) => {
    room.put(room.event(changed(room, ALICE, { redact: 80 })));
    return verdict(room, changed(room, BOB, { redact: 50 }));
  },
  "powerLevels.namedNew": (room) => verdict(room, changed(room, BOB, { state_default: 51 })),
  "powerLevels.entriesOld": (room) => verdict(room, changed(room, BOB, { events: { "m.room.name": 50 } })),
  "powerLevels.entriesNew": (room) =>
    verdict(room, changed(room, BOB, { events: { "m.room.name": 51, "org.example.high": 75 } })),
  "powerLevels.usersOld": (room) =>
    verdict(room, changed(room, BOB, { users: { ...usersOf(room), [GRACE]: 0 } })),
  "powerLevels.usersNew": (room) =>
    verdict(room, changed(room, BOB, { users: { ...usersOf(room), [CAROL]: 51 } })),
  "redaction.level": (room) =>
    verdict(room, { type: "m.room.redaction", sender: CAROL, redacts: "$a:b.example", event_id: "$r:c.example" }),
};

function usersOf(room: RoomFixture): JsonObject {
  const { users } = room.get("m.room.power_levels").content as { users: JsonObject };
  return users;
}

describe("authorisation rules", () => {
  for (const version of roomVersions()) {
    describe(`room version ${version.id}`, () => {
      for (const [name, refused] of Object.entries(REFUSALS)) {
        const number = version.rules[name as RuleName];
        if (number === undefined || (name === "create.roomId" && version.hashedRoomIds)) continue; // 1.2 of version 12: event format
        if (name === "create.creator" && version.implicitCreator && !version.privilegedCreators) continue; // not in version 11
        it(`${number} ${name}`, () => {
          const result = refused(new RoomFixture(version));
          expect(result.allowed ? "allowed" : result.rule).to.equal(number);
        });
      }
    });
  }

  it("the numbers are those of each version's text", () => {
    const numbers = (name: RuleName): (string | undefined)[] => [V1, V3, V6, V7, V8, V10, V11, V12].map(({ rules }) => rules[name]);
    expect(numbers("federate")).to.deep.equal(["3", "3", "3", "3", "3", "3", "3", "4"]);
    expect(numbers("aliases.domain")).to.deep.equal(["4.2", "4.2", ...Array.from({ length: 6 })]);
    expect(numbers("join.otherwise")).to.deep.equal(["5.2.6", "5.2.6", "4.2.6", "4.2.6", "4.3.7", "4.3.7", "4.3.7", "5.3.7"]);
    expect(numbers("member.unknown")).to.deep.equal(["5.6", "5.6", "4.6", "4.7", "4.8", "4.8", "4.8", "5.8"]);
    expect(numbers("event.stateKey")).to.deep.equal(["9", "9", "8", "8", "8", "8", "8", "9"]);
    expect(numbers("powerLevels.usersNew")).to.deep.equal(["10.7.1", "10.7.1", "9.7.1", "9.7.1", "9.7.1", "9.9.1", "9.9.1", "10.10.1"]);
    expect(numbers("redaction.level")).to.deep.equal(["11.3", ...Array.from({ length: 7 })]);
  });

  it("restricted joins need the authorising server's signature (rule 4.2.1, version 12: 5.2.1)", () => {
    for (const version of roomVersions()) {
      const room = new RoomFixture(version);
      const event = room.event(member(DAVE, DAVE, "join", { join_authorised_via_users_server: BOB }));
      const signers = requiredSigners(version, event)?.filter((server) => server === "b.example");
      expect(signers, version.id).to.have.lengthOf(version.rules["member.authoriserSignature"] === undefined ? 0 : 1);
    }
  });

  const ALLOWED: Readonly<Record<string, { since?: RoomVersion; until?: RoomVersion; run: (room: RoomFixture) => Verdict }>> = {
    "a create event": { run: (room) => authorise(room.version, room.create, new Map()) },
    "its auth events, as selected": { run: (room) => authEvents(room, (all) => all) },
    "the creator's first join": {
      run: (room) =>
        verdict(room, { ...member(ALICE, ALICE, "join"), prev_events: [room.create.event_id] }, new Map([...room.state].slice(0, 1))),
    },
    "a member joining again": { run: (room) => verdict(room, member(CAROL, CAROL, "join")) },
    "an invited user joining": { run: (room) => verdict(room, member(FRANK, FRANK, "join")) },
    "anyone joining a public room": {
      run: (room) => {
        room.joinRule("public");
        return verdict(room, member(DAVE, DAVE, "join"));
      },
    },
    "an invited user joining a room that takes knocks": {
      since: V7,
      run: (room) => {
        room.joinRule("knock");
        return verdict(room, member(FRANK, FRANK, "join"));
      },
    },
    "a restricted join through a user who may invite": {
      since: V8,
      run: (room) => {
        room.joinRule("restricted");
        return verdict(room, member(DAVE, DAVE, "join", { join_authorised_via_users_server: BOB }));
      },
    },
    "a join by knock_restricted": {
      since: V10,
      run: (room) => {
        room.joinRule("knock_restricted");
        return verdict(room, member(DAVE, DAVE, "join", { join_authorised_via_users_server: BOB }));
      },
    },
    "an invite": { run: (room) => verdict(room, member(BOB, DAVE, "invite")) },
    "a third-party invite": { run: (room) => verdict(room, thirdPartyInvite(room)) },
    "a third-party invite by the single key": { run: (room) => verdict(room, thirdPartyInvite(room, {}, otherKey)) },
    "leaving": { run: (room) => verdict(room, member(CAROL, CAROL, "leave")) },
    "declining an invite": { run: (room) => verdict(room, member(FRANK, FRANK, "leave")) },
    "taking a knock back": {
      since: V7,
      run: (room) => {
        room.member(DAVE, "knock");
        return verdict(room, member(DAVE, DAVE, "leave"));
      },
    },
    "a kick": { run: (room) => verdict(room, member(BOB, CAROL, "leave")) },
    "lifting a ban": { run: (room) => verdict(room, member(BOB, EVE, "leave")) },
    "a ban": { run: (room) => verdict(room, member(BOB, CAROL, "ban")) },
    "a knock": {
      since: V7,
      run: (room) => {
        room.joinRule("knock");
        return verdict(room, member(DAVE, DAVE, "knock"));
      },
    },
    "a message": { run: (room) => verdict(room, { type: "m.room.message", sender: CAROL }) },
    "state by a moderator": { run: (room) => verdict(room, { type: "m.room.topic", sender: BOB, state_key: "" }) },
    "state under one's own name": { run: (room) => verdict(room, { type: "org.example.state", sender: BOB, state_key: BOB }) },
    "aliases by any server": {
      until: V6,
      run: (room) => verdict(room, { type: "m.room.aliases", sender: DAVE, state_key: "d.example" }),
    },
    "aliases are state like any other": { since: V6, run: (room) => verdict(room, { type: "m.room.aliases", sender: BOB, state_key: "x" }) },
    "the first power levels": {
      run: (room) => verdict(room, levels(ALICE, { users: { [BOB]: 50 } }), room.without("m.room.power_levels")),
    },
    "power levels within the sender's own": {
      run: (room) => verdict(room, changed(room, BOB, { users: { ...usersOf(room), [CAROL]: 50 }, kick: 40, redact: 50 })),
    },
    "giving up one's own level": { run: (room) => verdict(room, changed(room, BOB, { users: { ...usersOf(room), [BOB]: 0 } })) },
    "power levels as strings": {
      until: V10,
      run: (room) => verdict(room, changed(room, GRACE, { users: { ...usersOf(room), [BOB]: " +0050 " } })),
    },
    "a user's own redaction": {
      run: (room) => verdict(room, { type: "m.room.redaction", sender: CAROL, redacts: "$a:c.example", event_id: "$r:c.example" }),
    },
    "a moderator's redaction": { run: (room) => verdict(room, { type: "m.room.redaction", sender: BOB, redacts: "$a:c.example" }) },
    "notifications are not limited at first": {
      until: V6,
      run: (room) => verdict(room, changed(room, BOB, { notifications: { room: 100 } })),
    },
    "creators stand above every level": {
      since: V12,
      run: (room) => verdict(room, changed(room, ALICE, { users: { [GRACE]: 0 }, ban: 2 ** 53 - 1 })),
    },
  };
  for (const version of roomVersions()) {
    it(`room version ${version.id} allows what it must`, () => {
      const all = roomVersions();
      for (const [name, { since = V1, until, run }] of Object.entries(ALLOWED)) {
        const has = all.indexOf(version) >= all.indexOf(since) && (until === undefined || all.indexOf(version) < all.indexOf(until));
        const result = run(new RoomFixture(version));
        if (has) expect(result, name).to.deep.equal({ allowed: true });
        else expect(result.allowed, `${name} is only for some versions`).to.equal(false);
      }
    });
  }

  it("a room of a hashed id needs the create event that the id names", () => {
    const room = new RoomFixture(V12);
    expect(authoriseAuthEvents(V12, room.event({ type: "m.room.message" }), new Map())).to.have.property("rule", "2");
    expect(verdict(room, { type: "m.room.message" }, room.without("m.room.create"))).to.have.property("rule", "2");
    expect(authEvents(room, (all) => [...all, { event: room.create, rejected: false }])).to.have.property("rule", "3.2");
  });

  it("an auth event that is named twice counts twice, one that nobody has cannot be judged", () => {
    const room = new RoomFixture(V11);
    expect(authEvents(room, (all) => [...all, ...all.slice(0, 1)])).to.have.property("rule", "2.1");
    const event = { ...room.event({ type: "m.room.message" }), auth_events: [room.create.event_id] };
    expect(() => authoriseAuthEvents(V11, event, new Map())).to.throw("is not given");
  });

  it("version 12: additional creators are above all levels, and only there", () => {
    for (const [version, allowed] of [
      [V12, true],
      [V11, false],
    ] as const) {
      const room = new RoomFixture(version, { additional_creators: [CAROL] });
      expect(verdict(room, { type: "org.example.high", sender: CAROL }).allowed).to.equal(allowed);
    }
  });

  it("selects the auth events of the specification", () => {
    const room = new RoomFixture(V10);
    thirdPartyInvite(room);
    const select = (fields: FixtureEvent, version = V10): string[] =>
      authorisingTuples(version, room.event(fields)).map((tuple) => splitStateTuple(tuple).join(" ").trim().replace("m.room.", "")).toSorted();
    expect(select({ type: "m.room.create", state_key: "" })).to.deep.equal([]);
    expect(select({ type: "m.room.message" })).to.deep.equal(["create", `member ${ALICE}`, "power_levels"]);
    expect(select(member(ALICE, BOB, "ban"))).to.deep.equal(["create", `member ${ALICE}`, `member ${BOB}`, "power_levels"]);
    expect(select(member(DAVE, DAVE, "knock"))).to.deep.equal(["create", "join_rules", `member ${DAVE}`, "power_levels"]);
    expect(select(thirdPartyInvite(room))).to.include("third_party_invite token");
    const join = member(DAVE, DAVE, "join", { join_authorised_via_users_server: BOB });
    expect(select(join)).to.include(`member ${BOB}`);
    expect(select(join, V7)).to.not.include(`member ${BOB}`);
    expect(selectAuthEvents(V10, room.event({ type: "m.room.message" }), room.state)).to.have.lengthOf(3);
    const hashed = new RoomFixture(V12);
    expect(selectAuthEvents(V12, hashed.event({ type: "m.room.message" }), hashed.state)).to.have.lengthOf(2);
  });

  it("a redaction takes effect by level or by the same server, never on a create event or across rooms", () => {
    const room = new RoomFixture(V11);
    const inForce = powerLevels(V11, room.create, room.get("m.room.power_levels"));
    const target = room.event({ type: "m.room.message", sender: CAROL });
    const redaction = (sender: string, redacts: string = target.event_id): RoomEvent =>
      room.event({ type: "m.room.redaction", sender, redacts });
    expect(mayRedact(V11, redaction(BOB), target, inForce)).to.equal(true);
    expect(mayRedact(V11, redaction("@other:c.example"), target, inForce)).to.equal(true);
    expect(mayRedact(V11, redaction(FRANK), target, inForce)).to.equal(false);
    expect(mayRedact(V11, redaction(BOB, "$other"), target, inForce)).to.equal(false);
    expect(mayRedact(V11, { ...redaction(BOB), room_id: room.event({ type: "x", room_id: "!o:a.example" }).room_id }, target, inForce)).to.equal(false);
    expect(mayRedact(V11, redaction(ALICE, room.create.event_id), room.create, inForce)).to.equal(false);
  });
});
