// A server that is killed while it learns the rest of a room that it has joined with a part of the state.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";
import { eventually } from "../support/eventually.js";
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { matrixRequest, ok } from "../support/matrix-request.js";
import { startPeer } from "../support/peer.js";
import { residentRoom } from "../support/resident-room.js";
import { seeded } from "../support/rooms.js";

const V3 = "/_matrix/client/v3";
const MEMBERS = 700;

describe("a server that is killed while it completes a room", () => {
  it("goes on by itself, and has lost nothing", async function () {
    this.timeout(600_000);
    const seed = Number(process.env["SEED"] ?? Date.now());
    const next = seeded(seed);
    await using folder = await temporaryFolder();
    await using peer = await startPeer();
    peer.answer("/_matrix/federation/v1/send/", () => ({ status: 200, body: { pdus: {} } }));
    const { roomId, giveState } = residentRoom(peer, MEMBERS, { omitted: [peer.name] });
    let open: () => void = () => undefined;
    giveState(peer, new Promise<void>((resolve) => (open = resolve)));
    const settings = { ...federationSettings(await freePort()), data_folder: join(folder.path, "data"), rate_limits: { enabled: false } };
    await using running = await ServerProcess.start(folder.path, settings);
    const registered = await ok(matrixRequest(running.url), "POST", `${V3}/register`, { username: "alice", password: "wonderland", auth: { type: "m.login.dummy" } });
    await running.command("user", "admin", "alice");
    const alice = matrixRequest(running.url, stringAt(registered, "access_token"));
    const room = `${V3}/rooms/${encodeURIComponent(roomId)}`;
    await ok(alice, "POST", `${V3}/join/${encodeURIComponent(roomId)}?via=${peer.name}`, {});
    const said: string[] = [];
    const say = async (text: string): Promise<void> => {
      said.push(stringAt(await ok(alice, "PUT", `${room}/send/m.room.message/${text}`, { msgtype: "m.text", body: text }), "event_id") ?? "");
    };
    const entry = async (): Promise<unknown> => objectsAt(await ok(alice, "GET", "/_hansa/admin/v1/joins"), "joins")[0];
    const restart = async (): Promise<void> => {
      await running.kill();
      await running.restart();
    };

    // While the other server has not answered, while what it gave is checked, and while that is written.
    await say("waiting");
    await restart();
    await say("asked again");
    open();
    await sleep(next() * 300);
    await restart();
    await say("checked");
    await eventually("some of it is written", async () => Number(objectAt(await entry())["written"]) > 0, 60_000);
    await sleep(next() * 100);
    await restart();
    await say("written");

    const members = await eventually("the whole room", async () => {
      const { status, body } = await alice("GET", `${room}/joined_members`);
      return status === 200 ? Object.keys(objectAt(body, "joined")) : undefined;
    }, 120_000);
    // The last was invited, the owner and Alice are there.
    expect(members, `SEED=${seed}`).to.have.length(MEMBERS + 2);
    expect(await entry()).to.include({ phase: "complete", error: null });
    await say("complete");
    const history = objectsAt(await ok(alice, "GET", `${room}/messages?dir=b&limit=50`), "chunk").map(({ event_id }) => event_id);
    expect(said.filter((id) => !history.includes(id)), `SEED=${seed}`).to.deep.equal([]);
    expect(JSON.parse(await running.command("fsck", "--json")), `SEED=${seed}`).to.deep.include({ problems: [] });
  });
});
