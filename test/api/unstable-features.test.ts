// Each feature that /versions names works as the clients that look for it use it; none is named that is not tried here.
import { expect } from "chai";
import { newKey, ownKey } from "../support/device-keys.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V1 = "/_matrix/client/v1";
const V3 = "/_matrix/client/v3";
const UNSTABLE = "/_matrix/client/unstable";

describe("unstable features", () => {
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room: string;
  let root: string;
  let reply: string;

  before(async () => {
    server = await startTestServer();
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
    const created = await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_alias_name: "features", visibility: "public", creation_content: { type: "m.space" } });
    room = encodeURIComponent(stringAt(created.body, "room_id") ?? "");
    await bob.post(`${V3}/join/${room}`);
    const send = async (txn: string, content: object): Promise<string> =>
      stringAt((await alice.put(`${V3}/rooms/${room}/send/m.room.message/${txn}`, { msgtype: "m.text", body: txn, ...content })).body, "event_id") ?? "";
    root = await send("root", {});
    reply = await send("reply", { "m.relates_to": { rel_type: "m.thread", event_id: root } });
  });
  after(() => server[Symbol.asyncDispose]());

  const ok = (answer: Answer): Answer["body"] => {
    expect(answer.status, JSON.stringify(answer.body)).to.equal(200);
    return answer.body;
  };
  const refused = (answer: Answer, status: number, errcode: string): void => {
    expect([answer.status, answer.body["errcode"]]).to.deep.equal([status, errcode]);
  };
  const invitedBy = async (inviter: TestClient): Promise<Answer> => await inviter.post(`${V3}/createRoom`, { invite: [alice.user_id] });
  const whileAliceHas = async (type: string, content: object, then: () => Promise<void>): Promise<void> => {
    const path = `${V3}/user/${encodeURIComponent(alice.user_id)}/account_data/${type}`;
    ok(await alice.put(path, content));
    await then();
    ok(await alice.put(path, {}));
  };
  const threads = async (path: string): Promise<void> => {
    const chunk = objectsAt(ok(await alice.get(path)), "chunk");
    expect(chunk.map((event) => event["event_id"])).to.deep.equal([root]);
  };
  const related = async (query: string): Promise<void> => {
    const chunk = objectsAt(ok(await alice.get(`${V1}/rooms/${room}/relations/${encodeURIComponent(root)}?${query}`)), "chunk");
    expect(chunk.map((event) => event["event_id"])).to.deep.equal([reply]);
  };
  const profile = async (path: string, field: string): Promise<void> => {
    ok(await alice.put(`${path}/profile/${encodeURIComponent(alice.user_id)}/${field}`, { [field]: "x" }));
    expect(ok(await bob.get(`${path}/profile/${encodeURIComponent(alice.user_id)}/${field}`))).to.deep.equal({ [field]: "x" });
    ok(await alice.delete(`${path}/profile/${encodeURIComponent(alice.user_id)}/${field}`));
  };
  const mutual = async (path: string): Promise<void> => {
    expect(ok(await alice.get(`${path}?user_id=${encodeURIComponent(bob.user_id)}`))["joined"]).to.deep.equal([decodeURIComponent(room)]);
  };
  const blocking = async (): Promise<void> => {
    await whileAliceHas("m.invite_permission_config", { default_action: "block" }, async () => refused(await invitedBy(bob), 403, "M_INVITE_BLOCKED"));
  };

  const tries: Readonly<Record<string, () => Promise<void>>> = {
    "org.hansa.websocket": async () => {
      // Without an upgrade it is no sync; what goes over it is tried elsewhere.
      expect((await alice.get(`${UNSTABLE}/org.hansa.websocket/sync`)).status).to.be.within(400, 499).and.not.equal(404);
    },
    "fi.mau.msc2246.stable": async () => {
      const uri = stringAt(ok(await alice.post("/_matrix/media/v1/create")), "content_uri") ?? "";
      ok(await alice.request("PUT", `/_matrix/media/v3/upload/${uri.slice("mxc://".length)}`, "bytes", { "content-type": "text/plain" }));
    },
    "fi.mau.msc2659.stable": async () => refused(await alice.post(`${V1}/appservice/nobody/ping`), 403, "M_FORBIDDEN"),
    "org.matrix.e2e_cross_signing": async () => {
      const master_key = ownKey(alice, "master", newKey());
      ok(await alice.post(`${UNSTABLE}/keys/device_signing/upload`, { master_key }));
      const keys = ok(await bob.post(`${V3}/keys/query`, { device_keys: { [alice.user_id]: [] } }));
      expect(objectAt(keys, "master_keys", alice.user_id)["keys"]).to.deep.equal(master_key["keys"]);
    },
    "org.matrix.msc2285.stable": async () => {
      ok(await bob.post(`${V3}/rooms/${room}/receipt/m.read.private/${encodeURIComponent(reply)}`, {}));
      const receipts = async (who: TestClient): Promise<boolean> => JSON.stringify(ok(await who.get(`${V3}/sync`))).includes("m.read.private");
      expect([await receipts(bob), await receipts(alice)]).to.deep.equal([true, false]);
    },
    "org.matrix.msc2432": async () => {
      expect(ok(await alice.get(`${V3}/rooms/${room}/aliases`))["aliases"]).to.have.length(1);
    },
    "org.matrix.msc3827.stable": async () => {
      const found = async (type: string | null): Promise<number> => objectsAt(ok(await alice.post(`${V3}/publicRooms`, { filter: { room_types: [type] } })), "chunk").length;
      expect([await found("m.space"), await found(null)]).to.deep.equal([1, 0]);
    },
    "org.matrix.msc4306": async () => {
      const path = `${UNSTABLE}/io.element.msc4306/rooms/${room}/thread/${encodeURIComponent(root)}/subscription`;
      ok(await alice.put(path, {}));
      expect(ok(await alice.get(path))).to.deep.equal({ automatic: false });
      expect(objectAt(ok(await alice.get(`${UNSTABLE}/io.element.msc4308/thread_subscriptions?dir=b`)), "subscribed")).to.have.property(decodeURIComponent(room));
    },
    "org.matrix.msc3814": async () => refused(await alice.get(`${UNSTABLE}/org.matrix.msc3814.v1/dehydrated_device`), 404, "M_NOT_FOUND"),
    "org.matrix.msc4140": async () => {
      const path = `${V3}/rooms/${room}/send/m.room.message/delayed?org.matrix.msc4140.delay=100000`;
      const delay = stringAt(ok(await alice.put(path, { msgtype: "m.text", body: "later" })), "delay_id") ?? "";
      expect(objectsAt(ok(await alice.get(`${UNSTABLE}/org.matrix.msc4140/delayed_events`)), "delayed_events")).to.have.length(1);
      ok(await alice.post(`${UNSTABLE}/org.matrix.msc4140/delayed_events/${delay}`, { action: "cancel" }));
    },
    "org.matrix.msc4155": async () =>
      await whileAliceHas("org.matrix.msc4155.invite_permission_config", { enabled: true, blocked_users: [bob.user_id] }, async () =>
        refused(await invitedBy(bob), 403, "M_INVITE_BLOCKED"),
      ),
    "org.matrix.msc4380": async () =>
      await whileAliceHas("org.matrix.msc4380.invite_permission_config", { default_action: "block" }, async () => refused(await invitedBy(bob), 403, "M_INVITE_BLOCKED")),
    "org.matrix.msc4380.stable": blocking,
    "im.nheko.summary": async () => {
      expect(ok(await alice.get(`${UNSTABLE}/im.nheko.summary/summary/${room}`))["room_id"]).to.equal(decodeURIComponent(room));
    },
    "uk.half-shot.msc2666.query_mutual_rooms": async () => await mutual(`${UNSTABLE}/uk.half-shot.msc2666/user/mutual_rooms`),
    "uk.half-shot.msc2666.query_mutual_rooms.stable": async () => await mutual(`${V1}/mutual_rooms`),
    "org.matrix.msc2836": async () => {
      const { events, limited } = ok(await alice.post(`${UNSTABLE}/event_relationships`, { event_id: root }));
      expect([objectAt(Array.isArray(events) ? events[0] : undefined)["event_id"], limited]).to.deep.equal([root, false]);
    },
    "org.matrix.msc3440.stable": async () => await related("limit=5"),
    "org.matrix.msc3715.stable": async () => await related("dir=f"),
    "org.matrix.msc3771": async () => {
      ok(await bob.post(`${V3}/rooms/${room}/receipt/m.read/${encodeURIComponent(reply)}`, { thread_id: root }));
    },
    "org.matrix.msc3773": async () => {
      const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { unread_thread_notifications: true } } }));
      const joined = objectAt(ok(await server.client(bob).get(`${V3}/sync?filter=${filter}`)), "rooms", "join");
      expect(objectAt(joined, decodeURIComponent(room))).to.have.property("unread_notifications");
    },
    "org.matrix.msc3856.stable": async () => await threads(`${V1}/rooms/${room}/threads`),
    "org.matrix.msc3874": async () => {
      const filter = encodeURIComponent(JSON.stringify({ "org.matrix.msc3874.rel_types": ["m.thread"] }));
      const chunk = objectsAt(ok(await alice.get(`${V3}/rooms/${room}/messages?dir=b&filter=${filter}`)), "chunk");
      expect(chunk.map((event) => event["event_id"])).to.deep.equal([reply]);
    },
    "org.matrix.msc3881": async () => {
      const pusher = { kind: "http", app_id: "app", pushkey: "key", app_display_name: "a", device_display_name: "d", lang: "en", data: { url: "https://push.example/_matrix/push/v1/notify" } };
      ok(await alice.post(`${V3}/pushers/set`, { ...pusher, "org.matrix.msc3881.enabled": false }));
      expect(objectsAt(ok(await alice.get(`${V3}/pushers`)), "pushers")[0]).to.include({ "org.matrix.msc3881.enabled": false });
    },
    "org.matrix.msc3916.stable": async () => refused(await alice.get(`${V1}/media/download/localhost/nothing`), 404, "M_NOT_FOUND"),
    "org.matrix.msc3981": async () => await related("recurse=true"),
    "org.matrix.msc4028": async () => {
      ok(await alice.get(`${V3}/pushrules/global/override/.org.matrix.msc4028.encrypted_event`));
      ok(await alice.put(`${V3}/pushrules/global/override/.org.matrix.msc4028.encrypted_event/enabled`, { enabled: true }));
    },
    "org.matrix.msc4354": async () => {
      const sent = ok(await alice.put(`${V3}/rooms/${room}/send/m.room.message/sticky?org.matrix.msc4354.sticky_duration_ms=1000`, { body: "x" }));
      const event = ok(await alice.get(`${V3}/rooms/${room}/event/${stringAt(sent, "event_id") ?? ""}`));
      expect(event["msc4354_sticky"]).to.deep.equal({ duration_ms: 1000 });
    },
    "org.matrix.msc4222": async () => {
      const joined = objectAt(ok(await alice.get(`${V3}/sync?org.matrix.msc4222.use_state_after=true`)), "rooms", "join", decodeURIComponent(room));
      expect(joined).to.have.property("org.matrix.msc4222.state_after").and.not.to.equal(undefined);
      expect(joined).not.to.have.any.keys("state", "state_after");
      const stable = objectAt(ok(await alice.get(`${V3}/sync?use_state_after=true`)), "rooms", "join", decodeURIComponent(room));
      expect(stable).to.have.property("state_after");
    },
    "org.matrix.simplified_msc3575": async () => {
      const lists = { all: { ranges: [[0, 10]], timeline_limit: 1, required_state: [] } };
      const answer = ok(await bob.post(`${UNSTABLE}/org.matrix.simplified_msc3575/sync`, { lists }));
      expect(objectAt(answer, "rooms")).to.have.property(decodeURIComponent(room));
    },
    "org.matrix.msc3026.busy_presence": async () => {
      ok(await alice.put(`${V3}/presence/${encodeURIComponent(alice.user_id)}/status`, { presence: "org.matrix.msc3026.busy" }));
    },
    "org.matrix.msc3391": async () => {
      const at = (path: string): string => `${path}/user/${encodeURIComponent(alice.user_id)}/account_data/org.example.gone`;
      ok(await alice.put(at(V3), { a: 1 }));
      ok(await alice.delete(at(`${UNSTABLE}/org.matrix.msc3391`)));
      refused(await alice.get(at(V3)), 404, "M_NOT_FOUND");
    },
    "uk.tcpip.msc4133": async () => await profile(`${UNSTABLE}/uk.tcpip.msc4133`, "org.example.field"),
    "uk.tcpip.msc4133.stable": async () => await profile(V3, "org.example.field"),
  };

  it("are those that are tried here", async () => {
    const named = objectAt(ok(await server.anonymous.get("/_matrix/client/versions")), "unstable_features");
    expect(Object.keys(tries)).to.have.members(Object.keys(named));
    expect(new Set(Object.values(named))).to.deep.equal(new Set([true]));
  });

  for (const [feature, attempt] of Object.entries(tries)) it(feature, attempt);
});
