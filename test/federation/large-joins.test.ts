// Joining rooms with many members.
import { expect } from "chai";
import { fsck } from "../../src/storage/fsck.js";
import { startFederatingServer } from "../support/federation.js";
import { objectAt } from "../support/json-path.js";
import { startPeer } from "../support/peer.js";
import { residentRoom } from "../support/resident-room.js";

const V3 = "/_matrix/client/v3";

describe("joins of large rooms", () => {
  it("take over all members but those whose events nobody signed", async () => {
    await using server = await startFederatingServer();
    await using peer = await startPeer();
    const forged = (event: Readonly<Record<string, unknown>>, name: string): boolean =>
      event["state_key"] === `@${name}:${peer.name}` && objectAt(event, "content")["membership"] === "join";
    const { roomId } = residentRoom(peer, 1_200, { change: (event) =>
      // Of both kinds of lies: a signature that is not one of this event, and a content that is not what was signed.
      forged(event, "member7") ? { ...event, depth: 1 } : forged(event, "member8") ? { ...event, content: { membership: "join", displayname: "Mallory" } } : event,
    });
    const alice = await server.register("alice");
    const joined = await alice.post(`${V3}/join/${encodeURIComponent(roomId)}?via=${peer.name}`);
    expect([joined.status, joined.body]).to.deep.equal([200, { room_id: roomId }]);
    const members = objectAt((await alice.get(`${V3}/rooms/${encodeURIComponent(roomId)}/joined_members`)).body, "joined");
    // The owner, all who were invited, and Alice; the forged join is none.
    expect(Object.keys(members)).to.have.length(1 + 1_199 + 1);
    expect(members).to.not.have.property(`@member7:${peer.name}`);
    expect(objectAt(members, `@member8:${peer.name}`)).to.not.have.property("display_name", "Mallory");
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  }).timeout(600_000);
});
