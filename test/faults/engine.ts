// A process with the whole engine of rooms and nothing else, asked over IPC: what the fault tests kill.
import type { RoomId } from "../../src/protocol/identifiers.js";
import { parseRoomId } from "../../src/protocol/identifiers.js";
import { MatrixError } from "../../src/errors.js";
import { systemClock } from "../../src/clock.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { EmbeddedPostgres } from "../../src/storage/embedded-postgres.js";
import { eventsByNid, timelineForwards } from "../../src/storage/events.js";
import { fsck } from "../../src/storage/fsck.js";
import { LOG_CHANNEL, LogFollower, readLog } from "../../src/storage/log.js";
import { migrate } from "../../src/storage/migrations.js";
import { roomsById } from "../../src/storage/rooms.js";
import { Database } from "../../src/storage/database.js";
import { createRoom, message, startProcess, state, user } from "../support/rooms.js";

/** What the process is asked; `id` comes back with the answer. */
export type Question =
  | { readonly id: number; readonly ask: "create" }
  | { readonly id: number; readonly ask: "send"; readonly room: string; readonly body: string; readonly state: boolean; readonly txn: string }
  | { readonly id: number; readonly ask: "sync"; readonly since: number }
  | { readonly id: number; readonly ask: "timeline"; readonly room: string }
  | { readonly id: number; readonly ask: "pid" | "fsck" | "stop" }
  | { readonly id: number; readonly ask: "sql"; readonly text: string };

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

export interface SyncAnswer {
  readonly events: readonly string[];
  readonly next: number;
}

export interface TimelineEntry {
  readonly event_id: string;
  readonly body: string | undefined;
}

const SENDER = user("alice");

async function main(dataFolder: string): Promise<void> {
  const postgres = await EmbeddedPostgres.start({ dataFolder });
  const address = { socketFolder: postgres.socketFolder, user: postgres.user, database: "postgres" };
  const boot = await Database.open({ address, poolSize: 1 });
  await migrate(boot);
  await boot.close();
  const bus = new MemoryBus();
  const engine = await startProcess(address, { onCommit: (position) => bus.publish(LOG_CHANNEL, String(position)) });
  const follower = await LogFollower.start(engine.database, bus, systemClock);
  const { database } = engine;

  const roomNid = async (room: string): Promise<number> => {
    const found = (await roomsById(database, [room])).get(room);
    if (found === undefined) throw new Error(`there is no room ${room}`);
    return found.nid;
  };

  const answer = async (question: Question): Promise<unknown> => {
    switch (question.ask) {
      case "create":
        return (await createRoom(engine, SENDER)).room_id;
      case "send": {
        const { room, body, txn } = question;
        const transaction = { device_id: "D", txn_id: txn, endpoint: `send ${room}` };
        const draft = question.state
          ? { ...state(SENDER, "m.room.topic", { topic: body, body }), transaction }
          : { ...message(SENDER, body), transaction };
        const [result] = await engine.owners.submit(roomIdOf(room), [draft]);
        if (result === undefined || "error" in result) throw result?.error ?? new Error("no result");
        return result.event_id;
      }
      case "sync": {
        const upTo = follower.head;
        const entries = await readLog(database, { after: question.since, upTo }, { kinds: ["event"] });
        const events = await eventsByNid(database, entries.flatMap((entry) => entry.reference ?? []));
        const ids = entries.map((entry) => events.get(entry.reference ?? 0)?.event_id ?? "missing");
        return { events: ids, next: Math.max(upTo, question.since) } satisfies SyncAnswer;
      }
      case "timeline": {
        const all = { after: 0, upTo: Number.MAX_SAFE_INTEGER };
        const events = await timelineForwards(database, await roomNid(question.room), all, 1_000_000);
        return events.map(({ event_id, json }): TimelineEntry => {
          const { content } = JSON.parse(json) as { content: { body?: string } };
          return { event_id, body: content.body };
        });
      }
      case "pid":
        return postgres.pid();
      case "fsck":
        return await fsck(database);
      case "sql":
        return await database.write({ name: "", text: question.text }, []);
      case "stop":
        await follower.close();
        await engine[Symbol.asyncDispose]();
        await postgres.stop();
        return "stopped";
      default:
        throw new Error("no such question");
    }
  };

  process.on("message", (question: Question) => {
    answer(question)
      .then(
        (value): Answer => ({ id: question.id, value }),
        (error: unknown): Answer => ({ id: question.id, error: describe(error) }),
      )
      .then((said) => {
        process.send?.(said);
        if (question.ask === "stop") process.disconnect();
        return said;
      })
      .catch(() => process.exit(1));
  });
  process.send?.({ id: 0, value: "ready" } satisfies Answer);
}

function roomIdOf(room: string): RoomId {
  const id = parseRoomId(room);
  if (id === undefined) throw new Error("no room id");
  return id;
}

function describe(error: unknown): string {
  return error instanceof MatrixError ? `${error.status} ${error.errcode} ${error.message}` : String(error);
}

await main(process.argv[2] ?? "");
