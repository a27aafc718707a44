// Keeps the memberships of our users in line with their accounts: a new name or picture goes into the member events of all
// joined rooms (client-server API, "Profiles"), and an account that has ended leaves its rooms.
import { logger } from "../../log.js";
import { RepeatedWork } from "../../repeated-work.js";
import type { RoomId } from "../../protocol/identifiers.js";
import { type JsonObject, ownString } from "../../protocol/json.js";
import type { Membership } from "../../protocol/membership.js";
import {
  extendMembershipUpkeep,
  finishMembershipUpkeep,
  takeMembershipUpkeep,
  type UpkeepJob,
} from "../../storage/membership-upkeep.js";
import type { LogFollower } from "../../storage/log.js";
import { membershipsOfUser } from "../../storage/memberships.js";
import { MEMBERSHIPS } from "../../storage/room-rows.js";
import type { RoomContext } from "../context.js";
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
  readonly #work: RepeatedWork;
  readonly #unsubscribe: () => void;

  constructor(context: UpkeepContext) {
    this.#context = context;
    this.#work = new RepeatedWork(
      LOOK_EVERY_MS,
      (stopping) => this.#alignAll(stopping),
      // The claim runs out, and then whoever looks next does the rest.
      (error) => log.warn({ err: error }, "memberships could not be brought in line with an account"),
    );
    this.#unsubscribe = context.follower.subscribeToEntries((entries) => {
      if (entries?.every(({ kind }) => kind !== "profile" && kind !== "invalidation") !== true) this.#work.wake();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    await this.#work[Symbol.asyncDispose]();
  }

  async #alignAll(stopping: AbortSignal): Promise<void> {
    const { database } = this.#context;
    while (!stopping.aborted) {
      const job = await takeMembershipUpkeep(database);
      if (job === undefined) return;
      if (await this.#align(job, stopping)) await finishMembershipUpkeep(database, job);
    }
  }

  /** Changes what differs; true when nothing does any more, false if something is left for another time. */
  async #align(job: UpkeepJob, stopping: AbortSignal): Promise<boolean> {
    const { database } = this.#context;
    const profile = (await memberProfiles(this.#context, [job.user_id])).get(job.user_id) ?? {};
    const wanted: readonly number[] = job.deactivated
      ? [MEMBERSHIPS.join, MEMBERSHIPS.invite, MEMBERSHIPS.knock]
      : [MEMBERSHIPS.join];
    const rooms = (await membershipsOfUser(database, job.user_nid)).filter(({ membership }) => wanted.includes(membership));
    let complete = true;
    for (let start = 0; start < rooms.length; start += STEP) {
      if (stopping.aborted) return false;
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
        const done = await Promise.all(due.slice(next, next + AT_ONCE).map(({ room_id, membership }) => this.#submit(job, room_id, membership, content)));
        complete &&= !done.includes(false);
      }
      await extendMembershipUpkeep(database, job);
    }
    return complete;
  }

  /** Changes a membership; false if the room cannot be written to at the moment, which must not hold up the others. */
  async #submit({ user_id }: UpkeepJob, roomId: RoomId, membership: number, content: JsonObject): Promise<boolean> {
    // Who has left meanwhile must not be brought back.
    const while_membership = (Object.keys(MEMBERSHIPS) as Membership[]).filter((name) => MEMBERSHIPS[name] === membership);
    const draft = { type: "m.room.member", state_key: user_id, sender: user_id, content, while_membership };
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
