// Rooms with a policy server: it signs what our users send, or they are told why it does not.
import { expect } from "chai";
import { essentialText } from "../../src/protocol/event-hash.js";
import { buildEvent } from "../../src/protocol/event-format.js";
import { parseUserId, type EventId } from "../../src/protocol/identifiers.js";
import { isObject, parseJson } from "../../src/protocol/json.js";
import { roomVersion, type RoomVersion } from "../../src/protocol/room-version.js";
import { signText, verifyText } from "../../src/protocol/signing.js";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer, type PeerAnswer } from "../support/peer.js";
import type { Answer, TestClient } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const SIGN = "/_matrix/policy/v1/sign";
const V11 = roomVersion("11") as RoomVersion;
const refusal = ({ status, body }: Answer): unknown[] => [status, body["errcode"], body["error"]];

describe("policy servers", () => {
  let server: FederatingServer;
  let peer: Peer;
  let alice: TestClient;
  let room = "";
  let sent = 0;
  before(async () => {
    [server, peer] = await Promise.all([startFederatingServer(), startPeer()]);
    alice = await server.register("alice");
    room = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
  });
  after(async () => {
    expect((await fsck(server.database)).problems).to.deep.equal([]);
    await server[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
  });

  const say = (body: string): Promise<Answer> => alice.put(`${V3}/rooms/${room}/send/m.room.message/${++sent}`, { msgtype: "m.text", body });
  const named = (content: object): Promise<Answer> => alice.put(`${V3}/rooms/${room}/state/m.room.policy`, content);
  const asked = (): number => peer.asked.filter((line) => line === `POST ${SIGN}`).length;
  const policy = (): object => ({ via: peer.name, public_keys: { ed25519: peer.key.publicKey } });
  const signs = ({ body }: { body: unknown }): PeerAnswer => {
    if (!isObject(body as never)) return { status: 400, body: { errcode: "M_BAD_JSON", error: "no event" } };
    const event = body as Parameters<typeof essentialText>[1];
    if (JSON.stringify(event).includes("spam")) return { status: 400, body: { errcode: "M_FORBIDDEN", error: "This looks like spam" } };
    return { status: 200, body: { [peer.name]: { "ed25519:policy_server": signText(peer.key, essentialText(V11, event)) } } };
  };

  async function joinAsPeer(): Promise<void> {
    const user = parseUserId(`@policy:${peer.name}`);
    if (user === undefined) throw new Error("a user");
    const path = (kind: string, rest: string): string => `/_matrix/federation/${kind}/${encodeURIComponent(room)}/${rest}`;
    const template = await peer.request(server.federationUrl, server.name, "GET", path("v1/make_join", `${encodeURIComponent(user)}?ver=11`));
    const { prev_events, auth_events, depth, content } = objectAt(template.body, "event");
    const ids = (value: unknown): EventId[] => value as EventId[];
    const event = buildEvent(
      V11,
      {
        room_id: room as never,
        type: "m.room.member",
        state_key: user,
        sender: user,
        content: content as never,
        origin_server_ts: Date.now(),
        depth: Number(depth),
        prev_events: ids(prev_events),
        auth_events: ids(auth_events),
      },
      peer.name,
      peer.key,
    );
    const body = parseJson(event.json);
    if (!isObject(body)) throw new Error("an event");
    const joined = await peer.request(server.federationUrl, server.name, "PUT", path("v2/send_join", encodeURIComponent(event.event_id)), body);
    expect(joined.status, JSON.stringify(joined.body)).to.equal(200);
  }

  it("are asked about nothing while they have nobody in the room, or the room does not say all of them", async () => {
    peer.answer(SIGN, signs);
    expect((await named(policy())).status).to.equal(200);
    expect((await say("before anybody came")).status).to.equal(200);
    await joinAsPeer();
    expect((await named({ via: peer.name })).status).to.equal(200);
    expect((await say("without a key")).status).to.equal(200);
    expect(asked()).to.equal(0);
  });

  it("sign what is sent, also state; what names them needs no signature", async () => {
    peer.answer(SIGN, signs);
    expect((await named(policy())).status).to.equal(200);
    expect(asked()).to.equal(0);
    const answer = await say("fine");
    expect([answer.status, asked()]).to.deep.equal([200, 1]);
    const [row] = await server.database.read<{ json: string }>(
      { name: "test_signed", text: "SELECT json FROM message_json WHERE nid = (SELECT nid FROM events WHERE event_id = $1)" },
      [answer.body["event_id"]],
    );
    const event = parseJson(row?.json ?? "");
    if (!isObject(event)) throw new Error("an event");
    const signature = stringAt(event, "signatures", peer.name, "ed25519:policy_server") ?? "";
    expect(verifyText(peer.key.publicKey, signature, essentialText(V11, event))).to.equal(true);
    expect(stringAt(event, "signatures", server.name, Object.keys(objectAt(event, "signatures", server.name))[0] ?? "")).to.be.a("string");
    expect((await alice.put(`${V3}/rooms/${room}/state/m.room.topic`, { topic: "fine" })).status).to.equal(200);
    expect(asked()).to.equal(2);
  });

  it("refuse: the sender hears why, and nothing is written", async () => {
    peer.answer(SIGN, signs);
    expect(refusal(await say("spam"))).to.deep.equal([400, "M_FORBIDDEN", "This looks like spam"]);
    const results = await Promise.all(["fine one", "spam", "fine two"].map(say));
    expect(results.map(({ status }) => status).toSorted((a, b) => a - b)).to.deep.equal([200, 200, 400]);
    const { body } = await alice.get(`${V3}/rooms/${room}/messages?dir=b&limit=50`);
    const bodies = objectsAt(body, "chunk").map((event) => objectAt(event, "content")["body"]);
    expect(bodies).to.include.members(["fine one", "fine two"]).and.not.include("spam");
  });

  it("are asked before another server is told of an invitation", async () => {
    peer.answer(SIGN, signs);
    peer.answer("/_matrix/federation/v2/invite/", ({ body }) => ({ status: 200, body: { event: (body as { event: never }).event } }));
    const invite = (reason: string): Promise<Answer> => alice.post(`${V3}/rooms/${room}/invite`, { user_id: `@guest:${peer.name}`, reason });
    const invitations = (): number => peer.asked.filter((line) => line.startsWith("PUT /_matrix/federation/v2/invite/")).length;
    expect(refusal(await invite("spam"))).to.deep.equal([400, "M_FORBIDDEN", "This looks like spam"]);
    expect(invitations()).to.equal(0);
    const before = asked();
    await invite("come");
    expect([invitations(), asked()]).to.deep.equal([1, before + 1]);
  });

  it("whose signature does not hold, who do not know what they are, or who do not answer, let nothing through", async () => {
    const answers: readonly (readonly [JsonObject, number, number, string])[] = [
      [{}, 200, 403, "M_FORBIDDEN"],
      [{ [peer.name]: { "ed25519:policy_server": signText(peer.key, "another text") } }, 200, 403, "M_FORBIDDEN"],
      [{ errcode: "M_UNRECOGNIZED", error: "no" }, 404, 403, "M_FORBIDDEN"],
      [{ errcode: "M_LIMIT_EXCEEDED", error: "slow down", retry_after_ms: 7 }, 429, 429, "M_LIMIT_EXCEEDED"],
      [{ errcode: "M_UNKNOWN", error: "broken" }, 500, 503, "M_UNKNOWN"],
    ];
    for (const [body, status, expected, errcode] of answers) {
      peer.answer(SIGN, () => ({ status, body: body as never }));
      expect(refusal(await say("fine")).slice(0, 2), JSON.stringify(body)).to.deep.equal([expected, errcode]);
    }
    // It is left alone for a while, and nobody waits for it.
    const before = asked();
    expect((await say("fine")).status).to.equal(503);
    expect(asked()).to.equal(before);
    peer.answer(SIGN, signs);
    await eventually("it is asked again", async () => (await say("back")).status === 200);
  });

  it("can be switched off by who may set the state, whatever they say", async () => {
    peer.answer(SIGN, () => ({ status: 400, body: { errcode: "M_FORBIDDEN", error: "nothing at all" } }));
    expect((await say("refused")).status).to.equal(400);
    expect((await named({})).status).to.equal(200);
    expect((await say("free")).status).to.equal(200);
  });
});
