// Mails about what is unread.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { startMailbox, type Mailbox } from "../support/mailbox.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

const HOUR = 3_600_000;
const V3 = "/_matrix/client/v3";
const BASE = "https://matrix.example.org";
const ADDRESS = "bob@example.org";

describe("mails about what is unread", () => {
  let mailbox: Mailbox;
  let server: TestServer;
  let alice: TestClient;
  let bob: TestClient;
  let room: string;
  let sent = 0;
  beforeEach(async () => {
    mailbox = await startMailbox();
    server = await startTestServer({
      servers: [{ name: "localhost", public_base_url: BASE }],
      mail: { host: "127.0.0.1", port: mailbox.port, security: "none" },
      push: { mail_delay_seconds: HOUR / 1000 },
    });
    [alice, bob] = await Promise.all([server.register("alice"), server.register("bob")]);
    const text = `INSERT INTO third_party_ids SELECT 'localhost', 'email', $2, nid, 0, 0 FROM users WHERE user_id = $1`;
    await server.database.write({ name: "add_address", text }, [bob.user_id, ADDRESS]);
    room = await newRoom("Harbour <b>");
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    await mailbox[Symbol.asyncDispose]();
  });

  async function newRoom(name: string): Promise<string> {
    const id = stringAt((await alice.post(`${V3}/createRoom`, { name, preset: "public_chat" })).body, "room_id") ?? "";
    await bob.post(`${V3}/join/${id}`);
    return id;
  }
  async function send(body: string, to = room, type = "m.room.message"): Promise<string> {
    const answer = await alice.put(`${V3}/rooms/${to}/send/${type}/t${++sent}`, { msgtype: "m.text", body });
    return stringAt(answer.body, "event_id") ?? "";
  }
  async function setPusher(more: object = {}): Promise<unknown> {
    const names = { app_id: "m.email", app_display_name: "Mail", device_display_name: ADDRESS, lang: "es-AR" };
    const { status, body } = await bob.post(`${V3}/pushers/set`, { kind: "email", pushkey: "Bob@Example.org", ...names, data: {}, ...more });
    return status === 200 ? status : body["errcode"];
  }
  /** Looks now: before, only when something was due. */
  const look = (): Promise<unknown> => server.database.write({ name: "test_look", text: "UPDATE pushers SET retry_ts = 0" }, []);
  const settled = (): Promise<unknown> =>
    eventually("nothing owed", async () => {
      await look();
      return (await server.database.read({ name: "owed", text: "SELECT FROM push_outbox" }, [])).length === 0;
    });
  /** Waits for mails, an hour after all that has happened. */
  async function mailsAfterAnHour(count: number): Promise<void> {
    expect(mailbox.mails.length, "none before its time").to.equal(count - 1);
    for (const [table, column] of [["push_outbox", "created_ts"], ["push_mail_pauses", "sent_ts"]]) {
      await server.database.write({ name: `test_hour_${table}`, text: `UPDATE ${table} SET ${column} = ${column} - ${HOUR}` }, []);
    }
    await eventually("the mail", async () => {
      await look();
      return mailbox.mails.length >= count;
    });
  }

  it("one mail of all that is unread, in the user's language, that shows texts as texts", async () => {
    expect(await setPusher()).to.equal(200);
    await alice.put(`${V3}/profile/${alice.user_id}/displayname`, { displayname: "Al <i>" });
    const other = await newRoom("Quay");
    await send("first <script>");
    const read = await send("read meanwhile", other);
    await bob.post(`${V3}/rooms/${other}/receipt/m.read/${read}`);
    await send("ciphertext", other, "m.room.encrypted");
    await mailsAfterAnHour(1);
    const [mail] = mailbox.mails;
    expect(mail?.to).to.equal(ADDRESS);
    expect(mail?.subject).to.equal("Mensajes nuevos en 2 salas en localhost");
    expect(mail?.text).to.include("first <script>").and.include("Harbour <b>").and.include("Quay").and.include("(un mensaje)");
    expect(mail?.text).to.not.include("read meanwhile").and.not.include("ciphertext");
    expect(mail?.raw.replaceAll("=\r\n", "")).to.not.match(/<script>\s*<\/p>/);
    // A header goes on where the next line begins with a space.
    expect(mail?.raw.replaceAll(/\r\n[ \t]/g, " ")).to.match(/^List-Unsubscribe: +<https:\/\/matrix\.example\.org\/_hansa\/client\/v1\/unsubscribe\?[!-~]+>$/im).and.include("List-Unsubscribe=One-Click");
    await settled();
    expect(mailbox.mails).to.have.lengthOf(1);
  });

  it("nothing of what is read in time, and pauses that grow", async () => {
    await setPusher();
    await bob.post(`${V3}/rooms/${room}/receipt/m.read/${await send("quickly read")}`);
    await settled();
    expect(mailbox.mails).to.deep.equal([]);
    const pauses = async (): Promise<number[]> => {
      const rows = await server.database.read<{ pause_ms: number }>({ name: "pauses", text: "SELECT pause_ms FROM push_mail_pauses" }, []);
      return rows.map(({ pause_ms }) => pause_ms);
    };
    await send("one");
    await mailsAfterAnHour(1);
    expect(await pauses()).to.deep.equal([HOUR]);
    await send("two");
    await mailsAfterAnHour(2);
    expect(await pauses()).to.deep.equal([4 * HOUR]);
    // Another room does not wait for the one that pauses.
    await send("paused");
    const other = await newRoom("Quay");
    await send("elsewhere", other);
    await mailsAfterAnHour(3);
    expect(mailbox.mails[2]?.text).to.include("elsewhere");
  });

  it("end by the link, with one click and with the button, and with the address", async () => {
    expect(await setPusher({ pushkey: "alice@example.org" })).to.equal("M_THREEPID_NOT_FOUND");
    expect(await setPusher({ app_id: "other" })).to.equal("M_INVALID_PARAM");
    const pushers = async (): Promise<number> => objectsAt((await bob.get(`${V3}/pushers`)).body, "pushers").length;
    await setPusher();
    await send("one");
    await mailsAfterAnHour(1);
    const link = /https:\S+unsubscribe\?\S+/.exec(mailbox.mails[0]?.text ?? "")?.[0]?.replace(BASE, server.url) ?? "";
    expect((await fetch(link)).status).to.equal(200);
    expect((await fetch(link.replace(/token=.{5}/, "token=wrong"), { method: "POST" })).status).to.equal(404);
    expect(await pushers()).to.equal(1);
    const click = { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "List-Unsubscribe=One-Click" };
    for (let times = 0; times < 2; times += 1) expect((await fetch(link, click)).status).to.equal(200);
    expect(await pushers()).to.equal(0);
    await setPusher();
    await bob.post(`${V3}/account/3pid/delete`, { medium: "email", address: ADDRESS });
    expect(await pushers()).to.equal(0);
  });
});
