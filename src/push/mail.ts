// Mails users about what they have not read for a while: everything in one, and the more rarely the more there is.
import { chooseLanguage } from "../accounts/languages.js";
import { type OutboxServices, post } from "../accounts/outbox.js";
import type { Config } from "../config.js";
import { serverNameOf } from "../protocol/identifiers.js";
import { ownString } from "../protocol/json.js";
import type { EventCache, ReadEvent } from "../rooms/views/event-cache.js";
import { mailPauses, setMailPauses } from "../storage/push-mail-pauses.js";
import { type ClaimedPusher, collapsePushes, deletePushes, type OwedPush, owedTo, type PusherRest } from "../storage/push-outbox.js";
import { type DigestRoom, digestMail } from "./digest.js";
import { namesIn } from "./notification.js";
import { unsubscribeLink } from "./unsubscribe.js";

/** Messages of a room that a mail shows, the newest. */
const SHOWN_PER_ROOM = 5;
const SHOWN_ROOMS = 10;
const BATCH = 1_000;
const LONGEST_PAUSE_MS = 86_400_000;
/** Each pause after a mail is so much longer than the one before. */
const GROWTH = 4;
/** After so long without a mail about a room pauses begin anew. */
const FORGOTTEN_MS = 43_200_000;
const EXPIRES_MS = 86_400_000;
const MAX_TEXT = 300;

export interface MailServices extends Pick<OutboxServices, "clock" | "database" | "secret"> {
  readonly config: Pick<Config, "push" | "servers" | "third_party_ids">;
  readonly events: EventCache;
  readonly outbox: { readonly wake: () => void };
}

/** Mails a user what is owed, if it is time: when to look again. */
export async function deliverMail(services: MailServices, pusher: ClaimedPusher): Promise<PusherRest> {
  const { config, clock, database } = services;
  await collapsePushes(database, pusher.nid, SHOWN_PER_ROOM);
  const owed = await owedTo(database, pusher, BATCH);
  const rooms = byRoom(owed.filter(({ event_nid, stands }) => event_nid !== null && stands));
  const pauses = await mailPauses(database, pusher.nid, [...rooms.keys()]);
  const now = clock.now();
  const delay = config.push.mail_delay_seconds * 1000;
  const due = [...rooms].map(([room, pushes]) => {
    const { sent_ts = 0, pause_ms = 0 } = pauses.get(room) ?? {};
    return Math.max((pushes[0]?.created_ts ?? now) + delay, sent_ts + pause_ms);
  });
  const earliest = Math.min(...due);
  const isDue = earliest <= now;
  const done = isDue ? owed : owed.filter(({ stands }) => !stands);
  const mail = isDue ? await compose(services, pusher, [...rooms.values()].slice(-SHOWN_ROOMS)) : undefined;
  const next = new Map(
    [...rooms.keys()].map((room) => {
      const before = pauses.get(room);
      const recent = before !== undefined && now - before.sent_ts < before.pause_ms + FORGOTTEN_MS;
      return [room, recent ? Math.min(LONGEST_PAUSE_MS, before.pause_ms * GROWTH) : delay];
    }),
  );
  await database.transaction(async (tx) => {
    await deletePushes(tx, pusher.nid, done.map(({ nid }) => nid));
    if (mail === undefined) return;
    await setMailPauses(tx, pusher.nid, now, next);
    await post(services, tx, mail, now + EXPIRES_MS);
    tx.afterCommit(() => services.outbox.wake());
  });
  // A room of which nothing is owed yet may be due before those that pause.
  const again = isDue || rooms.size === 0 ? 0 : Math.min(earliest, now + delay);
  return { retry_ts: again, failures: 0, failing_since: null };
}

function byRoom(pushes: readonly OwedPush[]): Map<number, OwedPush[]> {
  const rooms = new Map<number, OwedPush[]>();
  for (const push of pushes) {
    const known = rooms.get(push.room_nid);
    if (known === undefined) rooms.set(push.room_nid, [push]);
    else known.push(push);
  }
  return rooms;
}

async function compose(
  services: MailServices,
  pusher: ClaimedPusher,
  rooms: readonly (readonly OwedPush[])[],
): Promise<Parameters<typeof post>[2] | undefined> {
  const { config, database, events, secret } = services;
  const server = serverNameOf(pusher.user_id);
  const base = config.servers.find(({ name }) => name === server)?.public_base_url;
  // Mails without a way to end them are not sent; the settings ask for it wherever mails are.
  if (base === undefined) return undefined;
  const read = await events.load(database, rooms.flat().flatMap(({ event_nid }) => event_nid ?? []));
  const shown = await Promise.all(rooms.map((pushes) => roomOf(services, pushes.flatMap(({ event_nid }) => read.get(event_nid ?? 0) ?? []))));
  const filledRooms = shown.filter(({ messages }) => messages.length > 0);
  if (filledRooms.length === 0) return undefined;
  const unsubscribe = unsubscribeLink(secret, base, pusher);
  const language = chooseLanguage(pusher.lang, config.third_party_ids.language);
  const mail = digestMail(language, { server, user: pusher.user_id, rooms: filledRooms, unsubscribe });
  return { medium: "email", to: pusher.pushkey, ...mail, unsubscribe };
}

async function roomOf({ config, database, events }: MailServices, read: readonly ReadEvent[]): Promise<DigestRoom> {
  const [first] = read;
  if (first === undefined) return { name: "", messages: [] };
  const { room, alias, people } = await namesIn(events, database, first.row.room_nid, read.map(({ event }) => event.sender));
  const messages = read.map(({ event }) => ({
    sender: people.get(event.sender) ?? event.sender,
    text: config.push.mail_content && event.type === "m.room.message" ? ownString(event.content, "body")?.slice(0, MAX_TEXT) : undefined,
  }));
  return { name: room ?? alias ?? messages[0]?.sender ?? "", messages };
}
