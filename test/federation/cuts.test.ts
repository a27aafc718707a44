// Servers that lose each other at random and find each other again hold the same events and the same state in the end.
import { expect } from "chai";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fsck } from "../../src/storage/fsck.js";
import { eventually } from "../support/eventually.js";
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { seeded } from "../support/rooms.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const SEED = Number(process.env["CUTS_SEED"] ?? 7);
const ROUNDS = 6;

/** The way to a server: what others connect to under its name, and what can be cut. */
class Link {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut = false;

  private constructor(target: number) {
    this.#server = createServer((socket) => {
      if (this.#cut) {
        socket.destroy();
        return;
      }
      const onward = connect(target, "127.0.0.1");
      for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
        this.#sockets.add(one);
        one.on("error", () => other.destroy()).on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  }

  static async open(port: number, target: number): Promise<Link> {
    const link = new Link(target);
    await new Promise<void>((resolve) => link.#server.listen(port, "127.0.0.1", resolve));
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Cuts what is open and lets nothing new through, or lets it through again. */
  set cut(cut: boolean) {
    this.#cut = cut;
    if (cut) for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut = true;
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

interface Node {
  readonly name: string;
  readonly server: TestServer;
  readonly link: Link;
  readonly user: TestClient;
}

describe("servers that lose each other", () => {
  const nodes: Node[] = [];
  before(async () => {
    for (const [index, localpart] of ["alice", "bob", "carol"].entries()) {
      const [named, hidden] = [await freePort(), await freePort()];
      const settings = federationSettings(hidden);
      const server = await startTestServer({ ...settings, servers: [{ name: `localhost:${named}` }] });
      const link = await Link.open(named, hidden);
      nodes[index] = { name: `localhost:${named}`, server, link, user: await server.register(localpart) };
    }
  });
  after(async () => {
    for (const { server, link } of nodes) {
      await server[Symbol.asyncDispose]();
      await link.close();
    }
  });

  let serial = 0;
  async function say(user: TestClient, room: string): Promise<string> {
    const answer = await user.put(`${V3}/rooms/${room}/send/m.room.message/${++serial}`, { msgtype: "m.text", body: `${serial}` });
    expect(answer.status).to.equal(200);
    return stringAt(answer.body, "event_id") ?? "";
  }
  async function stateOf({ server }: Node, room: string): Promise<string> {
    const rows = await server.database.read<{ event_id: string }>(
      {
        name: "test_cuts_state",
        text: "SELECT event_id FROM current_state c JOIN events e ON e.nid = c.event_nid JOIN rooms r ON r.nid = c.room_nid WHERE room_id = $1 ORDER BY event_id",
      },
      [room],
    );
    return rows.map(({ event_id }) => event_id).join();
  }
  async function historyOf({ user }: Node, room: string): Promise<Set<string>> {
    const found = new Set<string>();
    for (let from: string | undefined = "", page = 0; from !== undefined && page < 50; page += 1) {
      const { body } = await user.get(`${V3}/rooms/${room}/messages?dir=b&limit=100${from === "" ? "" : `&from=${from}`}`);
      for (const event of objectsAt(body, "chunk")) found.add(stringAt(event, "event_id") ?? "");
      from = stringAt(body, "end");
    }
    return found;
  }

  for (const version of ["10", "12"]) {
    it(`hold the same in the end, room version ${version}, seed ${SEED}`, async () => {
      const next = seeded(SEED);
      const [first, ...others] = nodes;
      if (first === undefined) throw new Error("no servers");
      const created = await first.user.post(`${V3}/createRoom`, {
        preset: "public_chat",
        room_version: version,
        power_level_content_override: { state_default: 0, events: {} },
      });
      const room = stringAt(created.body, "room_id") ?? "";
      for (const { user } of others) expect((await user.post(`${V3}/join/${encodeURIComponent(room)}?via=${first.name}`)).status).to.equal(200);
      const sent: string[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const { link } of nodes) link.cut = next() < 0.5;
        for (let number = 0; number < 4; number += 1) {
          const { user } = nodes[Math.floor(next() * nodes.length)] ?? first;
          if (next() < 0.5) {
            const answer = await user.put(`${V3}/rooms/${room}/state/m.room.topic`, { topic: `${version} ${++serial}` });
            expect(answer.status).to.equal(200);
            sent.push(stringAt(answer.body, "event_id") ?? "");
          } else sent.push(await say(user, room));
        }
        await sleep(next() * 300);
      }
      for (const { link } of nodes) link.cut = false;
      await eventually(
        `all hold the same (seed ${SEED})`,
        async () => {
          // Whoever hears of a server that was away tells it what it missed; one event from each brings the branches together.
          for (const { user } of nodes) sent.push(await say(user, room));
          await sleep(1_000);
          const states = new Set(await Promise.all(nodes.map(async (node) => await stateOf(node, room))));
          if (states.size !== 1) return false;
          const histories = await Promise.all(nodes.map(async (node) => await historyOf(node, room)));
          return histories.every((history) => sent.every((id) => history.has(id)));
        },
        300_000,
      );
      for (const { server } of nodes) expect((await fsck(server.database)).problems).to.deep.equal([]);
    }).timeout(600_000);
  }
});
