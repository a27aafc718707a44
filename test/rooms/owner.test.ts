// The owner of rooms: creating, sending, refusing, transaction ids, redactions, and rooms that change hands.
import { expect } from "chai";
import { type MatrixError, unknownError } from "../../src/errors.js";
import type { RoomId } from "../../src/protocol/identifiers.js";
import { roomVersions } from "../../src/protocol/room-version.js";
import { accepted, type DraftResult } from "../../src/rooms/owner/draft.js";
import { RoomOwners } from "../../src/rooms/owner/owner.js";
import type { DatabaseAddress } from "../../src/storage/database.js";
import { eventsById, historyBackwards, historyForwards, ordinalsAt, timelineBackwards, timelineForwards } from "../../src/storage/events.js";
import { membershipsOfUser } from "../../src/storage/memberships.js";
import { currentState, currentStateOfTypes, roomMembers, stateAtSnapshot, stateChanges } from "../../src/storage/state.js";
import { transactionIdsOf } from "../../src/storage/transaction-ids.js";
import { freshDatabase } from "../support/postgres.js";
import { createRoom, member, message, startProcess, state, type TestProcess, user } from "../support/rooms.js";

const ALICE = user("alice");
const BOB = user("bob");
const EVE = user("eve");

function refusal(result: DraftResult | undefined): MatrixError {
  if (result === undefined || !("error" in result)) throw new Error("it was not refused");
  return result.error;
}

describe("room owner", () => {
  let address: DatabaseAddress;
  let process: TestProcess;

  before(async () => {
    address = await freshDatabase();
    process = await startProcess(address);
  });
  after(() => process[Symbol.asyncDispose]());

  for (const version of roomVersions()) {
    it(`creates a room of version ${version.id}, lets people in and carries messages`, async () => {
      const { room_id, room_nid } = await createRoom(process, ALICE, version);
      expect(room_id.includes(":")).to.equal(!version.hashedRoomIds);
      const [joined] = await process.owners.submit(room_id, [member(BOB, BOB, "join")]);
      const [sent] = await process.owners.submit(room_id, [message(BOB, "hello")]);
      const at = { joined: accepted(joined).position, sent: accepted(sent).position };
      expect(at.sent).to.be.greaterThan(at.joined);

      const timeline = await timelineBackwards(process.database, room_nid, { after: 0, upTo: at.sent }, 100);
      expect(timeline.map((event) => event.type)).to.deep.equal([
        "m.room.message",
        "m.room.member",
        "m.room.history_visibility",
        "m.room.join_rules",
        "m.room.power_levels",
        "m.room.member",
        "m.room.create",
      ]);
      expect(timeline.map((event) => event.ordinal)).to.deep.equal([7, 6, 5, 4, 3, 2, 1]);
      expect(timeline.map((event) => event.depth)).to.deep.equal([7, 6, 5, 4, 3, 2, 1]);
      expect(JSON.parse(timeline[0]?.json ?? "")).to.have.nested.property("content.body", "hello");
      const now = await currentState(process.database, room_nid);
      expect(now).to.have.length(6);
      const before = await stateAtSnapshot(process.database, timeline[0]?.state_before ?? null);
      const key = (entry: { type: string; state_key: string; event_id: string }): string =>
        `${entry.type} ${entry.state_key} ${entry.event_id}`;
      expect(before.map(key).sort()).to.deep.equal(now.map(key).sort());
      expect(await stateAtSnapshot(process.database, timeline[6]?.state_before ?? null)).to.deep.equal([]);
    });
  }

  it("rooms of the same user, content and moment are different rooms", async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => createRoom(process, ALICE)));
    expect(new Set(made.map(({ room_id }) => room_id)).size).to.equal(8);
  });

  it("a removal that a ban has overtaken does not lift the ban, and what it expects is looked up in its turn", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE);
    await process.owners.submit(room_id, [member(BOB, BOB, "join")]);
    const removal = { ...member(ALICE, BOB, "leave"), while_membership: ["join", "invite", "knock"] } as const;
    const unban = { ...member(ALICE, BOB, "leave"), while_membership: ["ban"] } as const;
    const results = await process.owners.submit(room_id, [unban, member(ALICE, BOB, "ban"), removal, member(ALICE, BOB, "ban"), unban, unban]);
    expect(results.map((result) => "error" in result)).to.deep.equal([true, false, true, false, false, true]);
    expect(refusal(results[2])).to.include({ status: 403, errcode: "M_FORBIDDEN" });
    expect((await roomMembers(process.database, room_nid, ["leave"])).length).to.equal(1);
    const never = { ...member(ALICE, EVE, "leave"), while_membership: ["join"] } as const;
    expect(refusal((await process.owners.submit(room_id, [never]))[0])).to.include({ status: 403 });
  });

  it("refuses what the rules refuse, one by one, and says why", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE, undefined, "invite");
    const results = await process.owners.submit(room_id, [
      member(EVE, EVE, "join"),
      message(EVE, "let me in"),
      message(ALICE, "no"),
      state(ALICE, "m.room.member", { membership: "nonsense" }, BOB),
      { ...message(ALICE, "x"), content: { number: 1.5 } },
      { ...message(ALICE, "x"), content: { body: "x".repeat(70_000) } },
      { ...message(user("stranger", "elsewhere.org"), "x") },
    ]);
    expect(results.map((result) => ("error" in result ? result.error.errcode : "ok"))).to.deep.equal([
      "M_FORBIDDEN",
      "M_FORBIDDEN",
      "ok",
      "M_FORBIDDEN",
      "M_BAD_JSON",
      "M_TOO_LARGE",
      "M_FORBIDDEN",
    ]);
    expect(refusal(results[0]).message).to.contain("join rules");
    const state_now = await currentStateOfTypes(process.database, room_nid, ["m.room.member"]);
    expect(state_now.map((entry) => entry.state_key)).to.deep.equal([ALICE]);
    const unknown = await process.owners.submit(user("x").replace("@", "!") as typeof room_id, [message(ALICE, "x")]).catch((error: unknown) => error);
    expect(unknown).to.have.property("errcode", "M_NOT_FOUND");
  });

  it("a room whose first events are refused does not come to be", async () => {
    const error: unknown = await process.owners
      .create({
        version: roomVersions().at(-1) ?? (undefined as never),
        creator: ALICE,
        content: { room_version: "12" },
        drafts: () => [member(ALICE, ALICE, "join"), message(BOB, "I am not here")],
      })
      .catch((reason: unknown) => reason);
    expect(error).to.have.property("errcode", "M_FORBIDDEN");
  });

  it("strings that PostgreSQL's text cannot hold come back as they went in", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE);
    const nasty = ["a\u0000b", "back\\slash \\u0000", "quote\"'{},"];
    const results = await process.owners.submit(room_id, [
      ...nasty.map((key) => state(ALICE, "org.example.\u0000type", { key, text: "\u0000" }, key)),
      message(ALICE, "\u0000", "txn\u0000"),
    ]);
    results.forEach(accepted);
    const found = (await currentState(process.database, room_nid)).filter((entry) => entry.type === "org.example.\u0000type");
    expect(found.map((entry) => entry.state_key).sort()).to.deep.equal([...nasty].sort());
    for (const entry of found) expect(JSON.parse(entry.json)).to.have.nested.property("content.key", entry.state_key);
  });

  it("the same transaction id ten times in parallel, after a restart, and from another device", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const many = await Promise.all(
      Array.from({ length: 10 }, (_, index) => process.owners.submit(room_id, [message(ALICE, `try ${index}`, "t1")])),
    );
    const ids = new Set(many.map(([result]) => accepted(result).event_id));
    expect(ids.size).to.equal(1);
    const [again] = await process.owners.submit(room_id, [message(ALICE, "again", "t1")]);
    expect(ids.has(accepted(again).event_id)).to.equal(true);
    expect(accepted(again).position).to.equal(accepted(many[0]?.[0]).position);
    const [other] = await process.owners.submit(room_id, [message(ALICE, "other", "t1", "OTHER")]);
    expect(ids.has(accepted(other).event_id)).to.equal(false);

    await process[Symbol.asyncDispose]();
    process = await startProcess(address);
    const [restarted] = await process.owners.submit(room_id, [message(ALICE, "after", "t1")]);
    expect(ids.has(accepted(restarted).event_id)).to.equal(true);
    const [event] = [...(await eventsById(process.database, [...ids])).values()];
    const alice = (await process.services.interning.users([ALICE])).get(ALICE) ?? 0;
    const shown = await transactionIdsOf(process.database, [event?.nid ?? 0], alice, "DEVICE");
    expect([...shown.values()]).to.deep.equal(["t1"]);
  });

  it("a transaction id that the owner has forgotten meets the table's key", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const [first] = await process.owners.submit(room_id, [message(ALICE, "x", "old")]);
    // More than the owner remembers; the device stays known, so that nothing is looked up beforehand.
    for (let start = 0; start < 2_100; start += 150) {
      await process.owners.submit(room_id, Array.from({ length: 150 }, (_, index) => message(ALICE, "x", `n${start + index}`)));
    }
    const results = await Promise.all([
      process.owners.submit(room_id, [message(ALICE, "x", "old")]),
      process.owners.submit(room_id, [message(ALICE, "bystander", "new")]),
    ]);
    expect(accepted(results[0][0]).event_id).to.equal(accepted(first).event_id);
    accepted(results[1][0]);
  });

  it("redacts what may be redacted, and lets redacted state count as such at once", async () => {
    const { room_id } = await createRoom(process, ALICE);
    await process.owners.submit(room_id, [member(BOB, BOB, "join")]);
    const [sent] = await process.owners.submit(room_id, [message(ALICE, "secret")]);
    const target = accepted(sent).event_id;
    const redaction = (sender: typeof ALICE, redacts: typeof target): ReturnType<typeof message> => ({
      type: "m.room.redaction",
      sender,
      content: {},
      redacts,
    });
    const [byBob, byAlice, ofNothing] = await process.owners.submit(room_id, [
      redaction(BOB, target),
      redaction(ALICE, target),
      redaction(ALICE, `${target}x` as typeof target),
    ]);
    expect(refusal(byBob).errcode).to.equal("M_FORBIDDEN");
    expect(refusal(ofNothing).errcode).to.equal("M_NOT_FOUND");
    const events = await eventsById(process.database, [target, accepted(byAlice).event_id]);
    expect(events.get(target)?.redacted_by).to.equal(events.get(accepted(byAlice).event_id)?.nid);

    // Join rules keep join_rule when they are redacted; a name loses everything.
    const [levels] = await process.owners.submit(room_id, [
      state(ALICE, "m.room.power_levels", { events: { "m.room.topic": 0 }, state_default: 50, invite: 7 }),
    ]);
    accepted((await process.owners.submit(room_id, [redaction(ALICE, accepted(levels).event_id)]))[0]);
    accepted((await process.owners.submit(room_id, [state(BOB, "m.room.topic", { topic: "still allowed" })]))[0]);
  });

  it("counts threads and follows relations into them", async () => {
    const { room_id } = await createRoom(process, ALICE);
    const relate = (event_id: string, rel_type: string): ReturnType<typeof message> => ({
      ...message(ALICE, "related"),
      content: { body: "related", "m.relates_to": { rel_type, event_id } },
    });
    const root = accepted((await process.owners.submit(room_id, [message(ALICE, "root")]))[0]).event_id;
    const replies = (await process.owners.submit(room_id, [relate(root, "m.thread"), relate(root, "m.thread")])).map(accepted);
    const [reaction, edit] = (
      await process.owners.submit(room_id, [relate(replies[0]?.event_id ?? "", "m.annotation"), relate(root, "m.replace")])
    ).map(accepted);
    await process[Symbol.asyncDispose]();
    process = await startProcess(address);
    const last = accepted((await process.owners.submit(room_id, [relate(root, "m.thread")]))[0]);
    const ids = [...replies, reaction, edit, last].map((event) => event?.event_id ?? "");
    const events = await eventsById(process.database, [root, ...ids]);
    const rootNid = events.get(root)?.nid;
    expect(ids.map((id) => events.get(id)?.thread_root)).to.deep.equal([rootNid, rootNid, rootNid, null, rootNid]);
    expect(ids.map((id) => events.get(id)?.thread_ordinal)).to.deep.equal([1, 2, 3, null, 4]);
  });

  it("answers as of any position: timelines, history, ordinals, members, changes, memberships", async () => {
    const { room_id, room_nid, position: created } = await createRoom(process, ALICE);
    const positions: number[] = [];
    for (let index = 0; index < 10; index += 1) {
      positions.push(accepted((await process.owners.submit(room_id, [message(ALICE, `${index}`)]))[0]).position);
    }
    const left = await process.owners.submit(room_id, [member(BOB, BOB, "join"), member(BOB, BOB, "leave")]);
    const end = accepted(left[1]).position;
    expect(accepted(left[0]).position).to.equal(end);
    const body = (event: { json: string }): unknown => (JSON.parse(event.json) as { content: { body?: string } }).content.body;
    const { database } = process;
    const range = { after: positions[2] ?? 0, upTo: positions[6] ?? 0 };
    expect((await timelineBackwards(database, room_nid, range, 3)).map(body)).to.deep.equal(["6", "5", "4"]);
    expect((await timelineForwards(database, room_nid, range, 3)).map(body)).to.deep.equal(["3", "4", "5"]);
    const [seventh] = await timelineBackwards(database, room_nid, range, 1);
    if (seventh === undefined) throw new Error("there is no event");
    expect((await historyBackwards(database, room_nid, seventh, 2)).map(body)).to.deep.equal(["5", "4"]);
    expect((await historyForwards(database, room_nid, seventh, 2)).map(body)).to.deep.equal(["6", "7"]);
    expect((await ordinalsAt(database, [room_nid], positions[3] ?? 0)).get(room_nid)).to.equal(5 + 4);
    const changes = await stateChanges(database, [room_nid], { after: created, upTo: end });
    expect(changes.map((change) => [change.type, change.state_key, change.previous === null])).to.deep.equal([
      ["m.room.member", BOB, true],
      ["m.room.member", BOB, false],
    ]);
    expect(await roomMembers(database, room_nid, ["join"])).to.have.length(1);
    expect(await roomMembers(database, room_nid, ["leave"])).to.have.length(1);
    const bob = (await process.services.interning.findUsers([BOB])).get(BOB) ?? 0;
    const mine = (await membershipsOfUser(database, bob)).find((entry) => entry.room_nid === room_nid);
    expect(mine).to.include({ membership: 4, position: end, room_id });
  });

  it("two processes write to one room through its owner, and take over when it is gone", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE);
    const other = await startProcess(address);
    const sends = Array.from({ length: 40 }, (_, index) =>
      (index % 2 === 0 ? process : other).owners.submit(room_id, [message(ALICE, `${index}`, `two${index}`)]),
    );
    const ids = new Set((await Promise.all(sends)).map(([result]) => accepted(result).event_id));
    expect(ids.size).to.equal(40);
    await process[Symbol.asyncDispose]();
    const [sent] = await other.owners.submit(room_id, [message(ALICE, "after")]);
    accepted(sent);
    process = await startProcess(address);
    const timeline = await timelineBackwards(process.database, room_nid, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, 100);
    expect(timeline.map((event) => event.ordinal)).to.deep.equal(Array.from({ length: 46 }, (_, index) => 46 - index));
    await other[Symbol.asyncDispose]();
  });

  it("keeps the memory of rooms within its bound, and loads again what it has dropped", async () => {
    await using small = await startProcess(address, { roomsBytes: 200_000 });
    const rooms: RoomId[] = [];
    for (let number = 0; number < 40; number += 1) rooms.push((await createRoom(small, ALICE)).room_id);
    for (const room of [...rooms, ...rooms]) accepted((await small.owners.submit(room, [message(ALICE, "hello")]))[0]);
    // The room that is written to comes on top.
    expect(small.owners.bytes).to.be.within(50_000, 260_000);
  });

  it("what the owner wrote before it failed is found under its transaction id, and not sent twice", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE);
    const other = await startProcess(address);
    let calls = 0;
    const failing = new RoomOwners(other.services, other.registration, {
      call: async (_address, method, payload) => {
        const answer = await process.owners.methods.get(method)?.(payload);
        if (++calls === 1) throw unknownError(500, "Another process of this server failed.");
        return answer;
      },
    }, 64 * 1024 * 1024);
    const [sent] = await failing.submit(room_id, [message(ALICE, "once", "faulty-owner")]);
    expect(calls).to.equal(2);
    const timeline = await timelineBackwards(process.database, room_nid, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, 100);
    const bodies = timeline.filter(({ type }) => type === "m.room.message");
    expect(bodies.map(({ event_id }) => event_id)).to.deep.equal([accepted(sent).event_id]);
    await failing.close();
    await other[Symbol.asyncDispose]();
  });

  it("an owner that lost its room without noticing is fenced off, and nothing is lost or doubled", async () => {
    const { room_id, room_nid } = await createRoom(process, ALICE);
    // Someone takes the room behind the owner's back.
    await process.database.write({ name: "steal", text: "UPDATE rooms SET revision = revision + 1 WHERE nid = $1" }, [room_nid]);
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => process.owners.submit(room_id, [message(ALICE, `${index}`)])),
    );
    expect(new Set(results.map(([result]) => accepted(result).event_id)).size).to.equal(20);
    const timeline = await timelineBackwards(process.database, room_nid, { after: 0, upTo: Number.MAX_SAFE_INTEGER }, 100);
    expect(timeline).to.have.length(25);
  });
});
