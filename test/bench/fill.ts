// Fills a Hansa with a million messages that can be read and searched, for scenarios that sending would take too long for:
// rooms, members and a first message of each room through the API of the running server, the others as copies of that
// first message with other words, straight into its database. They have nobody's signature: no other server would take them.
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { foldedWords } from "../../src/protocol/search-text.js";
import { Database } from "../../src/storage/database.js";
import { replaceTexts, SEARCH_KEYS, type SearchRow } from "../../src/storage/search.js";
import type { Statement } from "../../src/storage/statement.js";
import { isObject } from "../support/json-path.js";
import { BenchClient } from "./client.js";
import { inParallel } from "./measure.js";
import { FILLED_VOCABULARY, PASSWORD, SEARCHER } from "./target.js";
import { Vocabulary } from "./vocabulary.js";

const USAGE = `usage: node dist/test/bench/fill.js --target URL --database URL [options]
  --target URL     a Hansa with open registration and without rate limits; restart it afterwards
  --database URL   its database
  --rooms N        default 1000
  --joined N       in how many of them the user is who searches (default 300)
  --messages N     in all rooms (default 1000000)`;

/** Over so long the messages are spread. */
const SPREAD_MS = 365 * 86_400_000;
const BATCH = 5_000;

interface Template {
  readonly nid: number;
  readonly room_nid: number;
  readonly sender_nid: number;
  readonly depth: number;
  readonly ordinal: number;
  readonly json: string;
}

/** The last message of each room, from which the others are made. */
const TEMPLATES: Statement<Template> = {
  name: "fill_templates",
  text: `SELECT e.nid, e.room_nid, e.sender_nid, e.depth, e.ordinal, m.json
    FROM events e JOIN message_json m USING (nid) JOIN users u ON u.nid = e.sender_nid
    WHERE u.user_id = $1 AND e.tuple_nid IS NULL AND e.ordinal IS NOT NULL ORDER BY e.nid`,
};
// The numbers are taken all at once, a block further than the last that a process has.
const NUMBERS: Statement<{ first: number }> = {
  name: "fill_numbers",
  text: `SELECT setval('event_nids', (nextval('event_nids') + $1 + 1000) / 1000 * 1000 + 1) - $1 AS first`,
};
const POSITION: Statement<{ position: number }> = { name: "fill_position", text: "SELECT nextval('log_position') AS position" };
const EVENTS: Statement = {
  name: "fill_events",
  text: `INSERT INTO events (nid, room_nid, event_id, type_nid, sender_nid, depth, origin_server_ts, position, ordinal, flags, state_before, prev_nids, auth_nids)
    SELECT row.nid, t.room_nid, row.event_id, t.type_nid, t.sender_nid, row.depth, row.ts, $2, row.ordinal, 0, t.state_before, ARRAY[row.prev], t.auth_nids
    FROM json_to_recordset($1::json) AS row (nid bigint, event_id text, depth bigint, ts bigint, ordinal bigint, prev bigint, template bigint)
      JOIN events t ON t.nid = row.template`,
};
const BODIES: Statement = {
  name: "fill_bodies",
  text: "INSERT INTO message_json (nid, json) SELECT nid, json FROM json_to_recordset($1::json) AS row (nid bigint, json text)",
};
const ENDS: Statement = {
  name: "fill_ends",
  text: `UPDATE rooms SET revision = revision + 1, extremities = ARRAY[row.nid], ordinal = row.ordinal
    FROM json_to_recordset($1::json) AS row (room bigint, nid bigint, ordinal bigint) WHERE rooms.nid = row.room`,
};

const { values: options } = parseArgs({
  options: {
    target: { type: "string" },
    database: { type: "string" },
    rooms: { type: "string", default: "1000" },
    joined: { type: "string", default: "300" },
    messages: { type: "string", default: "1000000" },
  },
});

/** Makes the rooms and gives the user id of who writes in them. */
async function makeRooms(client: BenchClient, rooms: number, joined: number): Promise<string> {
  const searcher = await client.register(SEARCHER, PASSWORD);
  const writer = await client.register(`${SEARCHER}-friend`, PASSWORD);
  await inParallel(rooms, 8, async (number) => {
    const room = await client.createRoom(writer, "public_chat");
    if (number < joined) await client.join(searcher, room);
    await client.send(writer, room, `fill-${number}`, "the first message");
  });
  return writer.userId;
}

/** The text of a message's event with another body, place and moment. */
function copyOf(json: string, body: string, depth: number, ts: number): string {
  const event: unknown = JSON.parse(json);
  if (!isObject(event)) throw new Error("an event that is no object");
  return JSON.stringify({ ...event, content: { msgtype: "m.text", body }, depth, origin_server_ts: ts });
}

async function fill(database: Database, writer: string, messages: number): Promise<void> {
  const templates = await database.read(TEMPLATES, [writer]);
  const last = templates.map(({ nid, depth, ordinal }) => ({ nid, depth, ordinal }));
  const [{ first } = { first: 0 }] = await database.write(NUMBERS, [messages]);
  const [{ position } = { position: 0 }] = await database.write(POSITION, []);
  const vocabulary = new Vocabulary(FILLED_VOCABULARY);
  const begin = Date.now() - SPREAD_MS;
  for (let done = 0; done < messages; done += BATCH) {
    const events: object[] = [];
    const bodies: object[] = [];
    const texts: SearchRow[] = [];
    for (let number = done; number < Math.min(done + BATCH, messages); number++) {
      const at = number % templates.length;
      const [template, end] = [templates[at], last[at]];
      if (template === undefined || end === undefined) throw new Error("no rooms");
      const [nid, depth, ordinal] = [first + number, end.depth + 1, end.ordinal + 1];
      const ts = begin + Math.floor((number / messages) * SPREAD_MS);
      const body = vocabulary.message();
      events.push({ nid, event_id: `$${randomBytes(32).toString("base64url")}`, depth, ts, ordinal, prev: end.nid, template: template.nid });
      bodies.push({ nid, json: copyOf(template.json, body, depth, ts) });
      const { room_nid, sender_nid } = template;
      texts.push({ nid, text_nid: nid, room_nid, sender_nid, position, sent_ts: ts, key: SEARCH_KEYS["content.body"], words: foldedWords(body) });
      last[at] = { nid, depth, ordinal };
    }
    await database.transaction(async (tx) => {
      await tx.query(EVENTS, [JSON.stringify(events), position]);
      await tx.query(BODIES, [JSON.stringify(bodies)]);
      await replaceTexts(tx, [], texts);
    });
    if ((done / BATCH) % 20 === 0) console.log(`${done + events.length} messages`);
  }
  const ends = templates.map(({ room_nid }, at) => ({ room: room_nid, nid: last[at]?.nid, ordinal: last[at]?.ordinal }));
  await database.write(ENDS, [JSON.stringify(ends)]);
  await database.write({ name: "fill_analyze", text: "ANALYZE events, message_json, search_index, rooms" }, []);
}

if (options.target === undefined || options.database === undefined) {
  console.log(USAGE);
  process.exitCode = 2;
} else {
  using client = new BenchClient(options.target);
  await using database = await Database.open({ address: { url: options.database }, poolSize: 2, statementTimeoutMs: 600_000 });
  const writer = await makeRooms(client, Number(options.rooms), Number(options.joined));
  await fill(database, writer, Number(options.messages));
  console.log("Filled. The server has to be started anew.");
}
