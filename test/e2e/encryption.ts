// Encryption between two people with two devices each, through whatever deployment is given.
import { expect } from "chai";
import { EventType, MatrixEvent, Method, Preset, type MatrixClient } from "matrix-js-sdk";
import { randomBytes } from "node:crypto";
import { eventually } from "../support/eventually.js";
import { login, register, roomOf, type Session } from "./application.js";
import {
  bootstrapCrossSigning,
  bootstrapSecretStorage,
  cryptoOf,
  expectEncryptedRoom,
  expectReadable,
  openEncrypted,
  recover,
  textOn,
  verifyBySas,
  type Person,
} from "./encrypted-application.js";
import { skipAfterFailure } from "./steps.js";

/** What the encrypted conversation runs on: base URLs of the first and the second person's server. */
export interface EncryptedDeployment extends AsyncDisposable {
  readonly urls: readonly [string, string];
}

/** Declares the tests of encryption; each builds on the one before it. */
export function describeEncryption(title: string, deploy: () => Promise<EncryptedDeployment>): void {
  describe(title, function () {
    this.timeout(360_000);

    const suffix = randomBytes(4).toString("hex");
    const aliceHerself: Person = { password: `secret-${suffix}` };
    const bobHimself: Person = { password: `secret-${suffix}` };
    const applications: MatrixClient[] = [];
    const sent = new Map<string, string>();
    let deployment: EncryptedDeployment;
    let alice: MatrixClient;
    let aliceTablet: MatrixClient;
    let bob: MatrixClient;
    let bobTablet: MatrixClient;
    let roomId: string;

    const open = async (whose: 0 | 1, session: Session): Promise<MatrixClient> => {
      const client = await openEncrypted(deployment.urls[whose], session, whose === 0 ? aliceHerself : bobHimself);
      applications.push(client);
      return client;
    };
    const openAnother = async (whose: 0 | 1, client: MatrixClient): Promise<MatrixClient> => {
      const account = { userId: client.getSafeUserId(), password: (whose === 0 ? aliceHerself : bobHimself).password };
      return await open(whose, await login(deployment.urls[whose], account));
    };
    const close = (client: MatrixClient): void => {
      client.stopClient();
      applications.splice(applications.indexOf(client), 1);
    };
    const say = async (client: MatrixClient, text: string): Promise<string> => {
      const { event_id } = await client.sendTextMessage(roomId, text);
      sent.set(event_id, text);
      return event_id;
    };
    const isVerified = async (client: MatrixClient, userId: string, deviceId: string): Promise<boolean> =>
      (await cryptoOf(client).getDeviceVerificationStatus(userId, deviceId))?.crossSigningVerified ?? false;

    const knows = async (client: MatrixClient, userId: string, deviceId: string): Promise<boolean> =>
      (await cryptoOf(client).getUserDeviceInfo([userId])).get(userId)?.has(deviceId) ?? false;

    before(async () => {
      deployment = await deploy();
    });

    skipAfterFailure();

    after(async () => {
      for (const client of applications) client.stopClient();
      await deployment?.[Symbol.asyncDispose]();
    });

    it("two people, who make cross-signing keys without a password, talk with two devices each in an encrypted room", async () => {
      const [aliceUrl, bobUrl] = deployment.urls;
      alice = await open(0, await register(aliceUrl, `alice-${suffix}`, aliceHerself.password));
      bob = await open(1, await register(bobUrl, `bob-${suffix}`, bobHimself.password));
      // Long before she makes others: old keys that come while new ones are only here make the library forget the new ones.
      for (const [client, person] of [[alice, aliceHerself], [bob, bobHimself]] as const) expect(await bootstrapCrossSigning(client, person)).to.equal(0);
      [aliceTablet, bobTablet] = await Promise.all([openAnother(0, alice), openAnother(1, bob)]);
      const created = await alice.createRoom({
        preset: Preset.PrivateChat,
        invite: [bob.getSafeUserId()],
        initial_state: [{ type: EventType.RoomEncryption, state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
      });
      roomId = created.room_id;
      await eventually("the invitation", () => bob.getRoom(roomId) ?? undefined);
      await bob.joinRoom(roomId);
      for (const client of applications) await expectEncryptedRoom(client, roomId, 2);
      for (const [number, client] of [alice, bob, aliceTablet, bobTablet].entries()) {
        const text = `message ${number}`;
        await expectReadable(applications, roomId, await say(client, text), text);
      }
    });

    it("new cross-signing keys are made with the password", async () => {
      const masterKey = (): Promise<string | null> => cryptoOf(alice).getCrossSigningKeyId();
      const first = await eventually("her master key", async () => (await masterKey()) ?? undefined);
      expect(await bootstrapCrossSigning(alice, aliceHerself, true)).to.equal(1);
      await eventually("another one", async () => ![first, null].includes(await masterKey()));
      for (const client of [alice, bob]) {
        await eventually("the device is signed", () => isVerified(client, client.getSafeUserId(), client.getDeviceId() ?? ""));
        await eventually("cross-signing is ready", () => cryptoOf(client).isCrossSigningReady());
      }
    });

    it("a verified device is given keys of the past by another one", async () => {
      // While there is no backup, from which it would take them.
      const phone = await openAnother(1, bob);
      await eventually("the room", () => phone.getRoom(roomId) ?? undefined);
      const [past = "", text = ""] = [...sent].at(-1) ?? [];
      expect(await textOn(phone, roomId, past)).to.equal(undefined);
      await eventually("the other knows it", () => knows(bob, bob.getSafeUserId(), phone.getDeviceId() ?? ""));
      await verifyBySas(() => cryptoOf(phone).requestOwnUserVerification(), bob);
      enableKeyRequests(phone);
      // Trying to read it asks for the key; the answer comes as m.forwarded_room_key.
      await eventually("the key of the past", async () => {
        const event = new MatrixEvent(await phone.fetchRoomEvent(roomId, past));
        await phone.decryptEventIfNeeded(event);
        return event.getContent()["body"] === text;
      });
      await phone.logout(true);
      close(phone);
    });

    it("secret storage and a backup of keys are made", async () => {
      await bootstrapSecretStorage(alice);
      await bootstrapSecretStorage(bob);
      expect(await cryptoOf(alice).isSecretStorageReady()).to.equal(true);
      expect(await cryptoOf(alice).getActiveSessionBackupVersion()).to.be.a("string");
    });

    it("a person verifies their second device, which is sent the secrets", async () => {
      for (const [client, tablet] of [[alice, aliceTablet], [bob, bobTablet]] as const) {
        const userId = client.getSafeUserId();
        await eventually("the new identity", () => cryptoOf(tablet).userHasCrossSigningKeys(userId, true));
        await verifyBySas(() => cryptoOf(tablet).requestOwnUserVerification(), client);
        await eventually("it is verified here", () => isVerified(client, userId, tablet.getDeviceId() ?? ""));
        await eventually("it is verified there", () => isVerified(tablet, userId, client.getDeviceId() ?? ""));
        await eventually("the secrets arrive", async () => {
          const { privateKeysCachedLocally: keys } = await cryptoOf(tablet).getCrossSigningStatus();
          return keys.masterKey && keys.selfSigningKey && keys.userSigningKey && (await cryptoOf(tablet).getSessionBackupPrivateKey()) !== null;
        });
      }
    });

    it("two people verify each other in their room", async () => {
      const [aliceId, bobId] = [alice.getSafeUserId(), bob.getSafeUserId()];
      await eventually("the other's identity", () => cryptoOf(alice).userHasCrossSigningKeys(bobId, true));
      await eventually("the other's identity", () => cryptoOf(bob).userHasCrossSigningKeys(aliceId, true));
      await verifyBySas(() => cryptoOf(alice).requestVerificationDM(bobId, roomId), bob);
      for (const client of [alice, aliceTablet]) {
        await eventually("bob is verified", async () => (await cryptoOf(client).getUserVerificationStatus(bobId)).isCrossSigningVerified());
        await eventually("his tablet too", () => isVerified(client, bobId, bobTablet.getDeviceId() ?? ""));
      }
      for (const client of [bob, bobTablet]) {
        await eventually("alice is verified", async () => (await cryptoOf(client).getUserVerificationStatus(aliceId)).isCrossSigningVerified());
      }
      await expectReadable(applications, roomId, await say(bob, "now we know"), "now we know");
    });

    it("a new device reads all of the past by the recovery key", async () => {
      for (const client of [alice, bob]) {
        await eventually("all keys are in the backup", async () => {
          // Not by the library, which remembers what it was told when the backup was new.
          const { count } = await client.http.authedRequest<{ count: number }>(Method.Get, "/room_keys/version");
          return count >= 4;
        });
      }
      const phone = await openAnother(0, alice);
      await eventually("the room", () => phone.getRoom(roomId) ?? undefined);
      expect(await recover(phone, aliceHerself)).to.be.at.least(4);
      await phone.scrollback(roomOf(phone, roomId), 100);
      for (const [eventId, text] of sent) await expectReadable([phone], roomId, eventId, text);
      await eventually("others trust it", () => isVerified(bob, alice.getSafeUserId(), phone.getDeviceId() ?? ""));
      await expectReadable([...applications], roomId, await say(phone, "I am new"), "I am new");
      await phone.logout(true);
      close(phone);
    });

    it("a device that was removed is no longer encrypted for", async () => {
      const lost = await openAnother(0, alice);
      const lostId = lost.getDeviceId() ?? "";
      const aliceId = alice.getSafeUserId();
      await eventually("bob's device knows it", () => knows(bob, aliceId, lostId));
      await expectReadable([...applications], roomId, await say(bob, "to all"), "to all");
      lost.stopClient();
      const before = await sessionOf(bob, [...sent.keys()].at(-1) ?? "");
      await lost.logout(true);
      close(lost);
      await eventually("bob's device forgets it", async () => !(await knows(bob, aliceId, lostId)));
      const after = await say(bob, "not to the lost one");
      await expectReadable(applications, roomId, after, "not to the lost one");
      expect(await sessionOf(bob, after), "a new session, whose key the removed device was not sent").not.to.equal(before);
    });

    it("what is said while nobody is logged in is kept by the dehydrated device", async () => {
      await cryptoOf(alice).startDehydration();
      const aliceId = alice.getSafeUserId();
      await eventually("bob's device knows the dehydrated one", async () => {
        const devices = (await cryptoOf(bob).getUserDeviceInfo([aliceId])).get(aliceId);
        return [...(devices?.values() ?? [])].some((device) => device.dehydrated);
      });
      for (const client of [alice, aliceTablet]) {
        const deviceId = client.getDeviceId() ?? "";
        await client.logout(true);
        close(client);
        await eventually("bob's device forgets it", async () => !(await knows(bob, aliceId, deviceId)));
      }
      const text = "are you there?";
      const eventId = await say(bob, text);
      const phone = await open(0, await login(deployment.urls[0], { userId: aliceId, password: aliceHerself.password }));
      await eventually("the room", () => phone.getRoom(roomId) ?? undefined);
      expect(await textOn(phone, roomId, eventId)).to.equal(undefined);
      await bootstrapCrossSigning(phone, aliceHerself);
      await cryptoOf(phone).startDehydration();
      await expectReadable([phone], roomId, eventId, text);
      await expectReadable(applications, roomId, await say(phone, "yes"), "yes");
    });

    async function sessionOf(client: MatrixClient, eventId: string): Promise<unknown> {
      return roomOf(client, roomId).findEventById(eventId)?.getWireContent()["session_id"];
    }
  });
}

/** The SDK can ask its own devices for keys but does not by itself since applications restore from the backup. */
function enableKeyRequests(client: MatrixClient): void {
  const crypto: object = cryptoOf(client);
  if (!("olmMachine" in crypto) || typeof crypto.olmMachine !== "object" || crypto.olmMachine === null) throw new Error("no OlmMachine");
  if (!("roomKeyRequestsEnabled" in crypto.olmMachine)) throw new Error("key requests cannot be enabled");
  crypto.olmMachine.roomKeyRequestsEnabled = true;
}
