// State resolution: results worked out by hand, and properties over random rooms that fork.
import { expect } from "chai";
import fc from "fast-check";
import { type AuthEvent, authorise } from "../../src/protocol/authorisation.js";
import { authChainOf, authDifference, conflictedSubgraph, type FetchEvents } from "../../src/protocol/auth-chains.js";
import type { RoomEvent } from "../../src/protocol/event.js";
import type { EventId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { roomCreators } from "../../src/protocol/power-levels.js";
import { redactContent } from "../../src/protocol/redaction.js";
import { type RoomVersion, V1, V11, V12, V2, V6 } from "../../src/protocol/room-version.js";
import { type StateMap, type StateTuple, stateTuple } from "../../src/protocol/state-map.js";
import { resolve } from "../../src/protocol/state-resolution.js";
import { ALICE, BOB, CAROL, DAVE, EVE, type FixtureEvent, FRANK, GRACE, RoomFixture } from "./room-fixture.js";

type State = Map<StateTuple, RoomEvent>;

/** A room whose history forks after what the fixture sets up. */
class ForkedRoom {
  readonly room: RoomFixture;
  readonly #events = new Map<EventId, AuthEvent>();

  constructor(version: RoomVersion) {
    this.room = new RoomFixture(version);
    for (const event of this.room.state.values()) this.#events.set(event.event_id, { event, rejected: false });
  }

  fork(): State {
    return new Map(this.room.state);
  }

  /** Adds an event to a branch if the rules allow it there. */
  attempt(branch: State, fields: FixtureEvent): RoomEvent | undefined {
    const event = this.room.citing(fields, branch);
    if (event.state_key === undefined || !authorise(this.room.version, event, branch).allowed) return undefined;
    branch.set(stateTuple(event.type, event.state_key), event);
    this.#events.set(event.event_id, { event, rejected: false });
    return event;
  }

  add(branch: State, fields: FixtureEvent): RoomEvent {
    const event = this.attempt(branch, fields);
    if (event === undefined) throw new Error(`the rules refuse ${fields.type}`);
    return event;
  }

  reject(event: RoomEvent): void {
    this.#events.set(event.event_id, { event, rejected: true });
  }

  /** Puts an event into a branch that the rules would not let in. */
  put(branch: State, event: RoomEvent): void {
    branch.set(stateTuple(event.type, event.state_key ?? ""), event);
    this.#events.set(event.event_id, { event, rejected: false });
  }

  readonly fetch = (ids: readonly EventId[]): Promise<ReadonlyMap<EventId, AuthEvent>> => {
    const found = new Map<EventId, AuthEvent>();
    for (const id of ids) {
      const entry = this.#events.get(id);
      if (entry) found.set(id, entry);
    }
    return Promise.resolve(found);
  };

  async resolve(...branches: StateMap<RoomEvent>[]): Promise<StateMap<EventId>> {
    const sets = branches.map((branch) => new Map([...branch].map(([tuple, event]) => [tuple, event.event_id])));
    return resolve(this.room.version, sets, this.fetch);
  }

  /** The event that a resolution has for a key. */
  async winner(type: string, stateKey: string, ...branches: State[]): Promise<RoomEvent | undefined> {
    const id = (await this.resolve(...branches)).get(stateTuple(type, stateKey));
    return id === undefined ? undefined : (await this.fetch([id])).get(id)?.event;
  }
}

const member = (sender: string, target: string, membership: string): FixtureEvent => ({ type: "m.room.member", sender, state_key: target, content: { membership } });
const topic = (sender: string, origin_server_ts?: number): FixtureEvent => ({
  type: "m.room.topic",
  state_key: "",
  sender,
  ...(origin_server_ts !== undefined && { origin_server_ts }),
});
function levels(room: ForkedRoom, sender: string, users: JsonObject): FixtureEvent {
  const { content } = room.room.get("m.room.power_levels");
  const old = content.users as JsonObject;
  return { type: "m.room.power_levels", state_key: "", sender, content: { ...content, users: { ...old, ...users } } };
}

const ALL = [V1, V2, V6, V11, V12];
const REVISED = [V2, V6, V11, V12];

describe("state resolution by hand", () => {
  it("versions 2 and later: a ban on one branch undoes what the banned moderator did on the other", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      const ban = room.add(left, member(GRACE, BOB, "ban"));
      room.add(right, topic(BOB));
      // The ban is a power event and comes first; after it Bob's topic is refused, and there was none before.
      expect(await room.winner("m.room.member", BOB, left, right), version.id).to.equal(ban);
      expect(await room.winner("m.room.topic", "", left, right), version.id).to.equal(undefined);
    }
  });

  it("version 1: the topic stays, since only its own key conflicts", async () => {
    const room = new ForkedRoom(V1);
    const [left, right] = [room.fork(), room.fork()];
    room.add(left, member(GRACE, BOB, "ban"));
    const set = room.add(right, topic(BOB));
    expect(await room.winner("m.room.topic", "", left, right)).to.equal(set);
  });

  it("a demotion on one branch stops the demoted moderator's changes on the other", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      const demotion = room.add(left, levels(room, GRACE, { [BOB]: 0 }));
      room.add(right, levels(room, BOB, { [CAROL]: 50 }));
      // Grace has the higher level, so hers comes first; under it Bob may not set levels.
      expect(await room.winner("m.room.power_levels", "", left, right), version.id).to.equal(demotion);
    }
  });

  it("an invite rule on one branch beats a join that the other branch still allowed", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const base = room.fork();
      room.add(base, { type: "m.room.join_rules", state_key: "", sender: GRACE, content: { join_rule: "public" } });
      const [left, right] = [new Map(base), new Map(base)];
      const closed = room.add(left, { type: "m.room.join_rules", state_key: "", sender: GRACE, content: { join_rule: "invite" } });
      room.add(right, member(DAVE, DAVE, "join"));
      expect(await room.winner("m.room.join_rules", "", left, right), version.id).to.equal(closed);
      expect(await room.winner("m.room.member", DAVE, left, right), version.id).to.equal(undefined);
    }
  });

  it("equal power: the later of two topics wins, at equal time the larger id", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      const late = room.add(left, topic(BOB, 2000));
      room.add(right, topic(BOB, 1000));
      expect(await room.winner("m.room.topic", "", left, right), version.id).to.equal(late);
      const [up, down] = [room.fork(), room.fork()];
      const one = room.add(up, topic(BOB, 1000));
      const two = room.add(down, topic(BOB, 1000));
      expect(await room.winner("m.room.topic", "", up, down), version.id).to.equal(one.event_id < two.event_id ? two : one);
    }
  });

  it("mainline: a topic under newer power levels wins over a later one under older", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      room.add(left, levels(room, GRACE, { [CAROL]: 10 }));
      const under = room.add(left, topic(BOB, 1000));
      room.add(right, topic(BOB, 2000));
      expect(await room.winner("m.room.topic", "", left, right), version.id).to.equal(under);
    }
  });

  it("version 1: the deepest topic that is allowed wins; power levels go by ascending depth", async () => {
    const room = new ForkedRoom(V1);
    const [left, right] = [room.fork(), room.fork()];
    const shallow = room.add(left, levels(room, GRACE, { [BOB]: 0 }));
    room.add(right, levels(room, BOB, { [CAROL]: 50 }));
    // The shallower comes first and is taken; the deeper is refused in the state that has it.
    expect(await room.winner("m.room.power_levels", "", left, right)).to.equal(shallow);
    const [up, down] = [room.fork(), room.fork()];
    room.add(up, topic(BOB));
    const deep = room.add(down, topic(BOB));
    expect(await room.winner("m.room.topic", "", up, down)).to.equal(deep);
  });

  it("version 12 takes nothing for granted that no auth event backs", async () => {
    // A state set that somebody made up: Dave is joined in both, though no join of his is allowed.
    for (const [version, winner] of [
      [V11, true],
      [V12, false],
    ] as const) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      const promotion = room.add(left, levels(room, GRACE, { [DAVE]: 50 }));
      room.put(right, promotion);
      const rules = room.room.citing({ type: "m.room.join_rules", state_key: "", sender: DAVE, content: { join_rule: "public" } }, right);
      const forged = room.room.citing(member(DAVE, DAVE, "join"), right);
      for (const branch of [left, right]) room.put(branch, forged);
      room.put(right, rules); // cites no membership of Dave's
      const result = await room.resolve(left, right);
      // v2 starts from the unconflicted state, in which Dave is a joined moderator; v2.1 asks who let him in.
      expect(result.get(stateTuple("m.room.join_rules", "")) === rules.event_id, version.id).to.equal(winner);
    }
  });

  it("rejected events do not get into the result and do not authorise others", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      const promotion = room.add(left, levels(room, GRACE, { [CAROL]: 50 }));
      room.add(left, topic(CAROL));
      const plain = room.add(right, topic(BOB, 1));
      room.reject(promotion);
      expect(await room.winner("m.room.power_levels", "", left, right), version.id).to.not.equal(promotion);
      expect(await room.winner("m.room.topic", "", left, right), version.id).to.equal(plain);
    }
  });

  it("events of another room never take part", async () => {
    for (const version of ALL) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      room.add(left, topic(BOB));
      const other = { ...room.add(right, topic(BOB)), room_id: room.room.event({ type: "x", room_id: "!other:a.example" }).room_id };
      room.reject(other);
      const problem = await room.resolve(left, right).then(
        () => "resolved",
        (error: unknown) => (error instanceof Error ? error.message : "unknown"),
      );
      expect(problem, version.id).to.contain("another room");
    }
  });

  it("a second create event does not take over the room", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const [left, right] = [room.fork(), room.fork()];
      const forged = room.room.event({ type: "m.room.create", state_key: "", sender: EVE, content: { creator: EVE, room_version: version.id }, origin_server_ts: 0 });
      const own = { ...forged, room_id: room.room.create.room_id };
      room.put(right, own);
      room.add(left, topic(BOB));
      const result = await room.resolve(left, right);
      const bans = room.room.citing(member(EVE, GRACE, "ban"), right);
      expect(authorise(version, bans, right).allowed, version.id).to.equal(false);
      expect(result.get(stateTuple("m.room.power_levels", "")), version.id).to.equal(room.room.get("m.room.power_levels").event_id);
    }
  });

  it("a small forged state does not reset the room", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const whole = room.fork();
      const set = room.add(whole, topic(ALICE));
      const small: State = new Map([...whole].slice(0, 2)); // the create event and Alice's join
      const result = await room.resolve(whole, small);
      expect(result.get(stateTuple("m.room.topic", "")), version.id).to.equal(set.event_id);
      for (const type of ["m.room.power_levels", "m.room.join_rules"]) {
        expect(result.get(stateTuple(type, "")), version.id).to.equal(room.room.get(type).event_id);
      }
    }
  });

  it("a redacted create event still makes its sender the creator", () => {
    for (const version of ALL) {
      const { create } = new RoomFixture(version);
      const redacted = { ...create, content: redactContent(version, create.type, create.content) };
      expect(roomCreators(version, redacted), version.id).to.deep.equal([ALICE]);
    }
  });

  it("loads only what takes part", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const base = room.fork();
      room.add(base, { type: "m.room.join_rules", state_key: "", sender: GRACE, content: { join_rule: "public" } });
      for (let i = 0; i < 300; i++) room.add(base, member(`@u${i}:z.example`, `@u${i}:z.example`, "join"));
      const [left, right] = [new Map(base), new Map(base)];
      room.add(left, topic(BOB));
      room.add(right, topic(BOB));
      const sets = [left, right].map((branch) => new Map([...branch].map(([tuple, event]) => [tuple, event.event_id])));
      const loaded: EventId[] = [];
      const fetch: FetchEvents = (ids) => {
        loaded.push(...ids);
        return room.fetch(ids);
      };
      await resolve(version, sets, fetch);
      expect(loaded.length, version.id).to.be.lessThan(12);
      expect(new Set(loaded).size, "each once").to.equal(loaded.length);
    }
  });

  it("lets others have their turn, however much is in conflict", async () => {
    for (const version of REVISED) {
      const room = new ForkedRoom(version);
      const base = room.fork();
      room.add(base, { type: "m.room.join_rules", state_key: "", sender: GRACE, content: { join_rule: "public" } });
      const [left, right] = [new Map(base), new Map(base)];
      for (let i = 0; i < 1_000; i++) room.add(i % 2 === 0 ? left : right, member(`@u${i}:z.example`, `@u${i}:z.example`, "join"));
      let [turns, ended] = [0, false];
      const count = (): void => {
        turns += 1;
        if (!ended) setImmediate(count);
      };
      setImmediate(count);
      const result = await room.resolve(left, right);
      ended = true;
      expect(result.size, version.id).to.equal(base.size + 1_000);
      expect(turns, version.id).to.be.greaterThan(20);
    }
  });

  it("auth chains: difference and conflicted subgraph of a diamond", async () => {
    // e -> c, d; c -> b; d -> b; b -> a; f -> a
    const room = new RoomFixture(V11);
    const edges: Readonly<Record<string, readonly string[]>> = { $a: [], $b: ["$a"], $c: ["$b"], $d: ["$b"], $e: ["$c", "$d"], $f: ["$a"] };
    const events = new Map(Object.entries(edges).map(([event_id, auth_events]) => {
      const event = room.event({ type: "x", state_key: event_id, event_id, auth_events });
      return [event.event_id, { event, rejected: false }];
    }));
    const id = (text: string): EventId => [...events.keys()].find((key) => key === text) ?? room.create.event_id;
    const fetch: FetchEvents = (ids) => Promise.resolve(new Map([...events].filter(([key]) => ids.includes(key))));
    const set = (text: string): ReadonlySet<EventId> => new Set(text.split(" ").map(id));
    const common = (text?: string) => ({ has: (one: EventId) => one === text, reached: async () => await authChainOf(text === undefined ? [] : [id(text)], fetch) });
    const sorted = (ids: ReadonlySet<EventId>): string => [...ids].toSorted().join(" ");
    expect(sorted(await authDifference([set("$e"), set("$f")], common(), fetch))).to.equal("$b $c $d");
    expect(sorted(await authDifference([set("$e"), set("$c $f")], common(), fetch))).to.equal("$d");
    // What is before something that all have in common is in all chains.
    expect(sorted(await authDifference([set("$e"), set("$f")], common("$c"), fetch))).to.equal("$d");
    expect(sorted(await authDifference([set("$d"), set("$f")], common("$c"), fetch))).to.equal("");
    expect(sorted(await conflictedSubgraph(set("$e $b $f"), fetch))).to.equal("$b $c $d $e $f");
    expect(sorted(await conflictedSubgraph(set("$e $f"), fetch))).to.equal("$e $f");
  });
});

// Random rooms: each branch is a list of things that people try.
const PEOPLE = [ALICE, BOB, CAROL, DAVE, EVE, FRANK, GRACE];
interface Attempt {
  readonly what: number;
  readonly sender: number;
  readonly target: number;
  readonly level: number;
  readonly time: number;
}
const attempt: fc.Arbitrary<Attempt> = fc.record({
  what: fc.nat(8),
  sender: fc.nat(PEOPLE.length - 1),
  target: fc.nat(PEOPLE.length - 1),
  level: fc.nat(10),
  time: fc.nat(3),
});
const story = fc.record({
  version: fc.constantFrom(...ALL),
  branches: fc.array(fc.array(attempt, { maxLength: 12 }), { minLength: 2, maxLength: 4 }),
});

function fieldsOf({ what, sender: senderIndex, target: targetIndex, level, time }: Attempt, branch: State): FixtureEvent {
  const [sender = ALICE, target = BOB] = [PEOPLE[senderIndex], PEOPLE[targetIndex]];
  const origin_server_ts = 100 + time;
  const membership = ["join", "invite", "leave", "ban", "ban"][what];
  if (membership === "join") return { ...member(target, target, "join"), origin_server_ts };
  if (membership !== undefined) return { ...member(sender, target, membership), origin_server_ts };
  if (what === 5) return { ...topic(sender), origin_server_ts };
  if (what === 6) {
    const join_rule = level > 5 ? "public" : "invite";
    return { type: "m.room.join_rules", state_key: "", sender, content: { join_rule }, origin_server_ts };
  }
  const current = branch.get(stateTuple("m.room.power_levels", ""))?.content ?? {};
  const users = (current.users ?? {}) as JsonObject;
  return { type: "m.room.power_levels", state_key: "", sender, content: { ...current, users: { ...users, [target]: level * 10 } }, origin_server_ts };
}

function tell(version: RoomVersion, branches: readonly (readonly Attempt[])[]): { room: ForkedRoom; states: State[] } {
  const room = new ForkedRoom(version);
  const states = branches.map((attempts) => {
    const branch = room.fork();
    for (const each of attempts) room.attempt(branch, fieldsOf(each, branch));
    return branch;
  });
  return { room, states };
}

const entries = (state: StateMap<EventId>): string => JSON.stringify([...state].toSorted(([a], [b]) => (a < b ? -1 : 1)));

describe("state resolution properties", () => {
  it("does not depend on the order of the states, nor on one being there twice", async () => {
    await fc.assert(
      fc.asyncProperty(story, async ({ version, branches }) => {
        const { room, states } = tell(version, branches);
        const result = entries(await room.resolve(...states));
        expect(entries(await room.resolve(...states.toReversed()))).to.equal(result);
        expect(entries(await room.resolve(...states, ...states.slice(0, 1)))).to.equal(result);
        const [first = new Map<StateTuple, RoomEvent>(), ...others] = states;
        expect(entries(await room.resolve(...others, new Map([...first].toReversed())))).to.equal(result);
      }),
      { numRuns: 150 },
    );
  });

  it("gives a state back that it is given alone or twice", async () => {
    await fc.assert(
      fc.asyncProperty(story, async ({ version, branches }) => {
        const { room, states } = tell(version, branches);
        const [state = new Map<StateTuple, RoomEvent>()] = states;
        const ids = entries(new Map([...state].map(([tuple, event]) => [tuple, event.event_id])));
        expect(entries(await room.resolve(state))).to.equal(ids);
        expect(entries(await room.resolve(state, new Map(state)))).to.equal(ids);
      }),
      { numRuns: 50 },
    );
  });

  it("keeps what all states agree on, and takes every entry from some state or its auth chain", async () => {
    await fc.assert(
      fc.asyncProperty(story, async ({ version, branches }) => {
        const { room, states } = tell(version, branches);
        const result = await room.resolve(...states);
        const [first = new Map<StateTuple, RoomEvent>(), ...others] = states;
        for (const [tuple, event] of first) {
          if (others.every((state) => state.get(tuple) === event)) expect(result.get(tuple)).to.equal(event.event_id);
        }
        const loaded = await room.fetch([...result.values()]);
        for (const [tuple, id] of result) {
          const event = loaded.get(id)?.event;
          expect(event && stateTuple(event.type, event.state_key ?? "")).to.equal(tuple);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("an event that nothing depends on changes no other entry", async () => {
    await fc.assert(
      fc.asyncProperty(story, fc.nat(3), async ({ version, branches }, which) => {
        const { room, states } = tell(version, branches);
        const before = await room.resolve(...states);
        const branch = states[which % states.length];
        if (branch === undefined) return;
        const leaf = room.attempt(branch, { type: "org.example.leaf", state_key: "", sender: GRACE });
        const after = new Map(await room.resolve(...states));
        after.delete(stateTuple("org.example.leaf", ""));
        expect(entries(after), leaf === undefined ? "refused" : "added").to.equal(entries(before));
      }),
      { numRuns: 100 },
    );
  });

  it("does not let in whom every branch banned, as long as those who banned keep their power", async () => {
    const calm = fc.array(fc.array(attempt.filter(({ what }) => what !== 3 && what !== 4 && what < 7), { maxLength: 12 }), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...ALL), calm, fc.nat(3), async (version, branches, when) => {
        const room = new ForkedRoom(version);
        const states = branches.map((attempts, index) => {
          const branch = room.fork();
          const mayTouch = ({ sender, target }: Attempt): boolean => PEOPLE[target] !== GRACE && PEOPLE[target] !== ALICE && PEOPLE[sender] !== undefined;
          for (const each of attempts.slice(0, when).filter(mayTouch)) room.attempt(branch, fieldsOf(each, branch));
          room.add(branch, { ...member(index % 2 === 0 ? GRACE : ALICE, CAROL, "ban"), origin_server_ts: 100 });
          const harmless = ({ target, what }: Attempt): boolean => PEOPLE[target] !== CAROL || what === 0;
          for (const each of attempts.slice(when).filter(mayTouch).filter(harmless)) room.attempt(branch, fieldsOf(each, branch));
          return branch;
        });
        const carol = await room.winner("m.room.member", CAROL, ...states);
        expect(carol?.content.membership).to.not.equal("join");
      }),
      { numRuns: 150 },
    );
  });
});
