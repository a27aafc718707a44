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
import { joinAsPeer as peerJoins, type PeerRoom, resultOf } from "../support/peer-room.js";
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

  it("have signed what is received, sign it when they are asked, or it is shown to nobody", async () => {
    const other = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
    const inside = await peerJoins(peer, server, other);
    peer.answer(SIGN, signs);
    expect((await alice.put(`${V3}/rooms/${other}/state/m.room.policy`, policy())).status).to.equal(200);
    const say = (body: string): { id: EventId; wire: JsonObject } => inside.event({ content: { msgtype: "m.text", body } });
    const shown = async (): Promise<unknown[]> => {
      const { body } = await alice.get(`${V3}/rooms/${other}/messages?dir=b&limit=50`);
      return objectsAt(body, "chunk").map((event) => objectAt(event, "content")["body"]);
    };
    const before = asked();
    const own = say("signed before");
    const signature = signText(peer.key, essentialText(V11, own.wire as never));
    const signatures = { [peer.name]: { ...objectAt(own.wire, "signatures", peer.name), "ed25519:policy_server": signature } };
    expect(resultOf(await inside.send([{ ...own.wire, signatures }]), own.id)).to.equal("");
    expect(asked()).to.equal(before);
    const [fine, spam] = [say("signed when asked"), say("spam")];
    const answer = await inside.send([fine.wire, spam.wire] as never);
    expect([resultOf(answer, fine.id), resultOf(answer, spam.id)]).to.deep.equal(["", ""]);
    expect(asked()).to.equal(before + 2);
    expect(await shown()).to.include.members(["signed before", "signed when asked"]).and.not.include("spam");
    const wrong = say("signed by another key");
    const bad = { [peer.name]: { ...objectAt(wrong.wire, "signatures", peer.name), "ed25519:policy_server": signText(peer.key, "another text") } };
    peer.answer(SIGN, () => ({ status: 400, body: { errcode: "M_FORBIDDEN", error: "nothing" } }));
    await inside.send([{ ...wrong.wire, signatures: bad }]);
    expect(await shown()).not.to.include("signed by another key");
    // Who may not be asked any more has no say.
    expect((await alice.put(`${V3}/rooms/${other}/state/m.room.policy`, {})).status).to.equal(200);
    const free = say("free");
    await inside.send([free.wire as never]);
    expect(await shown()).to.include("free");
  });

  describe("that we are ourselves", () => {
    let other = "";
    let inside: PeerRoom;
    const sign = async (event: JsonObject, as: Peer = peer): Promise<unknown[]> => {
      const { status, body } = await as.request(server.federationUrl, server.name, "POST", SIGN, event as never);
      return status === 200 ? [status, body] : [status, body["errcode"]];
    };
    const key = async (): Promise<string> => stringAt((await server.anonymous.get("/.well-known/matrix/policy_server")).body, "public_keys", "ed25519") ?? "";
    before(async () => {
      other = stringAt((await alice.post(`${V3}/createRoom`, { preset: "public_chat", room_version: "11" })).body, "room_id") ?? "";
      inside = await peerJoins(peer, server, other);
    });
    const set = (content: object): Promise<Answer> => alice.put(`${V3}/rooms/${other}/state/m.room.policy`, content);

    it("sign nothing for rooms that do not name us with our key", async () => {
      expect(await sign(inside.event().wire)).to.deep.equal([404, "M_NOT_FOUND"]);
      expect((await set({ via: server.name, public_keys: { ed25519: peer.key.publicKey } })).status).to.equal(200);
      expect(await sign(inside.event().wire)).to.deep.equal([404, "M_NOT_FOUND"]);
      expect(await sign({ ...(inside.event().wire as JsonObject), room_id: "!nowhere:x" })).to.deep.equal([404, "M_NOT_FOUND"]);
      const published = await server.anonymous.get("/_matrix/key/v2/server");
      expect(JSON.stringify(published.body)).not.to.include(await key());
    });

    it("sign what others send, and what our users send", async () => {
      // By the key that is not ours nothing can be sent but what takes it away.
      expect((await set({ via: server.name, public_keys: { ed25519: await key() } })).status).to.equal(200);
      const event = inside.event({ content: { msgtype: "m.text", body: "for our signature" } });
      const [status, signatures] = await sign(event.wire);
      expect(status).to.equal(200);
      expect(Object.keys(signatures as object)).to.deep.equal([server.name]);
      const signature = stringAt(signatures, server.name, "ed25519:policy_server") ?? "";
      expect(verifyText(await key(), signature, essentialText(V11, event.wire))).to.equal(true);
      const before = asked();
      const sent = await alice.put(`${V3}/rooms/${other}/send/m.room.message/own`, { msgtype: "m.text", body: "our own" });
      expect([sent.status, asked()]).to.deep.equal([200, before]);
      const received = await peer.request(server.federationUrl, server.name, "GET", `/_matrix/federation/v1/event/${encodeURIComponent(stringAt(sent.body, "event_id") ?? "")}`);
      const [pdu] = objectsAt(received.body, "pdus");
      expect(verifyText(await key(), stringAt(pdu, "signatures", server.name, "ed25519:policy_server") ?? "", essentialText(V11, pdu as never))).to.equal(true);
    });

    it("refuse what is not sound, and who was banned or kept out", async () => {
      const wire = inside.event().wire as JsonObject;
      expect(await sign({ room_id: other })).to.deep.equal([400, "M_BAD_JSON"]);
      expect(await sign({})).to.deep.equal([400, "M_BAD_JSON"]);
      expect(await sign({ ...wire, content: { body: "another" } })).to.deep.equal([400, "M_BAD_JSON"]);
      expect(await sign({ ...wire, signatures: {} })).to.deep.equal([400, "M_FORBIDDEN"]);
      expect(await sign(inside.event({ type: "m.room.policy", state_key: "" }).wire)).to.deep.equal([400, "M_FORBIDDEN"]);
      expect((await sign(inside.event({ type: "m.room.policy", state_key: "x" }).wire))[0]).to.equal(200);
      await alice.post(`${V3}/rooms/${other}/ban`, { user_id: inside.mallory });
      expect(await sign(wire)).to.deep.equal([400, "M_FORBIDDEN"]);
      await alice.post(`${V3}/rooms/${other}/unban`, { user_id: inside.mallory });
      expect((await sign(wire))[0]).to.equal(200);
      await alice.put(`${V3}/rooms/${other}/state/m.room.server_acl`, { allow: ["*"], deny: ["localhost"] });
      expect(await sign(wire)).to.deep.equal([403, "M_FORBIDDEN"]);
    });
  });

  it("can be switched off by who may set the state, whatever they say", async () => {
    peer.answer(SIGN, () => ({ status: 400, body: { errcode: "M_FORBIDDEN", error: "nothing at all" } }));
    expect((await say("refused")).status).to.equal(400);
    expect((await named({})).status).to.equal(200);
    expect((await say("free")).status).to.equal(200);
  });
});
