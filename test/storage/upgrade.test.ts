// A deployment of an old release is taken over: every migration since then runs over its data, and users go on where they were.
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { Database, type DatabaseAddress } from "../../src/storage/database.js";
import { fsck } from "../../src/storage/fsck.js";
import { migrate } from "../../src/storage/migrations.js";
import { objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { cutLink } from "../support/cut-link.js";
import { emptyDatabase } from "../support/postgres.js";
import { passwordOf, startTestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const ROOM = "!-ZRmwp0Haw3GCMVo-fECpTEC:localhost";
const ALICE = { user_id: "@alice:localhost", device_id: "ALICE", access_token: "hsa_XWaBiitzNgQfqm9D2RViMZI8sYVBWW_TLgaJEsZ0PIc" };
const BOB = { user_id: "@bob:localhost", device_id: "BOB", access_token: "hsa_7-EzBLFP8h5bnnRovEsVdxTeha3m-1teeHKlRylUehk" };
const FILTER = "Nmnnl2GlE-XJZxRxbX-0A5";
/** Bob's last sync, from before the last message. */
const SINCE = "s1_21_108852274003968";
const FILES = 34;

const KNEX = `CREATE TABLE knex_migrations (id serial PRIMARY KEY, name varchar(255), batch integer, migration_time timestamptz);
  CREATE TABLE knex_migrations_lock (index serial PRIMARY KEY, is_locked integer)`;
const EMPTY = `DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP EXECUTE 'TRUNCATE ' || name || ' CASCADE'; END LOOP; END $$`;

/** A database as the release left it. */
async function oldDatabase(): Promise<DatabaseAddress> {
  const address = await emptyDatabase();
  const rows = await readFile("test/storage/old-release.sql", "utf8");
  const files = [...new Set(rows.match(/\b\d{4}_\w+\.sql\b/g))];
  expect(files).to.have.length(FILES);
  await using database = await Database.open({ address, poolSize: 1 });
  const session = await database.connect();
  for (const file of files) await session.query(await readFile(`migrations/${file}`, "utf8"));
  await session.query(KNEX);
  await session.query(EMPTY);
  // What the triggers made is in the rows already.
  await session.query("SET session_replication_role = replica");
  await session.query(rows);
  await session.end();
  return address;
}

/** Migrates in one go. */
async function atOnce(address: DatabaseAddress, progress: (line: string) => void): Promise<void> {
  await using database = await Database.open({ address, poolSize: 1 });
  await migrate(database, progress);
}

/** Migrates in runs that are killed, each a little later than the one before. */
async function killedAgainAndAgain(address: DatabaseAddress, progress: (line: string) => void): Promise<void> {
  let kills = 0;
  for (let statement = 1, done = false; !done; statement += statement < 24 ? 1 : 7) {
    await using link = await cutLink(address, statement, (statement >> 1) % 2 === 0 ? "before" : "behind");
    done = await Database.open({ address: link.address, poolSize: 1 })
      .then(async (database) => {
        await using opened = database;
        await migrate(opened, progress);
        return true;
      })
      .catch((error: unknown) => {
        // It fails for no other reason.
        if (!link.isCut) throw error;
        kills += 1;
        return false;
      });
  }
  expect(kills).to.be.greaterThan(15);
}

const RUNS: readonly [name: string, run: typeof atOnce][] = [
  ["at once", atOnce],
  ["by runs that are killed again and again", killedAgainAndAgain],
];

describe("an old release's data", () => {
  for (const [name, run] of RUNS) it(`is taken over ${name} with nothing lost, and users go on where they were`, async () => {
    const address = await oldDatabase();
    const said: string[] = [];
    await run(address, (line) => said.push(line));
    {
      await using database = await Database.open({ address, poolSize: 1 });
      const twice = { name: "test_twice", text: "SELECT name FROM knex_migrations GROUP BY name HAVING count(*) > 1" };
      expect(await database.read(twice, [])).to.deep.equal([]);
      expect(said.length).to.be.greaterThan(15);
      expect(said.every((line) => /^Migrating the database: \d{4}_[\w.]+\.sql$/.test(line))).to.equal(true);
      expect((await fsck(database)).problems).to.deep.equal([]);
    }
    await using server = await startTestServer({}, address);
    const [alice, bob] = [server.client(ALICE), server.client(BOB)];
    const room = `${V3}/rooms/${encodeURIComponent(ROOM)}`;

    const { body: initial } = await bob.get(`${V3}/sync`);
    expect(objectsAt(initial, "to_device", "events")).to.deep.equal([{ type: "org.example.test", sender: ALICE.user_id, content: { waiting: true } }]);
    const { body: sync } = await bob.get(`${V3}/sync?since=${SINCE}`);
    const joined = objectAt(sync, "rooms", "join", ROOM);
    expect(objectsAt(joined, "timeline", "events").map((event) => stringAt(event, "content", "body"))).to.deep.equal(["after bob's sync"]);
    // The last message, and that of the thread, which came after the one that Bob has read.
    expect(objectAt(joined, "unread_notifications")).to.deep.equal({ notification_count: 2, highlight_count: 0 });
    const { body: page } = await alice.get(`${room}/messages?dir=b&limit=50`);
    const events = objectsAt(page, "chunk");
    expect(events.at(-1)).to.have.property("type", "m.room.create");
    const bodies = events.flatMap((event) => stringAt(event, "content", "body") ?? []);
    expect(bodies).to.deep.equal(["after bob's sync", "in a thread", "message 5", "message 4", "message 1"]);
    const first = events.find((event) => stringAt(event, "content", "body") === "message 1");
    expect(objectAt(first, "unsigned", "m.relations", "m.thread")).to.include({ count: 1 });
    const threads = objectsAt((await alice.get(`${V3.replace("v3", "v1")}/rooms/${encodeURIComponent(ROOM)}/threads`)).body, "chunk");
    expect(threads).to.have.length(1);

    expect((await alice.get(`${V3}/directory/room/${encodeURIComponent("#old:localhost")}`)).body["room_id"]).to.equal(ROOM);
    expect((await alice.get(`${V3}/user/${ALICE.user_id}/account_data/org.example.kept`)).body).to.deep.equal({ kept: true });
    expect((await alice.get(`${V3}/user/${ALICE.user_id}/filter/${FILTER}`)).body).to.deep.equal({ room: { timeline: { limit: 3 } } });
    expect((await bob.get(`${V3}/pushrules/global/room/${encodeURIComponent(ROOM)}`)).body["actions"]).to.deep.equal(["notify"]);
    expect((await bob.get(`${V3}/profile/${ALICE.user_id}/displayname`)).body).to.deep.equal({ displayname: "Alice" });
    const login = await server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: "bob" }, password: passwordOf("bob") });
    expect(login.status).to.equal(200);

    expect((await bob.put(`${room}/send/m.room.message/after`, { msgtype: "m.text", body: "after the upgrade" })).status).to.equal(200);
    const { body: next } = await bob.get(`${V3}/sync?since=${stringAt(sync, "next_batch")}`);
    expect(objectsAt(next, "rooms", "join", ROOM, "timeline", "events").map((event) => stringAt(event, "content", "body"))).to.deep.equal(["after the upgrade"]);
    expect((await fsck(server.database)).problems).to.deep.equal([]);
  });
});
