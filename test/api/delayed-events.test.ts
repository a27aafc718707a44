// Events that are sent later.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const V1 = "/_matrix/client/v1/delayed_events";
const UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140";

describe("delayed events", () => {
  let server: TestServer;
  let second: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  let users = 0;
  let sent = 0;
  before(async () => {
    const settings = { delayed_events: { max_per_user: 4, max_delay_seconds: 3600 } };
    server = await startTestServer(settings);
    second = await startTestServer(settings, server.address);
    bob = await server.register("bob");
  });
  beforeEach(async () => {
    alice = await server.register(`alice${++users}`);
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat" })).body, "room_id") ?? "";
  });
  after(async () => {
    await second[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const schedule = (delay: number, content: JsonObject, more: JsonObject = {}, txnId = `t${++sent}`): Promise<Answer> =>
    alice.put(`${V3}/rooms/${room}/delayed_event/m.room.message/${txnId}`, { delay, content, ...more });
  const idOf = ({ body }: Answer): string => stringAt(body, "delay_id") ?? "";
  const act = (id: string, action: string, by: TestClient = server.anonymous): Promise<Answer> => by.post(`${V1}/${id}/${action}`);
  const bodies = async (): Promise<unknown[]> =>
    objectsAt((await alice.get(`${V3}/rooms/${room}/messages?dir=f&limit=50`)).body, "chunk")
      .filter(({ type }) => type === "m.room.message")
      .map(({ content }) => objectAt(content)["body"]);
  const list = async (query = ""): Promise<JsonObject[]> => objectsAt((await alice.get(`${V1}?${query}`)).body, "delayed_events");
  /** Their time comes now: machines that are slow would be too late for a short delay. */
  const due = async (...ids: string[]): Promise<void> => {
    await server.database.write({ name: "test_due", text: "UPDATE delayed_events SET send_ts = 0 WHERE delay_id = ANY($1)" }, [ids]);
    // With another one processes look for what is next.
    await act(idOf(await schedule(60_000, { body: "another" })), "cancel");
  };
  const find = async (id: string): Promise<JsonObject> => (await alice.get(`${V1}/${id}`)).body;

  it("are sent when their time has come, in its order, and not before", async () => {
    const begun = Date.now();
    const late = idOf(await schedule(1200, { body: "late" }));
    await schedule(600, { body: "early" });
    await eventually("both are sent", async () => (await bodies()).length === 2);
    expect(await bodies()).to.deep.equal(["early", "late"]);
    const event = await find(late);
    expect(Number(event["origin_server_ts"]) - begun).to.be.at.least(1200);
    const { body } = await alice.get(`${V3}/rooms/${room}/event/${String(event["event_id"])}`);
    expect(Number(body["origin_server_ts"]) - begun).to.be.at.least(1200);
    // Its sender is told which it was.
    expect(objectAt(body, "unsigned")["org.matrix.msc4140.delay_id"]).to.equal(late);
    await bob.post(`${V3}/join/${room}`);
    const others = await bob.get(`${V3}/rooms/${room}/event/${String(event["event_id"])}`);
    expect(objectAt(others.body, "unsigned")).not.to.have.any.keys("org.matrix.msc4140.delay_id", "transaction_id");
    const state = idOf(await schedule(1, { on: true }, { state_key: "" }));
    const sent = await eventually("the state is sent", async () => stringAt(await find(state), "event_id"));
    const shown = await alice.get(`${V3}/rooms/${room}/event/${sent}`);
    expect(objectAt(shown.body, "unsigned")["org.matrix.msc4140.delay_id"]).to.equal(state);
  });

  it("are scheduled once for each transaction id, at the old paths too, as message or state", async () => {
    const first = await schedule(60_000, { body: "x" }, {}, "same");
    expect(idOf(await schedule(60_000, { body: "x" }, {}, "same"))).to.equal(idOf(first)).and.have.length.above(20);
    const path = `${V3}/rooms/${room}/send/m.room.message/old?org.matrix.msc4140.delay=50000`;
    const old = idOf(await alice.put(path, { body: "y" }));
    expect(idOf(await alice.put(path, {}))).to.equal(old);
    const state = idOf(await alice.put(`${V3}/rooms/${room}/state/m.room.topic?org.matrix.msc4140.delay=40000`, { topic: "t" }));
    const unstable = await alice.put(`${UNSTABLE}/rooms/${room}/delayed_event/m.test/u`, { delay_ms: 70_000, content: {}, state_key: "k" });
    const all = await list();
    expect(all.map(({ delay_id }) => delay_id)).to.deep.equal([state, old, idOf(first), idOf(unstable)]);
    expect(all[0]).to.have.all.keys("delay_id", "room_id", "type", "state_key", "delay", "running_since", "content");
    expect(all[0]).to.deep.include({ room_id: room, type: "m.room.topic", state_key: "", delay: 40_000, content: { topic: "t" } });
    expect(all[1]).to.not.have.property("state_key");
    expect(await find(state)).to.deep.equal(all[0]);
    expect((await alice.get(`${UNSTABLE}/delayed_events`)).body).to.deep.equal({ delayed_events: all });
    expect((await list("dir=b")).map(({ delay_id }) => delay_id)).to.deep.equal(all.map(({ delay_id }) => delay_id).toReversed());
    expect(await list("type=m.test")).to.have.length(1);
    expect(await list("room_id=!other:localhost")).to.deep.equal([]);
    const excess = await schedule(60_000, {});
    expect(refusal(excess)).to.deep.equal([429, "M_LIMIT_EXCEEDED"]);
    expect(Number(excess.headers.get("retry-after"))).to.be.within(1, 40);
    expect(refusal(await bob.get(`${V1}/${state}`))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await bob.get(V1)).body).to.deep.equal({ delayed_events: [] });
  });

  it("are sent at once, cancelled and restarted by whoever knows them, in any process", async () => {
    const now = idOf(await schedule(60_000, { body: "now" }));
    for (let n = 0; n < 2; n += 1) expect((await act(now, "send", second.anonymous)).status).to.equal(200);
    expect(await bodies()).to.deep.equal(["now"]);
    expect(refusal(await act(now, "cancel"))).to.deep.equal([409, "M_UNKNOWN"]);
    expect(refusal(await act(now, "restart"))).to.deep.equal([409, "M_UNKNOWN"]);

    const never = idOf(await schedule(60_000, { body: "never" }));
    for (let n = 0; n < 2; n += 1) expect((await act(never, "cancel")).status).to.equal(200);
    expect(refusal(await act(never, "send"))).to.deep.equal([409, "M_UNKNOWN"]);
    expect(refusal(await act(never, "restart"))).to.deep.equal([409, "M_UNKNOWN"]);

    const kept = idOf(await schedule(60_000, { body: "kept" }));
    const since = Number((await find(kept))["running_since"]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await server.anonymous.post(`${UNSTABLE}/delayed_events/${kept}`, { action: "restart" })).status).to.equal(200);
    expect(Number((await find(kept))["running_since"]) - since).to.be.at.least(200);
    await due(never, kept);
    await eventually("it is sent in the end", async () => (await bodies()).includes("kept"));
    expect(await bodies()).to.deep.equal(["now", "kept"]);
    expect(await list("status=scheduled")).to.deep.equal([]);
    expect((await list("outcome=send")).map(({ delay_id }) => delay_id)).to.have.members([now, kept]);
    expect((await list("outcome=cancel")).map(({ delay_id }) => delay_id)).to.include(never).and.to.not.include(kept);
  });

  it("are judged when they are sent: then may be refused what was allowed before", async () => {
    await bob.post(`${V3}/join/${room}`);
    const state = { delay: 60_000, content: { topic: "no" }, state_key: "" };
    const id = idOf(await bob.put(`${V3}/rooms/${room}/delayed_event/m.room.topic/${++sent}`, state));
    expect(refusal(await act(id, "send"))).to.deep.equal([403, "M_FORBIDDEN"]);
    await due(id);
    await eventually("it has failed", async () => (await bob.get(`${V1}/${id}`)).body["error"] !== undefined);
    const { body } = await bob.get(`${V1}/${id}`);
    expect(stringAt(body, "error", "errcode")).to.equal("M_FORBIDDEN");
    expect(body).to.not.have.property("event_id");
    expect((await act(id, "cancel")).status).to.equal(200);
    const gone = idOf(await schedule(60_000, { body: "of somebody who is gone" }));
    await server.database.write({ name: "test_suspend", text: "UPDATE accounts SET suspended = true WHERE user_nid = (SELECT user_nid FROM delayed_events WHERE delay_id = $1)" }, [gone]);
    await server.database.write({ name: "test_gone_due", text: "UPDATE delayed_events SET send_ts = 0 WHERE delay_id = $1" }, [gone]);
    await eventually("it has failed too", async () => stringAt(await find(gone), "error", "errcode") === "M_USER_SUSPENDED");
    await server.database.write({ name: "test_ban", text: "UPDATE accounts SET suspended = false, shadow_banned = true WHERE suspended" }, []);
    expect((await act(idOf(await schedule(60_000, { body: "unheard" }, {}, "unheard")), "send")).status, "so they are told").to.equal(200);
    expect(await bodies()).to.deep.equal([]);
  });

  it("are kept when their process ends", async () => {
    const settings = { delayed_events: { max_per_user: 4 } };
    const third = await startTestServer(settings, server.address);
    await third.client(alice).put(`${V3}/rooms/${room}/delayed_event/m.room.message/x`, { delay: 1000, content: { body: "after the end" } });
    await third[Symbol.asyncDispose]();
    await eventually("another process sends it", async () => (await bodies()).length === 1);
  });

  it("are refused where something is wrong with them", async () => {
    for (const delay of [0, -1, 1.5, "x", null]) expect((await schedule(delay as number, {})).status, String(delay)).to.equal(400);
    const long = await schedule(3_600_001, {});
    expect([...refusal(long), long.body["max_delay"]]).to.deep.equal([400, "M_INVALID_PARAM", 3_600_000]);
    expect(refusal(await alice.put(`${V3}/rooms/${room}/delayed_event/m.test/x`, { content: {} }))).to.deep.equal([400, "M_MISSING_PARAM"]);
    expect(refusal(await schedule(1000, { x: "x".repeat(70_000) }))).to.deep.equal([413, "M_TOO_LARGE"]);
    for (const action of ["send", "cancel", "restart", "oops"]) expect(refusal(await act("unknown", action))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await server.anonymous.post(`${V1}/unknown`, {})).status).to.equal(400);
    expect(refusal(await server.anonymous.get(V1))).to.deep.equal([401, "M_MISSING_TOKEN"]);
    expect(refusal(await alice.get(`${V1}?from=x`))).to.deep.equal([400, "M_INVALID_PARAM"]);
    expect((await alice.get(`${V1}?status=odd`)).status).to.equal(400);
    expect(await list()).to.deep.equal([]);
    const { body } = await alice.get(`${V3}/capabilities`);
    expect(objectAt(body, "capabilities", "m.delayed_events")).to.deep.equal({ max_delay_ms: 3_600_000, max_scheduled: 4 });
  });
});
