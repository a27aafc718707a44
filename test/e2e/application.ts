// matrix-js-sdk used as a chat application uses it: its store, its sync loop, its retries.
import {
  createClient,
  EventStatus,
  EventType,
  MatrixError,
  PendingEventOrdering,
  SyncState,
  type MatrixClient,
  type MatrixEvent,
  type Room,
} from "matrix-js-sdk";
import { logger as sdkLogger } from "matrix-js-sdk/lib/logger.js";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../support/eventually.js";

for (const logger of [sdkLogger, sdkLogger.getChild("[MatrixRTCSessionManager]")]) {
  // The declared type leaves out the method that these loggers have.
  if ("setLevel" in logger && typeof logger.setLevel === "function") logger.setLevel("silent", false);
}

// The library lets the time limit of each request run on after the answer, for up to two minutes: a timer as long as that
// must not keep the process from ending.
const LONG_MS = 30_000;
const plainSetTimeout = globalThis.setTimeout;
globalThis.setTimeout = Object.assign((callback: (...args: unknown[]) => void, delay?: number, ...args: unknown[]) => {
  const timer = plainSetTimeout(callback, delay, ...args);
  return delay !== undefined && delay >= LONG_MS ? timer.unref() : timer;
}, plainSetTimeout);

export interface Account {
  readonly userId: string;
  readonly password: string;
}

export interface Session {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

function sessionOf(answer: { user_id: string; device_id?: string; access_token?: string }): Session {
  if (answer.device_id === undefined || answer.access_token === undefined) throw new Error("the answer has no device or no token");
  return { userId: answer.user_id, deviceId: answer.device_id, accessToken: answer.access_token };
}

/** Registers with user-interactive authentication, as a client that knows only the dummy stage. */
export async function register(baseUrl: string, username: string, password: string): Promise<Session> {
  const client = createClient({ baseUrl });
  try {
    return sessionOf(await client.registerRequest({ username, password }));
  } catch (error) {
    if (!(error instanceof MatrixError) || error.httpStatus !== 401) throw error;
    const session: unknown = error.data["session"];
    if (typeof session !== "string") throw error;
    return sessionOf(await client.registerRequest({ username, password, auth: { type: "m.login.dummy", session } }));
  }
}

export async function login(baseUrl: string, account: Account): Promise<Session> {
  const client = createClient({ baseUrl });
  return sessionOf(
    await client.loginRequest({
      type: "m.login.password",
      identifier: { type: "m.id.user", user: account.userId },
      password: account.password,
    }),
  );
}

/** Starts the application on one device and waits for its first sync. */
export async function openApplication(baseUrl: string, session: Session): Promise<MatrixClient> {
  const client = createClient({ baseUrl, ...session, localTimeoutMs: 40_000 });
  await client.startClient({
    initialSyncLimit: 20,
    lazyLoadMembers: true,
    threadSupport: true,
    pendingEventOrdering: PendingEventOrdering.Detached,
  });
  await eventually("the first sync", () => client.getSyncState() === SyncState.Prepared || client.getSyncState() === SyncState.Syncing);
  return client;
}

export function roomOf(client: MatrixClient, roomId: string): Room {
  const room = client.getRoom(roomId);
  if (room === null) throw new Error(`${client.getUserId()} does not know ${roomId}`);
  return room;
}

/** How often an application tries to send one message before it would leave that to its user. */
const SEND_ATTEMPTS = 30;

/** The event of this device's transaction in the room, once a sync has shown it. */
function shownBySync(room: Room, transactionId: string): MatrixEvent | undefined {
  return room
    .getUnfilteredTimelineSet()
    .getTimelines()
    .flatMap((timeline) => timeline.getEvents())
    .find((event) => event.status === null && event.getUnsigned().transaction_id === transactionId);
}

/**
 * Sends a text, again with the same transaction id for as long as the server is away, and gives the event id. This is
 * what a person does who presses "retry" until the message is no longer red: it no longer is when the server had
 * persisted it before it went away, and a sync shows it. (Sent again then, the library would wait for its echo for ever.)
 */
export async function sendUntilSent(client: MatrixClient, roomId: string, text: string): Promise<string> {
  const transactionId = client.makeTxnId();
  for (let attempt = 1; ; attempt++) {
    const room = roomOf(client, roomId);
    const shown = shownBySync(room, transactionId)?.getId();
    if (shown !== undefined) return shown;
    try {
      const pending = room
        .getPendingEvents()
        .find((event) => event.getTxnId() === transactionId && event.status === EventStatus.NOT_SENT);
      const sent =
        pending === undefined
          ? await client.sendTextMessage(roomId, text, transactionId)
          : await client.resendEvent(pending, room);
      return sent.event_id;
    } catch (error) {
      const refused = error instanceof MatrixError && error.httpStatus !== undefined && error.httpStatus < 500;
      if (refused || attempt === SEND_ATTEMPTS) throw error;
      await sleep(300);
      client.retryImmediately();
    }
  }
}

/** Pages the room back to its creation; the room's main timeline, oldest first. */
export async function wholeTimeline(client: MatrixClient, roomId: string): Promise<MatrixEvent[]> {
  const room = roomOf(client, roomId);
  for (let page = 0; page < 1_000; page++) {
    const events = room.getLiveTimeline().getEvents();
    if (events[0]?.getType() === EventType.RoomCreate || room.oldState.paginationToken === null) return events;
    await client.scrollback(room, 100);
  }
  throw new Error(`${roomId} has no beginning after 1,000 pages`);
}
