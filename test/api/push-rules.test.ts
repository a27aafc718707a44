// The push rules API.
import { expect } from "chai";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const RULES = `${V3}/pushrules/global`;

describe("push rules of a user", () => {
  let server: TestServer;
  let alice: TestClient;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  let made = 0;
  beforeEach(async () => {
    alice = await server.register(`user${++made}`);
  });

  const ids = async (kind: string): Promise<unknown[]> => objectsAt((await alice.get(`${RULES}/`)).body, kind).map((rule) => rule["rule_id"]);

  it("begin with the predefined ones, which name their owner", async () => {
    for (const path of ["/_matrix/client/r0/pushrules/", `${V3}/pushrules`]) {
      const { body } = await alice.get(path);
      const rule = objectsAt(body, "global", "override").find(({ rule_id }) => rule_id === ".m.rule.is_user_mention");
      expect(objectsAt(rule, "conditions")[0]?.["value"]).to.equal(alice.user_id);
    }
    expect((await alice.get(`${RULES}/underride/.m.rule.message`)).body).to.include({ rule_id: ".m.rule.message", default: true, enabled: true });
  });

  it("own rules stand in front of the predefined ones, where they are put", async () => {
    for (const id of ["one", "two"]) expect((await alice.put(`${RULES}/override/${id}`, { actions: ["notify"] })).body).to.deep.equal({});
    expect((await ids("override")).slice(0, 4)).to.deep.equal([".m.rule.master", "two", "one", ".m.rule.suppress_notices"]);
    await alice.put(`${RULES}/override/three?after=two`, { actions: [] });
    await alice.put(`${RULES}/override/four?before=one`, { actions: [] });
    expect((await ids("override")).slice(1, 5)).to.deep.equal(["two", "three", "four", "one"]);
    // Changed, a rule keeps its place and whether it is in force, unless a place is named.
    await alice.put(`${RULES}/override/four/enabled`, { enabled: false });
    await alice.put(`${RULES}/override/four`, { actions: ["notify"], conditions: [{ kind: "event_match", key: "type", pattern: "x" }] });
    expect((await ids("override")).slice(1, 5)).to.deep.equal(["two", "three", "four", "one"]);
    expect((await alice.get(`${RULES}/override/four`)).body).to.deep.equal({
      rule_id: "four",
      default: false,
      enabled: false,
      actions: ["notify"],
      conditions: [{ kind: "event_match", key: "type", pattern: "x" }],
    });
    await alice.put(`${RULES}/override/four?before=one&after=two`, { actions: [] });
    await alice.put(`${RULES}/override/two?after=one`, { actions: [] });
    expect((await ids("override")).slice(1, 5)).to.deep.equal(["three", "four", "one", "two"]);
  });

  it("of every kind: made, read, switched, changed, removed", async () => {
    const bodies = { override: {}, underride: {}, content: { pattern: "c*ke" }, room: {}, sender: {} };
    for (const [kind, fields] of Object.entries(bodies)) {
      const path = `${RULES}/${kind}/${encodeURIComponent("!some@id:example.org")}`;
      await alice.put(path, { actions: ["notify", { set_tweak: "sound", value: "x" }], ...fields });
      expect((await alice.get(`${path}/enabled`)).body).to.deep.equal({ enabled: true });
      await alice.put(`${path}/enabled`, { enabled: false });
      expect((await alice.get(`${path}/enabled`)).body).to.deep.equal({ enabled: false });
      await alice.put(`${path}/actions`, { actions: ["dont_notify"] });
      expect((await alice.get(`${path}/actions`)).body).to.deep.equal({ actions: ["dont_notify"] });
      const { headers } = await alice.get(`${RULES}/${kind}/`);
      expect(Number(headers.get("content-length"))).to.be.greaterThan(JSON.stringify((await alice.get(path)).body).length);
      expect((await alice.delete(path)).status).to.equal(200);
      for (const gone of [alice.get(path), alice.get(`${RULES}/postcontent/unheard`), alice.delete(path), alice.get(`${path}/enabled`), alice.get(`${path}/actions`), alice.put(`${path}/enabled`, { enabled: true }), alice.put(`${path}/actions`, { actions: [] })]) {
        expect(refusal(await gone)).to.deep.equal([404, "M_NOT_FOUND"]);
      }
    }
  });

  it("about followed threads: between those about contents and rooms, predefined, none of one's own", async () => {
    const rules = ["unsubscribed_thread", "subscribed_thread"].map((name) => `.io.element.msc4306.rule.${name}`);
    expect(await ids("postcontent")).to.deep.equal(rules);
    const condition = (subscribed: boolean): object => ({ kind: "io.element.msc4306.thread_subscription", subscribed });
    expect(objectsAt((await alice.get(`${RULES}/`)).body, "postcontent")).to.deep.equal([
      { rule_id: rules[0], default: true, enabled: false, conditions: [condition(false)], actions: [] },
      { rule_id: rules[1], default: true, enabled: true, conditions: [condition(true)], actions: ["notify", { set_tweak: "sound", value: "default" }] },
    ]);
    const path = `${RULES}/postcontent/${rules[0]}`;
    expect((await alice.put(`${path}/enabled`, { enabled: true })).status).to.equal(200);
    expect((await alice.get(path)).body).to.include({ enabled: true });
    expect((await alice.put(`${path}/actions`, { actions: ["notify"] })).status).to.equal(200);
    expect((await alice.get(`${path}/actions`)).body).to.deep.equal({ actions: ["notify"] });
    for (const id of ["mine", rules[1]]) {
      expect(refusal(await alice.put(`${RULES}/postcontent/${id}`, { actions: ["notify"], conditions: [] }))).to.deep.equal([400, "M_INVALID_PARAM"]);
      expect(refusal(await alice.delete(`${RULES}/postcontent/${id}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    }
    // The condition is for everybody's rules.
    await alice.put(`${RULES}/override/threads`, { actions: [], conditions: [condition(true)] });
    expect(objectsAt((await alice.get(`${RULES}/override/threads`)).body, "conditions")).to.deep.equal([condition(true)]);
  });

  it("predefined rules can be switched and changed, not removed or made", async () => {
    const path = `${RULES}/underride/.m.rule.message`;
    await alice.put(`${path}/enabled`, { enabled: false });
    await alice.put(`${path}/actions`, { actions: [] });
    expect((await alice.get(path)).body).to.deep.include({ enabled: false, actions: [], default: true });
    expect(refusal(await alice.delete(path))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await alice.put(path, { actions: [] }))).to.deep.equal([400, "M_INVALID_PARAM"]);
  });

  it("refuses what makes no sense", async () => {
    for (const [path, body, error] of [
      ["override/x", { actions: ["sing"] }, "M_INVALID_PARAM"],
      ["override/x", { actions: [{}] }, "M_INVALID_PARAM"],
      ["override/x", {}, "M_BAD_JSON"],
      ["content/x", { actions: [] }, "M_MISSING_PARAM"],
      ["override/a%2Fb", { actions: [] }, "M_INVALID_PARAM"],
      ["override/a%5Cb", { actions: [] }, "M_INVALID_PARAM"],
      ["override/x?before=unknown", { actions: [] }, "M_UNKNOWN"],
      ["override/x?after=.m.rule.master", { actions: [] }, "M_UNKNOWN"],
      ["override/x", { actions: [], conditions: [{ key: "type" }] }, "M_BAD_JSON"],
    ] as const) {
      expect(refusal(await alice.put(`${RULES}/${path}`, body)), path).to.deep.equal([400, error]);
    }
    const large = { actions: [], conditions: [{ kind: "x", value: "y".repeat(20_000) }] };
    expect(refusal(await alice.put(`${RULES}/override/x`, large))).to.deep.equal([413, "M_TOO_LARGE"]);
    expect((await alice.put(`${RULES}/unknown/x`, { actions: [] })).status).to.equal(400);
    expect(refusal(await server.anonymous.get(`${V3}/pushrules/`))).to.deep.equal([401, "M_MISSING_TOKEN"]);
  });

  it("come in /sync at first and with each change", async () => {
    const pushRules = (body: unknown): unknown =>
      objectAt(objectsAt(body, "account_data", "events").find((event) => event["type"] === "m.push_rules"), "content")["global"];
    const first = (await alice.get(`${V3}/sync`)).body;
    expect(pushRules(first)).to.deep.equal((await alice.get(`${V3}/pushrules/`)).body["global"]);
    const since = stringAt(first, "next_batch") ?? "";
    for (const change of [
      () => alice.put(`${RULES}/room/!foo:example.org`, { actions: ["notify"] }),
      () => alice.put(`${RULES}/room/!foo:example.org/enabled`, { enabled: false }),
      () => alice.put(`${RULES}/room/!foo:example.org/actions`, { actions: [] }),
      () => alice.delete(`${RULES}/room/!foo:example.org`),
    ]) {
      const from = stringAt((await alice.get(`${V3}/sync?timeout=0&since=${since}`)).body, "next_batch") ?? "";
      const waiting = alice.get(`${V3}/sync?timeout=60000&since=${from}`);
      await change();
      expect(pushRules((await waiting).body)).to.deep.equal((await alice.get(`${V3}/pushrules/`)).body["global"]);
    }
  });
});
