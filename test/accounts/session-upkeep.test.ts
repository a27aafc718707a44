// Sessions that are not used end.
import { expect } from "chai";
import { eventually } from "../support/eventually.js";
import { startTestServer, type TestClient } from "../support/server.js";

const WHOAMI = "/_matrix/client/v3/account/whoami";
const DAY = 86_400_000;

describe("unused sessions", () => {
  it("end in every process, and no others", async () => {
    await using first = await startTestServer();
    const alice = await first.register("alice");
    const [old, fresh, neverUsed] = [await first.login("alice"), await first.login("alice"), await first.login("alice")];
    const age = (client: TestClient, seen: number | null, created: number): Promise<unknown> =>
      first.database.write(
        { name: "test_age", text: "UPDATE devices SET last_seen_ts = $2, created_ts = $3 WHERE device_id = $1" },
        [client.device_id, seen, created],
      );
    const now = Date.now();
    await age(old, now - 3 * DAY, now - 9 * DAY);
    await age(fresh, now - DAY, now - 9 * DAY);
    await age(neverUsed, null, now - 3 * DAY);
    await using second = await startTestServer({ tokens: { unused_session_lifetime: (2 * DAY) / 1000 } }, first.address);
    expect(second.url).to.not.equal("");
    for (const client of [old, neverUsed]) await eventually("the session has ended", async () => (await client.get(WHOAMI)).status === 401);
    for (const client of [alice, fresh]) expect((await client.get(WHOAMI)).status).to.equal(200);
  });
});
