// Push rules: the predefined ones, every condition, order, and one evaluation for many members.
import { expect } from "chai";
import type { JsonObject, JsonValue } from "../../src/protocol/json.js";
import { powerLevels } from "../../src/protocol/power-levels.js";
import { COMPILED_DEFAULTS, compileRules, evaluate, eventFacts, ignoring, type Member, type Notification, singledOut } from "../../src/protocol/push-evaluation.js";
import { DEFAULT_RULES, type PushCondition, type PushRule, type PushRuleset, userRules } from "../../src/protocol/push-rules.js";
import { V11 } from "../../src/protocol/room-version.js";
import { ALICE, BOB, CAROL, DAVE, type FixtureEvent, RoomFixture } from "./room-fixture.js";

const room = new RoomFixture(V11);
const levels = powerLevels(V11, room.create, room.get("m.room.power_levels"));
const message = (content: JsonObject, more: Partial<FixtureEvent> = {}): FixtureEvent => ({ type: "m.room.message", sender: BOB, content, ...more });

function outcome(fields: FixtureEvent, rules: PushRuleset = DEFAULT_RULES, member: Member | undefined = { user_id: CAROL }, members = 3): Notification | undefined {
  return evaluate(compileRules(rules), eventFacts(room.event(fields), members, levels), member);
}
const ruleId = (...args: Parameters<typeof outcome>): string | undefined => outcome(...args)?.rule_id;

const custom = (rule_id: string, more: Partial<PushRule> = {}): PushRule => ({ rule_id, default: false, enabled: true, actions: ["notify"], ...more });
const withOverride = (...rules: PushRule[]): PushRuleset => userRules({ override: rules }, new Map());

function matches(condition: PushCondition, fields: FixtureEvent, members = 3, member?: Member): boolean {
  return ruleId(fields, withOverride(custom("test", { conditions: [condition] })), member, members) === "test";
}

describe("push rules", () => {
  it("the predefined rules are those of the specification, in its order", () => {
    expect(DEFAULT_RULES.override.map((rule) => rule.rule_id.replace(".m.rule.", ""))).to.deep.equal([
      "master",
      "suppress_notices",
      "invite_for_me",
      "member_event",
      "is_user_mention",
      "is_room_mention",
      "tombstone",
      "reaction",
      "room.server_acl",
      "suppress_edits",
      ".org.matrix.msc3930.rule.poll_response",
      ".org.matrix.msc4028.encrypted_event",
    ]);
    expect(DEFAULT_RULES.underride.map((rule) => rule.rule_id.replace(".m.rule.", ""))).to.deep.equal([
      "call",
      "encrypted_room_one_to_one",
      "room_one_to_one",
      "message",
      "encrypted",
      ...["start_one_to_one", "start", "end_one_to_one", "end"].map((name) => `.org.matrix.msc3930.rule.poll_${name}`),
    ]);
    const forClients = JSON.stringify(userRules({}, new Map(), CAROL));
    expect(forClients.split(JSON.stringify(CAROL))).to.have.lengthOf(4);
    expect(forClients).to.not.contain("\\u0000");
  });

  it("users named by their whole id in a text that does not say whom it mentions are notified", () => {
    const named = (body: string, more: Record<string, unknown> = {}): string | undefined => ruleId(message({ body, ...more }), DEFAULT_RULES, { user_id: CAROL });
    for (const body of [`Hello ${CAROL}!`, `${CAROL}: come`, `(${CAROL}.)`]) expect(named(body)).to.equal(".org.hansa.rule.contains_user_id");
    expect(named(`Hello ${CAROL}`, { "m.mentions": {} })).to.equal(".m.rule.message");
    expect(named(`Hello ${CAROL}.net`)).to.equal(".m.rule.message");
    expect(named(`Hello ${CAROL}`, { msgtype: "m.notice" })).to.equal(undefined);
    expect(singledOut({ type: "m.room.message", content: { body: `${CAROL} ${BOB} ${CAROL}` } })).to.deep.equal([CAROL, BOB]);
    expect(singledOut({ type: "m.room.message", content: { body: "@a:b.example ".repeat(10) + "@".repeat(50_000) } })).to.have.length(1);
  });

  it("do what they say", () => {
    expect(outcome(message({ body: "hi" }))).to.deep.include({ rule_id: ".m.rule.message", notify: true, highlight: false });
    expect(ruleId(message({ body: "hi" }), DEFAULT_RULES, { user_id: CAROL }, 2)).to.equal(".m.rule.room_one_to_one");
    expect(ruleId({ type: "m.room.encrypted", sender: BOB })).to.equal(".m.rule.encrypted");
    expect(outcome({ type: "m.room.encrypted", sender: BOB }, DEFAULT_RULES, { user_id: CAROL }, 2)?.tweaks).to.deep.equal({ sound: "default" });
    expect(outcome({ type: "m.call.invite", sender: BOB })?.tweaks).to.deep.equal({ sound: "ring" });
    expect(outcome(message({ msgtype: "m.notice", body: "x" }))).to.equal(undefined);
    expect(outcome({ type: "m.reaction", sender: BOB })).to.equal(undefined);
    expect(outcome(message({ body: "x", "m.relates_to": { rel_type: "m.replace" } }))).to.equal(undefined);
    expect(outcome({ type: "m.room.server_acl", state_key: "", sender: BOB })).to.equal(undefined);
    expect(outcome({ type: "m.room.tombstone", state_key: "", sender: BOB })?.highlight).to.equal(true);
    expect(ruleId({ type: "m.room.tombstone", sender: BOB })).to.equal(undefined);
    const invite = { type: "m.room.member", sender: BOB, state_key: CAROL, content: { membership: "invite" } };
    expect(ruleId(invite)).to.equal(".m.rule.invite_for_me");
    expect(ruleId(invite, DEFAULT_RULES, { user_id: DAVE })).to.equal(undefined);
    expect(outcome(message({ "m.mentions": { user_ids: [CAROL] } }))).to.deep.include({
      highlight: true,
      tweaks: { sound: "default", highlight: true },
    });
    expect(ruleId(message({ "m.mentions": { user_ids: [DAVE] } }))).to.equal(".m.rule.message");
    expect(ruleId(message({ "m.mentions": { room: true } }, { sender: ALICE }))).to.equal(".m.rule.is_room_mention");
    expect(ruleId(message({ "m.mentions": { room: true } }))).to.equal(".m.rule.message");
    expect(ruleId(message({ "m.mentions": { room: "true" } }, { sender: ALICE }))).to.equal(".m.rule.message");
  });

  it("polls notify when they begin and end, not with each answer (MSC3930)", () => {
    const poll = (name: string, members = 3): Notification | undefined =>
      outcome({ type: `org.matrix.msc3381.poll.${name}`, sender: BOB }, DEFAULT_RULES, { user_id: CAROL }, members);
    expect(poll("response")).to.equal(undefined);
    for (const name of ["start", "end"]) {
      expect(poll(name)).to.deep.include({ notify: true, tweaks: {} });
      expect(poll(name, 2)).to.deep.include({ notify: true, tweaks: { sound: "default" } });
    }
  });

  it("what is encrypted goes to those who want all of it, before rules of rooms, after the user's own (MSC4028)", () => {
    const all = new Map([[".org.matrix.msc4028.encrypted_event", { enabled: true }]]);
    const inRoom = custom("!room:a.example", { actions: [] });
    const encrypted = { type: "m.room.encrypted", sender: BOB };
    expect(outcome(encrypted, userRules({ room: [inRoom] }, new Map()))).to.equal(undefined);
    expect(outcome(encrypted, userRules({ room: [inRoom] }, all))?.notify).to.equal(true);
    expect(outcome(encrypted, userRules({ override: [custom("mute", { actions: [] })] }, all))).to.equal(undefined);
  });

  it("ignored users mean nothing, whatever the rules say", () => {
    const rules = [...ignoring([BOB]), ...compileRules(withOverride(custom("all")))];
    const facts = (sender: string): ReturnType<typeof eventFacts> => eventFacts(room.event(message({ body: "x" }, { sender })), 3, levels);
    expect(evaluate(rules, facts(BOB), { user_id: CAROL })).to.equal(undefined);
    expect(evaluate(rules, facts(ALICE), { user_id: CAROL })?.rule_id).to.equal("all");
  });

  it("nobody is notified of their own events, and the master rule silences everything", () => {
    expect(outcome(message({ body: "x" }), DEFAULT_RULES, { user_id: BOB })).to.equal(undefined);
    const silent = userRules({ override: [custom("mine", { conditions: [] })] }, new Map([[".m.rule.master", { enabled: true }]]));
    expect(outcome(message({ body: "x" }), silent)).to.equal(undefined);
  });

  it("event_match: whole values without regard to case, words of the body, strings only", () => {
    const match = (key: string, pattern: string, content: JsonObject): boolean => matches({ kind: "event_match", key, pattern }, message(content));
    expect(match("content.topic", "lunc?*", { topic: "Lunch plans" })).to.equal(true);
    expect(match("content.topic", "lunc?*", { topic: " lunch" })).to.equal(false);
    expect(match("content.topic", "*", { topic: null })).to.equal(false);
    expect(match("content.topic", "*", {})).to.equal(false);
    expect(match("content.body", "ex*ple", { body: "An example event." })).to.equal(true);
    expect(match("content.body", "cake", { body: "cupcake" })).to.equal(false);
    expect(match("content.m\\.x.a\\\\b", "1", { "m.x": { "a\\b": "1" } })).to.equal(true);
    expect(match("content.__proto__.x", "*", {})).to.equal(false);
    expect(matches({ kind: "event_match", key: "room_id", pattern: "!ROOM*" }, message({}))).to.equal(true);
  });

  it("event_property_is and event_property_contains: exact scalars", () => {
    const is = (value: JsonValue, content: JsonObject): boolean => matches({ kind: "event_property_is", key: "content.x", value }, message(content));
    expect([is(true, { x: true }), is(1, { x: 1 }), is(null, { x: null }), is("a", { x: "a" })]).to.deep.equal([true, true, true, true]);
    expect([is(true, { x: "true" }), is(1, { x: true }), is(null, {}), is("a", { x: "A" }), is([], { x: [] })]).to.not.include(true);
    const contains = (value: JsonValue, x: JsonValue): boolean => matches({ kind: "event_property_contains", key: "content.x", value }, message({ x }));
    expect([contains("a", ["b", "a"]), contains(1, [1]), contains(null, [null])]).to.deep.equal([true, true, true]);
    expect([contains("a", "a"), contains("a", ["ab"]), contains(1, ["1"]), contains({}, [{}])]).to.not.include(true);
  });

  it("the other conditions, and those that nobody knows", () => {
    const count = (is: string): boolean => matches({ kind: "room_member_count", is }, message({}), 3);
    expect(["3", "==3", ">2", "<4", ">=3", "<=3"].map(count)).to.not.include(false);
    expect(["2", "==4", ">3", "<3", ">=4", "<=2", "", "=3", "3.0", "x"].map(count)).to.not.include(true);
    const permitted = (sender: string): boolean => matches({ kind: "sender_notification_permission", key: "room" }, message({}, { sender }));
    expect([permitted(ALICE), permitted(BOB)]).to.deep.equal([true, false]);
    const named = (displayName: string, body: string): boolean => matches({ kind: "contains_display_name" }, message({ body }), 3, { user_id: CAROL, displayName });
    expect([named("Carol*", "hi CAROL*!"), named("Carol*", "hi Caroline"), named("", "x")]).to.deep.equal([true, false, false]);
    for (const kind of ["thread_subscription", "io.element.msc4306.thread_subscription"]) {
      for (const [inThread, follows, subscribed, expected] of [
        [true, true, true, true],
        [true, false, true, false],
        [true, false, false, true],
        [true, undefined, false, true],
        [false, true, true, false],
        [false, false, false, false],
        [true, true, undefined, false],
      ] as const) {
        const rules = compileRules(withOverride(custom("x", { conditions: [{ kind, subscribed }] })));
        const found = evaluate(rules, eventFacts(room.event(message({})), 3, levels, inThread), { user_id: CAROL, follows });
        expect(found?.rule_id === "x", `${inThread} ${follows} ${subscribed}`).to.equal(expected);
      }
    }
    expect(matches({ kind: "org.example.unknown" }, message({}))).to.equal(false);
    expect(matches({ kind: "event_match", key: "type" }, message({}))).to.equal(false);
  });

  it("content, room and sender rules, in the order of kinds", () => {
    const content = custom("cake", { pattern: "cake" });
    const inRoom = custom("!room:a.example", { actions: [] });
    const sender = custom(BOB, { actions: ["notify", { set_tweak: "sound", value: "x" }, "dont_notify"] });
    const of = (rules: Partial<PushRuleset>): PushRuleset => userRules(rules, new Map());
    expect(ruleId(message({ body: "a cake" }), of({ content: [content], room: [inRoom], sender: [sender] }))).to.equal("cake");
    expect(ruleId(message({ body: "x" }), of({ content: [content], room: [inRoom], sender: [sender] }))).to.equal(undefined);
    expect(outcome(message({ body: "x" }), of({ sender: [sender] }))?.actions).to.deep.equal(sender.actions.slice(0, 2));
    expect(ruleId(message({ body: "x" }), of({ sender: [{ ...sender, enabled: false }] }))).to.equal(".m.rule.message");
    expect(ruleId(message({ msgtype: "m.notice" }), of({ override: [custom("first", { conditions: [] })] }))).to.equal("first");
    const changed = userRules({}, new Map([[".m.rule.message", { actions: ["notify", { set_tweak: "highlight", value: false }] }]]));
    expect(outcome(message({ body: "x" }), changed)).to.deep.include({ highlight: false, tweaks: { highlight: false } });
  });

  it("one evaluation answers for all whom the event does not single out", () => {
    const event = room.event(message({ body: "x", "m.mentions": { user_ids: [CAROL, 7] } }));
    const facts = eventFacts(event, 3, levels);
    expect(singledOut(event)).to.deep.equal([CAROL]);
    expect(evaluate(COMPILED_DEFAULTS, facts)).to.deep.equal(evaluate(COMPILED_DEFAULTS, facts, { user_id: DAVE }));
    expect(evaluate(COMPILED_DEFAULTS, facts, { user_id: CAROL })?.highlight).to.equal(true);
    expect(singledOut(room.event({ type: "m.room.member", state_key: DAVE }))).to.deep.equal([DAVE]);
    const forged = eventFacts(room.event(message({ "m.mentions": { user_ids: ["\0own user id", ""] } })), 3, levels);
    expect(evaluate(COMPILED_DEFAULTS, forged)?.highlight).to.equal(false);
  });
});
