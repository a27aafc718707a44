// What one process remembers of access tokens, and what another makes it forget.
import { expect } from "chai";
import { AccessTokens, tokenDigest } from "../../src/accounts/access-tokens.js";
import { systemClock, type Clock } from "../../src/clock.js";
import { MatrixError } from "../../src/errors.js";
import type { DeviceId, UserId } from "../../src/protocol/identifiers.js";
import { insertToken } from "../../src/storage/access-tokens.js";
import { createAccount } from "../../src/storage/accounts.js";
import { MemoryBus } from "../../src/storage/bus.js";
import { Database } from "../../src/storage/database.js";
import { deleteDevices, ensureDevice } from "../../src/storage/devices.js";
import { LogFollower } from "../../src/storage/log.js";
import { freshDatabase } from "../support/postgres.js";

describe("AccessTokens", () => {
  let database: Database;
  let userNid: number;
  const device = "DEVICE" as DeviceId;

  before(async () => {
    database = await Database.open({ address: await freshDatabase(), poolSize: 2 });
    userNid = await database.transaction(async (tx) => {
      const account = { user_id: "@a:localhost" as UserId, password_hash: null, is_admin: false, created_ts: 0 };
      return (await createAccount(tx, account)) ?? 0;
    });
  });
  after(() => database.close());

  async function open(token: string): Promise<void> {
    await database.transaction(async (tx) => {
      await ensureDevice(tx, { user_nid: userNid, device_id: device, display_name: undefined, created_ts: 0, ip: undefined });
      await insertToken(tx, {
        access_digest: tokenDigest(token),
        refresh_digest: undefined,
        user_nid: userNid,
        device_id: device,
        expires_ts: undefined,
        refresh_expires_ts: undefined,
      });
    });
  }

  const outcome = (tokens: AccessTokens, token: string): Promise<string> =>
    tokens.authenticate(token).then(
      ({ user_id }) => user_id,
      (error: unknown) => (error instanceof MatrixError ? error.errcode : "failed"),
    );

  it("learns from the log that a token was revoked elsewhere", async () => {
    await open("one");
    await using follower = await LogFollower.start(database, new MemoryBus(), systemClock);
    const tokens = new AccessTokens(database, systemClock);
    const unfollow = tokens.follow(follower);
    expect(await outcome(tokens, "one")).to.equal("@a:localhost");
    // Another process deletes the device: this one has nothing but the log to tell it.
    const position = await new Promise<number>((resolve, reject) => {
      database
        .transaction(async (tx) => {
          await deleteDevices(tx, userNid, [device]);
          tx.append([{ kind: "invalidation", user_nid: userNid, device }]);
          tx.afterCommit((at) => resolve(at ?? 0));
        })
        .catch(reject);
    });
    expect(await follower.reached(position, 60_000)).to.equal(true);
    expect(await outcome(tokens, "one")).to.equal("M_UNKNOWN_TOKEN");
    unfollow();
  });

  it("believes nothing it remembers while the log cannot be followed", async () => {
    await open("two");
    let behind = 0;
    const clock: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + behind };
    await using follower = await LogFollower.start(database, new MemoryBus(), clock);
    const tokens = new AccessTokens(database, clock);
    tokens.follow(follower);
    expect(await outcome(tokens, "two")).to.equal("@a:localhost");
    await database.transaction((tx) => deleteDevices(tx, userNid, [device]));
    expect(await outcome(tokens, "two")).to.equal("@a:localhost");
    behind = 60_000;
    expect(follower.healthy).to.equal(false);
    expect(await outcome(tokens, "two")).to.equal("M_UNKNOWN_TOKEN");
  });
});
