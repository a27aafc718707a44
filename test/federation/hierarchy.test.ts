// Spaces whose rooms are on several servers: what each tells the other, and what users are shown of it.
import { expect } from "chai";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import type { Answer, TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const V1 = "/_matrix/client/v1";

describe("spaces of several servers", () => {
  let one: FederatingServer;
  let two: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let bob: TestClient;
  before(async () => {
    [one, two, peer] = [await startFederatingServer(), await startFederatingServer(), await startPeer()];
    [alice, bob] = [await one.register("alice"), await two.register("bob")];
  });
  after(async () => {
    for (const server of [one, two, peer]) await server[Symbol.asyncDispose]();
  });

  const create = async (client: TestClient, body: JsonObject): Promise<string> =>
    stringAt((await client.post(`${V3}/createRoom`, body)).body, "room_id") ?? "";
  const space = (client: TestClient, body: JsonObject = {}): Promise<string> =>
    create(client, { preset: "public_chat", creation_content: { type: "m.space" }, ...body });
  async function addChild(client: TestClient, parent: string, room: string, content: JsonObject): Promise<void> {
    const answer = await client.put(`${V3}/rooms/${encodeURIComponent(parent)}/state/m.space.child/${encodeURIComponent(room)}`, content);
    expect(answer.status).to.equal(200);
  }
  const restrictedTo = (id: string): JsonObject => ({
    initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "restricted", allow: [{ type: "m.room_membership", room_id: id }] } }],
  });
  const hierarchy = (client: TestClient, root: string, query = ""): Promise<Answer> =>
    client.get(`${V1}/rooms/${encodeURIComponent(root)}/hierarchy${query}`);
  const rooms = ({ body }: Answer): (string | undefined)[] => objectsAt(body, "rooms").map((room) => stringAt(room, "room_id"));
  const ask = (room: string, query = ""): Promise<PeerAnswer> =>
    peer.request(one.federationUrl, one.name, "GET", `/_matrix/federation/v1/hierarchy/${encodeURIComponent(room)}${query}`);

  it("are walked across them, page by page", async () => {
    const [root, there, talk, back] = [await space(alice), await space(bob), await create(bob, { preset: "public_chat", name: "Talk" }), await create(alice, { preset: "public_chat" })];
    const hidden = await create(bob, { preset: "private_chat" });
    const order = (text: string): JsonObject => ({ order: text });
    await addChild(alice, root, there, { via: [two.name], ...order("a") });
    await addChild(alice, root, talk, { via: [two.name], ...order("b") });
    await addChild(alice, root, hidden, { via: [two.name], ...order("c") });
    await addChild(bob, there, back, { via: [one.name], ...order("a") });
    await addChild(bob, there, talk, { via: [two.name], suggested: true, ...order("b") });
    const whole = await hierarchy(alice, root);
    expect(rooms(whole)).to.deep.equal([root, there, back, talk]);
    expect(stringAt(objectsAt(whole.body, "rooms")[3], "name")).to.equal("Talk");
    const below = objectsAt(objectsAt(whole.body, "rooms")[1], "children_state");
    expect(below.map((child) => child["state_key"])).to.deep.equal([back, talk]);
    expect(rooms(await hierarchy(alice, root, "?max_depth=1"))).to.deep.equal([root, there, talk]);
    const first = await hierarchy(alice, root, "?limit=2");
    const rest = await hierarchy(alice, root, `?limit=2&from=${stringAt(first.body, "next_batch") ?? ""}`);
    expect([...rooms(first), ...rooms(rest)]).to.deep.equal(rooms(whole));
  });

  it("show restricted rooms to who may join them only", async () => {
    const root = await space(alice, { initial_state: [{ type: "m.room.history_visibility", state_key: "", content: { history_visibility: "world_readable" } }] });
    const room = await create(bob, { preset: "private_chat", ...restrictedTo(root) });
    await addChild(alice, root, room, { via: [two.name] });
    const carol = await one.register("carol");
    // The other server does not know that Alice is in the space.
    expect(rooms(await hierarchy(alice, root))).to.deep.equal([root]);
    expect((await bob.post(`${V3}/join/${encodeURIComponent(root)}?via=${one.name}`)).status).to.equal(200);
    expect(rooms(await hierarchy(alice, root))).to.deep.equal([root, room]);
    expect(rooms(await hierarchy(carol, root))).to.deep.equal([root]);
    const summary = (client: TestClient): Promise<Answer> => client.get(`${V1}/room_summary/${encodeURIComponent(room)}?via=${two.name}`);
    const shown = await summary(alice);
    expect([shown.status, shown.body["allowed_room_ids"], shown.body["membership"]]).to.deep.equal([200, [root], "leave"]);
    expect((await summary(carol)).status).to.equal(404);
    expect((await one.anonymous.get(`${V1}/room_summary/${encodeURIComponent(room)}?via=${two.name}`)).status).to.equal(404);
  });

  it("are told to other servers as far as these may look at or join them", async () => {
    const root = await space(alice);
    const open = await create(alice, { preset: "public_chat", name: "open" });
    const closed = await create(alice, { preset: "private_chat" });
    const restricted = await create(alice, { preset: "private_chat", ...restrictedTo(root) });
    const barred = await create(alice, {
      preset: "public_chat",
      initial_state: [{ type: "m.room.server_acl", state_key: "", content: { allow: ["*"], deny: ["localhost"] } }],
    });
    const unknown = "!nowhere:elsewhere.example";
    for (const child of [open, closed, restricted, barred, unknown]) await addChild(alice, root, child, { via: [one.name], suggested: child === closed });
    const { status, body } = await ask(root);
    expect(status).to.equal(200);
    expect(objectsAt(objectAt(body, "room"), "children_state").length).to.equal(5);
    expect(objectsAt(body, "children").map((child) => child["room_id"])).to.deep.equal([open]);
    expect(body["inaccessible_children"]).to.have.members([closed, restricted, barred]);
    const suggested = await ask(root, "?suggested_only=true");
    expect([suggested.body["children"], suggested.body["inaccessible_children"]]).to.deep.equal([[], [closed]]);
    for (const room of [closed, restricted, barred, unknown]) {
      const refused = await ask(room);
      expect([refused.status, refused.body["errcode"]]).to.deep.equal([404, "M_NOT_FOUND"]);
    }
  });

  it("are shown to who is in none of their rooms, with those to which they are invited", async () => {
    // These ids say whom to ask.
    const root = await space(alice, { room_version: "11" });
    const [invited, closed] = [await create(alice, { preset: "private_chat" }), await create(alice, { preset: "private_chat" })];
    for (const child of [invited, closed]) await addChild(alice, root, child, { via: [one.name] });
    expect((await alice.post(`${V3}/rooms/${invited}/invite`, { user_id: bob.user_id })).status).to.equal(200);
    expect(rooms(await hierarchy(bob, root))).to.deep.equal([root, invited]);
    const dave = await two.register("dave");
    expect(rooms(await hierarchy(dave, root))).to.deep.equal([root]);
  });

  it("are believed only in what they may say", async () => {
    const root = await space(alice);
    const there = `!there:${peer.name}`;
    const mine = await create(alice, { preset: "private_chat", name: "mine" });
    await addChild(alice, root, there, { via: [peer.name] });
    const child = (id: string): JsonObject => ({ type: "m.space.child", state_key: id, sender: `@x:${peer.name}`, origin_server_ts: 1, content: { via: [peer.name], extra: 1.5 } });
    const described = (id: string, more: JsonObject = {}): JsonObject =>
      ({ room_id: id, num_joined_members: 3, world_readable: false, guest_can_join: false, join_rule: "public", ...more });
    const far = `!far:${peer.name}`;
    peer.answer("/_matrix/federation/v1/hierarchy/", () => ({
      status: 200,
      body: {
        room: { ...described(there, { room_type: "m.space", name: 5, topic: "Far" }), children_state: [child(mine), child(far), child("nonsense"), { type: "m.space.child" }, 7] },
        children: [described(mine, { name: "not yours" }), described(far, { join_rule: "invite" }), "nonsense"],
        inaccessible_children: [3],
      },
    }));
    const bob2 = await one.register("bob2");
    const seen = await hierarchy(bob2, root);
    expect(rooms(seen)).to.deep.equal([root, there]);
    expect(stringAt(objectsAt(seen.body, "rooms")[1], "topic")).to.equal("Far");
    // Of our own rooms nobody tells us.
    const own = await hierarchy(alice, root);
    expect(rooms(own)).to.deep.equal([root, there, mine]);
    expect(stringAt(objectsAt(own.body, "rooms")[2], "name")).to.equal("mine");
    // Two users, one question.
    expect(peer.asked.filter((asked) => asked.includes("/hierarchy/")).length).to.equal(1);
  });
});
