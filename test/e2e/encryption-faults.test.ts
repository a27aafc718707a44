// Encrypted conversations while the network between clients and servers, and between servers, is cut, slow, loses or repeats
// what it is given, anew between any two steps: when it has healed, every message can be read on every device. People have
// cross-signing and a key backup, as applications make them: the library has faults of its own that only these mend (of two keys
// of one session in one answer of /sync, it keeps the later, however little that opens). Other seeds and more steps:
// `E2EE_SEEDS=1,2,3 E2EE_STEPS=100 npx mocha dist/test/e2e/encryption-faults.test.js`.
import { expect } from "chai";
import { EventType, MatrixEvent, Preset, type MatrixClient } from "matrix-js-sdk";
import { federationSettings } from "../support/federation.js";
import { freePort } from "../support/free-port.js";
import { eventually } from "../support/eventually.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { setTimeout as sleep } from "node:timers/promises";
import { login, register, roomOf, sendUntilSent } from "./application.js";
import {
  bootstrapCrossSigning,
  bootstrapSecretStorage,
  cryptoOf,
  describeEvent,
  expectEncryptedRoom,
  expectReadable,
  openEncrypted,
  recover,
  textOn,
  type Person,
} from "./encrypted-application.js";
import { seeded, UnreliableLink, WEATHERS, type Random } from "./unreliable-link.js";

const SEEDS = (process.env["E2EE_SEEDS"] ?? "3").split(",").map(Number);
const STEPS = Number(process.env["E2EE_STEPS"] ?? 25);
/** Between two steps. */
const STEP_MS = 250;
/** What the library's pauses after failures add up to, and the servers'. */
const SETTLE_MS = 90_000;
/** A key that the backup did not have is asked for again after so long. */
const REOPEN_MS = 5_000;

function pick<T>(random: Random, from: readonly T[]): T {
  const chosen = from[Math.floor(random() * from.length)];
  if (chosen === undefined) throw new Error("nothing to choose from");
  return chosen;
}

interface Deployment {
  /** Between clients and servers: two devices of the first server, two of the second. */
  readonly clientLinks: readonly UnreliableLink[];
  readonly serverLinks: readonly UnreliableLink[];
  readonly end: () => Promise<void>;
}

/** Two servers that hear each other only through links, and four links to them. */
async function deploy(random: Random): Promise<Deployment> {
  const parts: AsyncDisposable[] = [];
  const clientLinks: UnreliableLink[] = [];
  const serverLinks: UnreliableLink[] = [];
  for (let number = 0; number < 2; number++) {
    const [port, behind] = [await freePort(), await freePort()];
    const settings = federationSettings(behind);
    // Its name leads to the link.
    const server: TestServer = await startTestServer({ ...settings, servers: [{ name: `localhost:${port}` }] });
    parts.push(server);
    const link = await UnreliableLink.start({ target: `https://127.0.0.1:${behind}`, port, tls: true, random });
    serverLinks.push(link);
    for (let device = 0; device < 2; device++) clientLinks.push(await UnreliableLink.start({ target: server.url, random }));
  }
  const end = async (): Promise<void> => {
    for (const part of [...clientLinks, ...serverLinks, ...parts]) await part[Symbol.asyncDispose]();
  };
  return { clientLinks, serverLinks, end };
}

for (const seed of SEEDS) {
  describe(`encryption over an unreliable network, seed ${seed}`, function () {
    this.timeout(SETTLE_MS * 3 + STEPS * 5_000);

    const random = seeded(seed);
    const clients: MatrixClient[] = [];
    let deployment: Deployment | undefined;

    before(async () => {
      deployment = await deploy(random);
    });

    after(async () => {
      for (const client of clients) client.stopClient();
      await deployment?.end();
    });

    it("every message is read on every device in the end", async () => {
      if (deployment === undefined) throw new Error("nothing runs");
      const links = [...deployment.clientLinks, ...deployment.serverLinks];
      const [aliceUrl = "", aliceTabletUrl = "", bobUrl = "", bobTabletUrl = ""] = deployment.clientLinks.map(({ url }) => url);
      const password = `secret of ${seed}`;
      const aliceHerself: Person = { password };
      const bobHimself: Person = { password };
      const aliceSession = await register(aliceUrl, "alice", password);
      const bobSession = await register(bobUrl, "bob", password);
      const open = async (url: string, session: typeof aliceSession, person: Person): Promise<MatrixClient> => {
        const client = await openEncrypted(url, session, person);
        clients.push(client);
        if (person.recoveryKey === undefined) {
          await bootstrapCrossSigning(client, person);
          await bootstrapSecretStorage(client);
        } else {
          await recover(client, person);
        }
        return client;
      };
      const alice = await open(aliceUrl, aliceSession, aliceHerself);
      await open(aliceTabletUrl, await login(aliceTabletUrl, { userId: aliceSession.userId, password }), aliceHerself);
      const bob = await open(bobUrl, bobSession, bobHimself);
      await open(bobTabletUrl, await login(bobTabletUrl, { userId: bobSession.userId, password }), bobHimself);
      const { room_id: roomId } = await alice.createRoom({
        preset: Preset.PrivateChat,
        invite: [bobSession.userId],
        initial_state: [{ type: EventType.RoomEncryption, state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
      });
      await eventually("the invitation", () => bob.getRoom(roomId) ?? undefined);
      await bob.joinRoom(roomId);
      for (const client of clients) await expectEncryptedRoom(client, roomId, 2);
      await expectReadable(clients, roomId, await sendUntilSent(alice, roomId, "hello"), "hello");

      const sent = new Map<string, string>();
      const sending: Promise<void>[] = [];
      const did: string[] = [];
      for (let step = 0; step < STEPS; step++) {
        for (const [number, link] of links.entries()) {
          if (random() < 0.5) continue;
          link.weather = pick(random, WEATHERS);
          did.push(`${step}: link ${number} is ${link.weather}`);
        }
        const number = Math.floor(random() * clients.length);
        const client = clients[number];
        if (client === undefined) continue;
        if (random() < 0.4) {
          // The next message has a new session, whose key all devices have to be sent.
          did.push(`${step}: device ${number} begins a new session`);
          await cryptoOf(client).forceDiscardSession(roomId);
        }
        const text = `step ${step}`;
        did.push(`${step}: device ${number} sends`);
        const said = sendUntilSent(client, roomId, text).then((eventId) => void sent.set(eventId, text));
        sending.push(said);
        await Promise.race([said.catch(() => {}), sleep(STEP_MS)]);
      }
      for (const link of links) link.weather = "calm";
      for (const client of clients) client.retryImmediately();
      await Promise.all(sending);

      const deadline = performance.now() + SETTLE_MS;
      let reopened = performance.now();
      let unread: string[] = [];
      do {
        await sleep(100);
        unread = [];
        // Shown anew, as when its user opens the room again, an event that cannot be read has its key looked for in the backup.
        const reopens = performance.now() - reopened > REOPEN_MS;
        if (reopens) reopened = performance.now();
        for (const [number, client] of clients.entries()) {
          client.retryImmediately();
          const missing = [...sent.keys()].some((eventId) => client.getRoom(roomId)?.findEventById(eventId) === undefined);
          // What came in a gap is paged for, as an application does when its user scrolls up.
          if (missing) await client.scrollback(roomOf(client, roomId), 30);
          for (const [eventId, text] of sent) {
            if ((await textOn(client, roomId, eventId)) === text) continue;
            unread.push(`${text} on device ${number}: ${describeEvent(client, roomId, eventId)}`);
            if (reopens) await client.decryptEventIfNeeded(new MatrixEvent(await client.fetchRoomEvent(roomId, eventId)));
          }
        }
      } while (unread.length > 0 && performance.now() < deadline);
      const told = unread.length === 0 ? "" : `\n${[...did, ...links.flatMap((link, number) => link.faults.map((fault) => `link ${number}: ${fault}`))].join("\n")}\n`;
      expect(unread, `seed ${seed}: unread messages${told}`).to.deep.equal([]);
      expect(sent.size).to.equal(STEPS);
    });
  });
}
