// Signing keys: made once, sealed, replaced; and the secret key that seals them.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { checkConfig, ConfigError } from "../../src/config.js";
import type { ServerName } from "../../src/protocol/identifiers.js";
import { signText, verifyText } from "../../src/protocol/signing.js";
import { Database } from "../../src/storage/database.js";
import { loadSecretKey, seal, unseal } from "../../src/storage/sealing.js";
import { replaceSigningKey, SigningKeys } from "../../src/storage/signing-keys.js";
import { freshDatabase } from "../support/postgres.js";

const secretOf = (byte: number) => loadSecretKey(checkConfig({ secret_key: Buffer.alloc(32, byte).toString("base64") }));
const [one, two] = ["one.example" as ServerName, "two.example" as ServerName];

describe("signing keys", () => {
  let database: Database;
  before(async () => {
    database = await Database.open({ address: await freshDatabase(), poolSize: 4 });
  });
  after(() => database.close());

  it("are made once for each server, also when two processes start at once", async () => {
    const secret = secretOf(1);
    const [first, second] = await Promise.all([
      SigningKeys.load(database, secret, [one, two], 1),
      SigningKeys.load(database, secret, [two, one], 1),
    ]);
    expect(first.current(one).publicKey).to.equal(second.current(one).publicKey);
    expect(first.current(two).publicKey).to.equal(second.current(two).publicKey);
    expect(first.current(one).publicKey).to.not.equal(first.current(two).publicKey);
    expect(verifyText(second.current(one).publicKey, signText(first.current(one), "text"), "text")).to.equal(true);
    expect(() => first.current("other.example" as ServerName)).to.throw("not ours");
  });

  it("are replaced one server at a time", async () => {
    const secret = secretOf(1);
    const before = await SigningKeys.load(database, secret, [one, two], 1);
    const id = await replaceSigningKey(database, secret, one, 2);
    const after = await SigningKeys.load(database, secret, [one, two], 3);
    expect(after.current(one).id).to.equal(id).and.not.equal(before.current(one).id);
    expect(after.current(two).id).to.equal(before.current(two).id);
    // What runs knows it when it looks again; the old one may sign until all that runs has looked.
    const old = before.current(one);
    await before.refresh();
    expect(before.current(one).id).to.equal(id);
    expect(before.retired(one).map((key) => [key.id, key.expired_ts])).to.deep.equal([[old.id, 10_002]]);
    expect([...(before.all(one)?.keys() ?? [])]).to.have.members([old.id, id]);
  });

  it("cannot be opened with another secret key", async () => {
    const error = await SigningKeys.load(database, secretOf(2), [one], 1).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(ConfigError);
  });
});

describe("the secret key", () => {
  it("is made once in the data folder, for its owner only", () => {
    const folder = mkdtempSync(join(tmpdir(), "hansa-secret-"));
    try {
      const config = checkConfig({ data_folder: join(folder, "data") });
      const key = loadSecretKey(config);
      expect(loadSecretKey(config)).to.deep.equal(key);
      const file = join(folder, "data", "secret.key");
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      expect(Buffer.from(readFileSync(file, "utf8"), "base64")).to.have.length(32);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("opens what it sealed, and nothing else", () => {
    const text = Buffer.from("secret");
    const sealed = seal(secretOf(1), text);
    expect(sealed.includes(text)).to.equal(false);
    expect(Buffer.from(unseal(secretOf(1), sealed) ?? [])).to.deep.equal(text);
    expect(unseal(secretOf(2), sealed)).to.equal(undefined);
    const altered = Buffer.from(sealed);
    altered[30] = (altered[30] ?? 0) ^ 1;
    expect(unseal(secretOf(1), altered)).to.equal(undefined);
  });
});
