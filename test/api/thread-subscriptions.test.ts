// Threads that users follow.
import { expect } from "chai";
import { objectAt, stringAt, type JsonObject } from "../support/json-path.js";
import { type Answer, refusal, startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const LIST = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions";

describe("thread subscriptions", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room = "";
  let sent = 0;
  let users = 0;
  before(async () => {
    server = await startTestServer();
    bob = await server.register("bob");
  });
  beforeEach(async () => {
    alice = await server.register(`alice${++users}`);
    room = stringAt((await alice.post(`${V3}/createRoom`)).body, "room_id") ?? "";
  });
  after(() => server[Symbol.asyncDispose]());

  const say = async (root?: string): Promise<string> => {
    const relation = root === undefined ? {} : { "m.relates_to": { rel_type: "m.thread", event_id: root } };
    const answer = await alice.put(`${V3}/rooms/${room}/send/m.room.message/t${++sent}`, { msgtype: "m.text", body: "x", ...relation });
    return stringAt(answer.body, "event_id") ?? "";
  };
  const path = (root: string): string => `/_matrix/client/unstable/io.element.msc4306/rooms/${room}/thread/${root}/subscription`;
  const subscribe = (root: string, automatic?: string): Promise<Answer> => alice.put(path(root), { ...(automatic !== undefined && { automatic }) });
  const list = async (query = ""): Promise<JsonObject> => (await alice.get(`${LIST}?${query}`)).body;

  it("are made by choice or by the client, and end", async () => {
    const root = await say();
    const reply = await say(root);
    expect(refusal(await alice.get(path(root)))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect((await alice.delete(path(root))).status).to.equal(200);
    expect((await subscribe(root, reply)).body).to.deep.equal({});
    expect((await alice.get(path(root))).body).to.deep.equal({ automatic: true });
    await subscribe(root);
    expect((await alice.get(path(root))).body).to.deep.equal({ automatic: false });
    await subscribe(root, reply);
    expect((await alice.get(path(root))).body, "a choice stays one").to.deep.equal({ automatic: false });
    for (let n = 0; n < 2; n += 1) expect((await alice.delete(path(root))).body).to.deep.equal({});
    expect(refusal(await alice.get(path(root)))).to.deep.equal([404, "M_NOT_FOUND"]);
    expect(refusal(await subscribe(root, reply))).to.deep.equal([409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION"]);
    expect((await subscribe(root, await say(root))).status).to.equal(200);
    expect((await alice.get(path(root))).body).to.deep.equal({ automatic: true });
  });

  it("are for threads that the user can see, by events in them", async () => {
    const [root, other] = [await say(), await say()];
    const elsewhere = await say(other);
    for (const cause of [root, elsewhere, other]) {
      expect(refusal(await subscribe(root, cause))).to.deep.equal([400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"]);
    }
    expect(refusal(await subscribe(root, "$none"))).to.deep.equal([404, "M_NOT_FOUND"]);
    for (const method of ["PUT", "GET", "DELETE"]) {
      expect(refusal(await bob.request(method, path(root), method === "PUT" ? {} : undefined)), method).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(refusal(await alice.request(method, path("$none"), method === "PUT" ? {} : undefined)), method).to.deep.equal([404, "M_NOT_FOUND"]);
      expect((await server.anonymous.request(method, path(root), method === "PUT" ? {} : undefined)).status, method).to.equal(401);
    }
    expect((await alice.put(path(root), { automatic: 1 })).status).to.equal(400);
    expect(await list()).to.deep.equal({});
  });

  it("decide who is notified of what comes in a thread, muted or not, and who is named always", async () => {
    const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { unread_thread_notifications: true, limit: 1 } } }));
    const root = await say();
    expect((await bob.post(`${V3}/rooms/${room}/join`)).status).to.equal(403);
    await alice.post(`${V3}/rooms/${room}/invite`, { user_id: bob.user_id });
    await bob.post(`${V3}/rooms/${room}/join`);
    const counts = async (): Promise<JsonObject> => {
      const shown = objectAt((await bob.get(`${V3}/sync?filter=${filter}`)).body, "rooms", "join", room);
      return { main: shown["unread_notifications"], ...objectAt(shown, "unread_thread_notifications") };
    };
    const count = (notification_count: number, highlight_count = 0): JsonObject => ({ notification_count, highlight_count });
    const others = await say();
    const last = await say(others);
    expect(await counts(), "as everything else").to.deep.equal({ main: count(1), [others]: count(1) });
    await bob.post(`${V3}/rooms/${room}/receipt/m.read/${last}`, {});
    await bob.put(`${V3}/pushrules/global/postcontent/.io.element.msc4306.rule.unsubscribed_thread/enabled`, { enabled: true });
    await say(root);
    expect(await counts()).to.deep.equal({ main: count(0) });
    expect((await bob.put(path(root), {})).status).to.equal(200);
    await say(root);
    expect(await counts()).to.deep.equal({ main: count(0), [root]: count(1) });
    await bob.put(`${V3}/pushrules/global/room/${room}`, { actions: [] });
    await say();
    await say(root);
    expect(await counts()).to.deep.equal({ main: count(0), [root]: count(2) });
    expect((await bob.delete(path(root))).status).to.equal(200);
    await say(root);
    expect(await counts(), "what notified stays").to.deep.equal({ main: count(0), [root]: count(2) });
    const named = { "m.relates_to": { rel_type: "m.thread", event_id: root }, "m.mentions": { user_ids: [bob.user_id] } };
    await alice.put(`${V3}/rooms/${room}/send/m.room.message/named`, { msgtype: "m.text", body: "x", ...named });
    expect(await counts()).to.deep.equal({ main: count(0), [root]: count(3, 1) });
  });

  it("are listed with their ends, the latest change first", async () => {
    const roots: string[] = [];
    for (let n = 0; n < 3; n += 1) roots.push(await say());
    const [a = "", b = "", c = ""] = roots;
    for (const root of roots) await subscribe(root);
    const since = stringAt((await alice.get(`${V3}/sync`)).body, "next_batch") ?? "";
    await alice.delete(path(a));
    const whole = await list();
    expect(Object.keys(objectAt(whole, "subscribed", room))).to.have.members([b, c]);
    expect(objectAt(whole, "subscribed", room, b)).to.have.property("automatic", false);
    const stamp = objectAt(whole, "unsubscribed", room, a)["bump_stamp"];
    expect(stamp).to.be.above(Number(objectAt(whole, "subscribed", room, c)["bump_stamp"]));
    expect(whole).to.not.have.property("end");
    const page = await list("dir=b&limit=2");
    expect(page).to.have.all.keys("subscribed", "unsubscribed", "end");
    expect(Object.keys(objectAt(page, "subscribed", room))).to.deep.equal([c]);
    const rest = await list(`dir=b&limit=2&from=${String(page["end"])}`);
    expect(Object.keys(objectAt(rest, "subscribed", room))).to.deep.equal([b]);
    expect(rest).to.have.all.keys("subscribed");
    expect(await list(`to=${since}`)).to.deep.equal({ unsubscribed: { [room]: { [a]: { bump_stamp: stamp } } } });
    for (const query of ["from=x", "to=x", "limit=0", "dir=f"]) expect((await alice.get(`${LIST}?${query}`)).status, query).to.equal(400);
    expect((await (await server.register("dora")).get(LIST)).body).to.deep.equal({});
  });
});
