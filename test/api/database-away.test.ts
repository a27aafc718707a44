// What clients and load balancers are told while the database cannot do its work, and that all goes on afterwards.
import { expect } from "chai";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../support/eventually.js";
import { refusal, roomOf, startTestServer, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";

/** Tells PostgreSQL whether new sessions may write, and ends all others. */
async function setReadOnly({ database }: TestServer, on: boolean): Promise<void> {
  const session = await database.connect();
  await session.query("SET default_transaction_read_only = off");
  const { rows } = await session.query<{ name: string }>("SELECT quote_ident(current_database()) AS name");
  await session.query(`ALTER DATABASE ${rows[0]?.name ?? ""} ${on ? "SET default_transaction_read_only = on" : "RESET default_transaction_read_only"}`);
  // A session that is being opened meanwhile has the old setting, and is not in the list yet.
  for (let turn = 0; turn < 2; turn += 1) {
    await session.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    if (turn === 0) await sleep(500);
  }
  await session.end();
}

describe("a database that takes no writes", () => {
  it("lets clients read and try again, and load balancers go elsewhere", async () => {
    await using server = await startTestServer();
    const alice = await server.register("alice");
    const room = encodeURIComponent(await roomOf(alice));
    const ready = async (): Promise<number> => (await fetch(`${server.url}/ready`)).status;
    const send = (txn: string): ReturnType<typeof alice.put> => alice.put(`${V3}/rooms/${room}/send/m.room.message/${txn}`, { msgtype: "m.text", body: txn });
    expect((await send("before")).status).to.equal(200);
    expect(await ready()).to.equal(200);
    await setReadOnly(server, true);
    let tried = 0;
    try {
      const refused = await eventually("a message is refused", async () => {
        const answer = await send(`try-${(tried += 1)}`);
        return answer.status === 503 ? answer : undefined;
      });
      expect(refused.headers.get("retry-after")).to.equal("1");
      expect(refusal(refused)).to.deep.equal([503, "M_UNKNOWN"]);
      await eventually("nothing else is taken", async () => ((await alice.put(`${V3}/user/${alice.user_id}/account_data/org.example`, {})).status === 503));
      await eventually("it is not ready", async () => ((await ready()) === 503));
      await eventually("what was said can be read", async () => ((await alice.get(`${V3}/rooms/${room}/messages?dir=b`)).status === 200));
    } finally {
      // What has to be told of the server's end would be refused.
      await setReadOnly(server, false);
    }
    await eventually("it is ready", async () => ((await ready()) === 200));
    await eventually("the message is taken", async () => ((await send(`try-${tried}`)).status === 200));
  });
});
