// matrix-js-sdk with its Rust cryptography, used as a chat application uses it: cross-signing, verification, secret storage, backup.
import { expect } from "chai";
import { createClient, MatrixError, PendingEventOrdering, SyncState, type MatrixClient, type MatrixEvent } from "matrix-js-sdk";
import {
  CryptoEvent,
  VerificationPhase,
  VerifierEvent,
  type CryptoApi,
  type ShowSasCallbacks,
  type VerificationRequest,
  type Verifier,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import { eventually } from "../support/eventually.js";
import { stringAt } from "../support/json-path.js";
import { type Session } from "./application.js";

// The Rust cryptography and loggers of single rooms tell the console all they do.
for (const method of ["debug", "info", "log", "trace", "warn", "error"] as const) {
  const plain = console[method].bind(console);
  console[method] = (...args: unknown[]) => {
    if (!/matrix_sdk_|eyeball::|encryption\]|^\[PerSession/.test(String(args[0]))) plain(...args);
  };
}

/** What a person keeps in a safe place: the key of their secret storage. */
export interface RecoveryKey {
  id: string;
  bytes: Uint8Array;
}

export interface Person {
  readonly password: string;
  recoveryKey?: RecoveryKey;
}

/** Starts the application with encryption on one device, which is new to it, and waits for its first sync. */
export async function openEncrypted(baseUrl: string, session: Session, person: Person): Promise<MatrixClient> {
  const client = createClient({
    baseUrl,
    ...session,
    localTimeoutMs: 40_000,
    verificationMethods: ["m.sas.v1"],
    cryptoCallbacks: {
      getSecretStorageKey: async ({ keys }) => {
        const { recoveryKey } = person;
        return recoveryKey !== undefined && recoveryKey.id in keys ? [recoveryKey.id, new Uint8Array(recoveryKey.bytes)] : null;
      },
      cacheSecretStorageKey: (id, _description, key) => {
        person.recoveryKey = { id, bytes: new Uint8Array(key) };
      },
    },
  });
  await client.initRustCrypto({ useIndexedDB: false });
  await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, pendingEventOrdering: PendingEventOrdering.Detached });
  await eventually("the first sync", () => client.getSyncState() === SyncState.Prepared || client.getSyncState() === SyncState.Syncing);
  await eventually("its keys are uploaded", async () => {
    const devices = await cryptoOf(client).getUserDeviceInfo([session.userId], true);
    return devices.get(session.userId)?.has(session.deviceId);
  });
  return client;
}

export function cryptoOf(client: MatrixClient): CryptoApi {
  const crypto = client.getCrypto();
  if (crypto === undefined) throw new Error("encryption is not initialised");
  return crypto;
}

/** Makes cross-signing keys, or takes them from secret storage; how often the password was asked for. */
export async function bootstrapCrossSigning(client: MatrixClient, person: Person, setupNewCrossSigning = false): Promise<number> {
  let asked = 0;
  await cryptoOf(client).bootstrapCrossSigning({
    setupNewCrossSigning,
    authUploadDeviceSigningKeys: async (upload) => {
      try {
        await upload(null);
      } catch (error) {
        const challenge = error instanceof MatrixError && error.httpStatus === 401 ? stringAt(error.data, "session") : undefined;
        if (challenge === undefined) throw error;
        asked++;
        const user = client.getUserId() ?? "";
        await upload({ type: "m.login.password", identifier: { type: "m.id.user", user }, password: person.password, session: challenge });
      }
    },
  });
  return asked;
}

/** Makes secret storage with a new key, and a key backup whose key is in it. */
export async function bootstrapSecretStorage(client: MatrixClient): Promise<void> {
  const crypto = cryptoOf(client);
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: () => crypto.createRecoveryKeyFromPassphrase(),
    setupNewSecretStorage: true,
    setupNewKeyBackup: true,
  });
  await crypto.checkKeyBackupAndEnable();
}

/** What a person does on a new device with their recovery key: it becomes a device of theirs and gets the keys of the past. */
export async function recover(client: MatrixClient, person: Person): Promise<number> {
  const crypto = cryptoOf(client);
  await bootstrapCrossSigning(client, person);
  await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
  await crypto.checkKeyBackupAndEnable();
  return (await crypto.restoreKeyBackup()).imported;
}

function sasOf(verifier: Verifier): Promise<ShowSasCallbacks> {
  const shown = verifier.getShowSasCallbacks();
  if (shown !== null) return Promise.resolve(shown);
  return new Promise((resolve, reject) => {
    verifier.once(VerifierEvent.ShowSas, resolve);
    verifier.once(VerifierEvent.Cancel, () => reject(new Error("the verification was cancelled")));
  });
}

/** Verifies by comparing seven emoji; both people confirm. */
export async function verifyBySas(ask: () => Promise<VerificationRequest>, asked: MatrixClient): Promise<void> {
  let incoming: VerificationRequest | undefined;
  asked.once(CryptoEvent.VerificationRequestReceived, (request) => (incoming = request));
  const request = await ask();
  const received = await eventually("the request is seen", () => incoming);
  await received.accept();
  await eventually("the request is accepted", () => request.phase === VerificationPhase.Ready);
  const mine = await request.startVerification("m.sas.v1");
  const theirs = await eventually("the verification begins", () => received.verifier);
  const done = Promise.all([mine.verify(), theirs.verify()]);
  const compare = async (): Promise<void> => {
    const [here, there] = await Promise.all([sasOf(mine), sasOf(theirs)]);
    expect(here.sas.emoji).to.have.length(7).and.deep.equal(there.sas.emoji);
    await Promise.all([here.confirm(), there.confirm()]);
  };
  await Promise.all([compare(), done]);
  await eventually("both are done", () => request.phase === VerificationPhase.Done && received.phase === VerificationPhase.Done);
}

/** The text of a message as this device shows it; undefined while it does not have the message or cannot read it. */
export async function textOn(client: MatrixClient, roomId: string, eventId: string): Promise<string | undefined> {
  const event = client.getRoom(roomId)?.findEventById(eventId);
  return event === undefined ? undefined : await decryptedText(client, event);
}

async function decryptedText(client: MatrixClient, event: MatrixEvent): Promise<string | undefined> {
  await client.decryptEventIfNeeded(event);
  return event.isDecryptionFailure() || !event.isEncrypted() ? undefined : stringAt(event.getContent(), "body");
}

/** Waits until a message can be read on some devices. */
export async function expectReadable(clients: readonly MatrixClient[], roomId: string, eventId: string, text: string): Promise<void> {
  for (const client of clients) {
    const name = `${client.getUserId()} ${client.getDeviceId()}`;
    const shown = await eventually(`${name} reads ${JSON.stringify(text)}`, () => textOn(client, roomId, eventId), 120_000).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${describeEvent(client, roomId, eventId)}`);
    });
    expect(shown).to.equal(text);
  }
}

/** What a device makes of an event, for messages about failed tests. */
export function describeEvent(client: MatrixClient, roomId: string, eventId: string): string {
  const event = client.getRoom(roomId)?.findEventById(eventId);
  if (event === undefined) return "not there";
  return event.isDecryptionFailure() ? String(event.decryptionFailureReason) : "there";
}

/** Waits until a device knows which members of a room there are, and that it is encrypted. */
export async function expectEncryptedRoom(client: MatrixClient, roomId: string, members: number): Promise<void> {
  await eventually(`${client.getUserId()} ${client.getDeviceId()} sees the members`, () => client.getRoom(roomId)?.getJoinedMemberCount() === members);
  await eventually(`${client.getUserId()} ${client.getDeviceId()} sees that the room is encrypted`, () => cryptoOf(client).isEncryptionEnabledInRoom(roomId));
}
