// A client of sliding sync as the MSC describes it: it shows the position it was given last, and holds what it was told.
import { objectAt, objectsAt, stringAt, type JsonObject } from "./json-path.js";
import type { Answer, TestClient } from "./server.js";

const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/** What a client holds of a room. */
export interface HeldRoom {
  membership: string | undefined;
  /** Oldest first. */
  timeline: JsonObject[];
  /** By type and state key. */
  readonly state: Map<string, JsonObject>;
  name: string | undefined;
  joined: unknown;
  notifications: unknown;
}

const keyOf = (event: JsonObject): string => JSON.stringify([event["type"], event["state_key"]]);
const idOf = (event: JsonObject): string => stringAt(event, "event_id") ?? "";

/** The public receipts of the content of an `m.receipt`, by room and user. */
export function receiptsIn(room: string, content: JsonObject): [key: string, event: string][] {
  return Object.entries(content).flatMap(([event, kinds]) =>
    Object.keys(objectAt(kinds, "m.read")).map((user): [string, string] => [`${room} ${user}`, event]),
  );
}

/** One request as it stands. */
export function slidingSync(client: TestClient, body: JsonObject, pos?: string, timeoutMs = 0): Promise<Answer> {
  const query = new URLSearchParams({ timeout: String(timeoutMs), ...(pos !== undefined && { pos }) });
  return client.post(`${PATH}?${query.toString()}`, body);
}

export class SlidingClient {
  #client: TestClient;
  readonly rooms = new Map<string, HeldRoom>();
  /** Account data and receipts of rooms, as text by room, type and user. */
  readonly beside = new Map<string, string>();
  readonly faults: string[] = [];
  pos: string | undefined;

  constructor(client: TestClient) {
    this.#client = client;
  }

  /** Goes on with another process. */
  use(client: TestClient): void {
    this.#client = client;
  }

  /** One request, whose answer is taken in. Throws if it is refused. */
  async step(body: JsonObject, timeoutMs = 0): Promise<JsonObject> {
    const { status, body: answer } = await slidingSync(this.#client, body, this.pos, timeoutMs);
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(answer)}`);
    this.take(answer);
    return answer;
  }

  take(answer: JsonObject): void {
    this.pos = stringAt(answer, "pos");
    for (const [id, room] of Object.entries(objectAt(answer, "rooms"))) this.#takeRoom(id, objectAt(room));
    this.#takeExtensions(objectAt(answer, "extensions"));
  }

  #takeExtensions(extensions: JsonObject): void {
    for (const [room, events] of Object.entries(objectAt(extensions, "account_data", "rooms"))) {
      for (const event of objectsAt({ events }, "events")) this.beside.set(`${room} ${String(event["type"])}`, JSON.stringify(event["content"]));
    }
    for (const [room, receipt] of Object.entries(objectAt(extensions, "receipts", "rooms"))) {
      for (const [key, event] of receiptsIn(room, objectAt(receipt, "content"))) this.beside.set(key, event);
    }
  }

  #takeRoom(id: string, room: JsonObject): void {
    let held = this.rooms.get(id);
    if (held === undefined || room["initial"] === true) {
      if (room["initial"] !== true) this.faults.push(`${id}: first told of without "initial"`);
      held = { membership: undefined, timeline: [], state: new Map(), name: undefined, joined: undefined, notifications: undefined };
      this.rooms.set(id, held);
    }
    held.membership = stringAt(room, "membership") ?? held.membership;
    if ("name" in room) held.name = stringAt(room, "name");
    held.joined = room["joined_count"] ?? held.joined;
    held.notifications = room["notification_count"] ?? held.notifications;
    const events = objectsAt(room, "timeline");
    const known = new Set(held.timeline.map(idOf));
    if (room["unstable_expanded_timeline"] === true) held.timeline = events;
    else {
      for (const event of events) if (known.has(idOf(event))) this.faults.push(`${id}: ${idOf(event)} came twice`);
      held.timeline = room["limited"] === true ? events : [...held.timeline, ...events];
    }
    for (const event of objectsAt(room, "required_state")) held.state.set(keyOf(event), event);
  }
}
