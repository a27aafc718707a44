// Keeps the memberships of our users in line with their accounts: a new name or picture goes into the member events of all
// joined rooms (client-server API, "Profiles"), and an account that has ended leaves its rooms.
import { logger } from "../log.js";
import type { RoomId } from "../protocol/identifiers.js";
import { type JsonObject, ownString } from "../protocol/json.js";
import {
  extendMembershipUpkeep,
  finishMembershipUpkeep,
  takeMembershipUpkeep,
  type UpkeepJob,
} from "../storage/membership-upkeep.js";
import type { LogFollower } from "../storage/log.js";
import { membershipsOfUser } from "../storage/memberships.js";
import { MEMBERSHIPS } from "../storage/room-rows.js";
import type { RoomContext } from "./context.js";
import { memberProfiles } from "./member-profiles.js";

const log = logger("rooms");

/** Work that another process left behind is looked for so often. */
const LOOK_EVERY_MS = 10_000;
/** Rooms that are written to at once, and rooms of one step. */
const AT_ONCE = 8;
const STEP = 64;

export interface UpkeepContext extends RoomContext {
  readonly follower: LogFollower;
}

/** Does what membership changes accounts ask for, one account after the other, in whichever process comes first. */
export class MembershipUpkeep implements AsyncDisposable {
  readonly #context: UpkeepContext;
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #seen: number;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(context: UpkeepContext) {
    this.#context = context;
    const { follower } = context;
    this.#seen = follower.head;
    this.#unsubscribe = follower.subscribeToAll(() => this.#look());
    this.#timer = setInterval(() => this.#wake(), LOOK_EVERY_MS).unref();
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#unsubscribe();
    await this.#running;
  }

  /** Wakes if the log says that accounts have changed. */
  #look(): void {
    const { follower } = this.#context;
    const range = { after: this.#seen, upTo: follower.head };
    this.#seen = range.upTo;
    const entries = follower.allEntries(range);
    if (entries?.every(({ kind }) => kind !== "profile" && kind !== "invalidation") !== true) this.#wake();
  }

  #wake(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again && !this.#stopped) this.#wake();
    });
  }

  async #run(): Promise<void> {
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        for (let job = await this.#take(); job !== undefined; job = await this.#take()) {
          if (await this.#align(job)) await finishMembershipUpkeep(this.#context.database, job);
        }
      }
    } catch (error) {
      // The claim runs out, and then whoever looks next does the rest.
      log.warn({ err: error }, "memberships could not be brought in line with an account");
    }
  }

  async #take(): Promise<UpkeepJob | undefined> {
    return this.#stopped ? undefined : await takeMembershipUpkeep(this.#context.database);
  }

  /** Changes what differs; true when nothing does any more, false if something is left for another time. */
  async #align(job: UpkeepJob): Promise<boolean> {
    const { database } = this.#context;
    const profile = (await memberProfiles(this.#context, [job.user_id])).get(job.user_id) ?? {};
    const wanted: readonly number[] = job.deactivated
      ? [MEMBERSHIPS.join, MEMBERSHIPS.invite, MEMBERSHIPS.knock]
      : [MEMBERSHIPS.join];
    const rooms = (await membershipsOfUser(database, job.user_nid)).filter(({ membership }) => wanted.includes(membership));
    let complete = true;
    for (let start = 0; start < rooms.length; start += STEP) {
      if (this.#stopped) return false;
      const step = rooms.slice(start, start + STEP);
      const events = await this.#context.events.get(
        database,
        step.map(({ event_nid }) => event_nid),
      );
      const due = step.filter(({ event_nid }) => {
        const content = events.get(event_nid)?.event.content ?? {};
        return job.deactivated || !(["displayname", "avatar_url"] as const).every((key) => ownString(content, key) === profile[key]);
      });
      const content = job.deactivated ? { membership: "leave" } : { ...profile, membership: "join" };
      for (let next = 0; next < due.length; next += AT_ONCE) {
        const done = await Promise.all(due.slice(next, next + AT_ONCE).map(({ room_id }) => this.#submit(job, room_id, content)));
        complete &&= !done.includes(false);
      }
      await extendMembershipUpkeep(database, job);
    }
    return complete;
  }

  /** Changes a membership; false if the room cannot be written to at the moment, which must not hold up the others. */
  async #submit({ user_id }: UpkeepJob, roomId: RoomId, content: JsonObject): Promise<boolean> {
    const draft = { type: "m.room.member", state_key: user_id, sender: user_id, content };
    try {
      const [result] = await this.#context.owners.submit(roomId, [draft]);
      // A room may refuse it, having changed meanwhile: then that is how it is.
      if (result !== undefined && "error" in result) log.debug({ room: roomId, err: result.error }, "a membership was not changed");
      return true;
    } catch (error) {
      log.warn({ room: roomId, err: error }, "a membership could not be changed yet");
      return false;
    }
  }
}
