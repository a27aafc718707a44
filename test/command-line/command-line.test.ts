// The command as it is typed: its output, its refusals, its exit codes.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { ConfigError, loadConfig } from "../../src/config.js";
import { eventually } from "../support/eventually.js";
import { freshDatabase } from "../support/postgres.js";
import { objectAt } from "../support/json-path.js";
import { databaseUrl } from "../support/server.js";

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ten lists, each of ten times the one before. */
const ALIASES = Array.from({ length: 10 }, (_, n) => `a${n}: &a${n} [${Array.from({ length: 10 }, () => (n === 0 ? "x" : `*a${n - 1}`)).join()}]`).join("\n");

describe("the command line", () => {
  let folder: string;
  let environment: NodeJS.ProcessEnv;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "hansa-command-"));
    const url = databaseUrl(await freshDatabase());
    const { PATH } = process.env;
    environment = { PATH, DATABASE_URL: url, HANSA_DATA_FOLDER: folder, HANSA_PASSWORDS_MEMORY_KIB: "8" };
  });
  after(() => rmSync(folder, { recursive: true }));

  function hansa(words: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, ["dist/src/main.js", ...words], { env: { ...environment, ...options.env } });
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, stdout, stderr }));
      child.stdin.end(options.input ?? "");
    });
  }

  function settings(text: string): string {
    const file = join(folder, "hansa.yaml");
    writeFileSync(file, text);
    return file;
  }

  it("explains each command", async () => {
    expect((await hansa(["help"])).code).to.equal(0);
    const words = [[], ["serve"], ["migrate"], ["user", "create"], ["user", "password"], ["user", "admin"], ["config", "check"], ["key", "generate"], ["fsck"], ["restored"], ["rebuild", "state"], ["rebuild", "counts"], ["rebuild", "search"], ["registration-token", "create"], ["config", "example"], ["openapi"]];
    for (const command of words) {
      const { code, stdout } = await hansa([...command, "--help"]);
      expect([command, code]).to.deep.equal([command, 0]);
      expect(stdout).to.match(/^Usage: hansa/);
    }
  }).timeout(600_000);

  it("keeps config/example.yaml as the schema makes it", async () => {
    const { stdout } = await hansa(["config", "example"]);
    expect(stdout, "run: node dist/src/main.js config example > config/example.yaml").to.equal(readFileSync("config/example.yaml", "utf8"));
    expect(await hansa(["config", "check", "--config", "config/example.yaml"])).to.deep.equal({
      code: 0,
      stdout: "The configuration is sound; it serves localhost.\n",
      stderr: "",
    });
  });

  const faults: [name: string, yaml: string, sentence: string][] = [
    ["an unknown setting", "listen: { prot: 1 }", "listen has a setting that does not exist: prot."],
    ["a wrong type", "listen: { port: eighty }", "listen.port must be integer."],
    ["a port out of range", "listen: { port: 70000 }", "listen.port must be <= 65535."],
    ["a bad server name", "servers: [{ name: 'a b' }]", "servers.0.name must be a server name such as example.org or example.org:8448."],
    ["the same server twice", "servers: [{ name: a, public_base_url: 'http://a' }, { name: a, public_base_url: 'http://b' }]", "servers names a twice."],
    ["several servers without addresses", "servers: [{ name: a }, { name: b }]", "servers needs a public_base_url for each server as soon as there are several: it tells them apart."],
    ["a bad database", "database: { url: 'mysql://x' }", "database.url must be an address that starts with postgres://."],
    ["a bad proxy", "listen: { trusted_proxies: ['10.0.0.0/64'] }", "listen.trusted_proxies.0 must be an IP address or a range such as 10.0.0.0/8."],
    ["an unknown room version", "rooms: { default_version: 13 }", "rooms.default_version must be a room version from 1 to 12."],
    ["a secret given twice", "registration: { shared_secret: abcdefgh, shared_secret_file: /x }", "Set either shared_secret or shared_secret_file, not both."],
    ["a secret in a file that is not there", "registration: { shared_secret_file: /nowhere/x }", "The file /nowhere/x cannot be read."],
    ["the secret of the example", "registration: { shared_secret: a long random text }", "registration.shared_secret is the one of the example, which everybody knows: choose another."],
    ["closed registration with tokens", "registration: { open: false, require_token: true }", "registration.require_token needs registration.open: with registration closed no token helps."],
    ["metrics on the same port", "metrics: { enabled: true, port: 8008 }", "metrics.port is the port of listen.port: choose another, or leave it out to share the listener."],
    ["broken YAML", "a: [", "hansa.yaml is not valid YAML (line 1)."],
    ["aliases that grow without end", ALIASES, "hansa.yaml is not valid YAML."],
    ["no settings at all", "just text", "must hold settings as"],
  ];
  for (const [name, yaml, sentence] of faults) {
    it(`refuses ${name} with one sentence`, () => {
      // In this process: starting one for each takes long.
      expect(() => loadConfig(settings(yaml), {}))
        .to.throw(ConfigError)
        .with.property("message")
        .that.contains(sentence)
        .and.does.not.contain("\n");
    });
  }

  it("ends with code 2 and no stack trace when it is refused", async () => {
    const outcome = await hansa(["serve", "-c", settings("listen: { prot: 1, port: 70000 }")]);
    expect(outcome).to.deep.equal({
      code: 2,
      stdout: "",
      stderr: "listen has a setting that does not exist: prot.\nlisten.port must be <= 65535.\n",
    });
  });

  it("ends with code 2 when it does not know the words", async () => {
    const unknown: [words: string[], says: string][] = [
      [["nonsense"], "error: unknown command 'nonsense'\n"],
      [["serve", "--nonsense"], "error: unknown option '--nonsense'\n"],
      [["user", "create"], "error: missing required argument 'name'\n"],
      [["fsck", "too", "much"], "error: too many arguments for 'fsck'. Expected 0 arguments but got 2.\n"],
      [["rebuild"], "Usage: hansa rebuild"],
    ];
    for (const [words, says] of unknown) {
      const { code, stdout, stderr } = await hansa(words);
      expect([words, code, stdout]).to.deep.equal([words, 2, ""]);
      expect(stderr).to.contain(says).and.to.not.contain("    at ");
    }
  }).timeout(600_000);

  it("says the same to programs", async () => {
    const refused = await hansa(["fsck", "--json"], { env: { DATABASE_URL: "postgres://hansa:hidden@127.0.0.1:1/hansa" } });
    expect([refused.code, JSON.parse(refused.stdout)]).to.deep.equal([
      2,
      { error: "The database at 127.0.0.1:1/hansa cannot be reached (ECONNREFUSED). Check database.url." },
    ]);
    const { code, stdout } = await hansa(["config", "check", "--json", "-c", settings("listen: { port: -1 }")]);
    expect([code, JSON.parse(stdout)]).to.deep.equal([2, { valid: false, errors: ["listen.port must be >= 0."] }]);
  });

  it("creates users, changes passwords, makes administrators", async () => {
    const created = await hansa(["user", "create", "alice", "--json"], { input: "a good password\n" });
    expect(created.stderr).to.equal("");
    expect(JSON.parse(created.stdout)).to.deep.equal({ user_id: "@alice:localhost", admin: false });
    const again = await hansa(["user", "create", "alice"], { input: "a good password\n" });
    expect([again.code, again.stderr]).to.deep.equal([2, "This user name is taken.\n"]);
    const weak = await hansa(["user", "create", "bob"], { input: "short\n" });
    expect([weak.code, weak.stderr]).to.deep.equal([2, "A password must have at least 8 characters.\n"]);
    const none = await hansa(["user", "create", "bob"]);
    expect([none.code, none.stderr]).to.deep.equal([2, "No password was given on standard input.\n"]);
    const password = await hansa(["user", "password", "@alice:localhost"], { input: "a better password\n" });
    expect(password.stdout).to.equal("The password of @alice:localhost was changed.\n");
    const missing = await hansa(["user", "admin", "carol"]);
    expect([missing.code, missing.stderr]).to.deep.equal([2, "There is no user @carol:localhost.\n"]);
    const foreign = await hansa(["user", "admin", "@alice:example.org"]);
    expect([foreign.code, foreign.stderr]).to.deep.equal([2, "@alice:example.org is not a user of this server.\n"]);
    const admin = await hansa(["user", "admin", "alice"]);
    expect(admin.stdout).to.equal("@alice:localhost is now an administrator.\n");
    const token = await hansa(["registration-token", "create", "--uses", "1", "--json"]);
    expect(JSON.parse(token.stdout)).to.include({ uses_allowed: 1, expires_ts: null });
    const key = await hansa(["key", "generate", "--json"]);
    expect(JSON.parse(key.stdout)).to.have.property("key_id").that.matches(/^ed25519:\w+$/);
  }).timeout(600_000);

  it("checks the database", async () => {
    const { code, stdout } = await hansa(["fsck", "--json"]);
    expect([code, objectAt(JSON.parse(stdout))["problems"]]).to.deep.equal([0, []]);
  });

  it("makes again what is derived, in a database without rooms", async () => {
    for (const what of ["state", "counts"]) {
      const { code, stdout } = await hansa(["rebuild", what, "--json"]);
      expect([code, JSON.parse(stdout)]).to.deep.equal([0, { rooms: 0 }]);
    }
  });

  it("prints the API", async () => {
    const document = objectAt(JSON.parse((await hansa(["openapi"])).stdout));
    expect(document["openapi"]).to.equal("3.1.0");
    const login = objectAt(document, "paths", "/_matrix/client/v3/login");
    expect(objectAt(login, "post")).to.deep.include({ operationId: "login", security: [] });
    expect(Object.keys(objectAt(document, "paths"))).to.include("/_matrix/client/v3/devices/{deviceId}");
  });

  it("says in one sentence why it cannot serve", async () => {
    const busy = createServer();
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
    const { port } = busy.address() as { port: number };
    const taken = await hansa(["serve"], { env: { HANSA_LISTEN_PORT: String(port) } });
    busy.close();
    expect(taken.code).to.equal(2);
    expect(taken.stderr).to.equal(
      `Cannot listen on 127.0.0.1 port ${port}: another program uses it. Change listen.address or listen.port.\n`,
    );
    const unreachable = await hansa(["serve"], { env: { DATABASE_URL: "postgres://hansa:hidden@127.0.0.1:1/hansa" } });
    expect([unreachable.code, unreachable.stderr]).to.deep.equal([
      2,
      "The database at 127.0.0.1:1/hansa cannot be reached (ECONNREFUSED). Check database.url.\n",
    ]);
    const otherKey = Buffer.alloc(32, 1).toString("base64");
    const sealed = await hansa(["serve"], { env: { HANSA_SECRET_KEY: otherKey, HANSA_LISTEN_PORT: "0" } });
    expect(sealed.code).to.equal(2);
    expect(sealed.stderr).to.match(/^The signing key of localhost in the database was sealed under another secret key: .*\n$/);
  }).timeout(600_000);

  it("serves, says where, and stops when told to", async () => {
    const child = spawn(process.execPath, ["dist/src/main.js"], { env: { ...environment, HANSA_LISTEN_PORT: "0", HANSA_LOG_LEVEL: "trace" } });
    let output = "";
    const exit = new Promise((resolve) => child.once("close", resolve));
    const url = await new Promise<string>((resolve, reject) => {
      child.once("close", () => reject(new Error(`it ended: ${output}`)));
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        const match = /on (http:\S+)\n[^]*\n/.exec(output);
        if (match?.[1] !== undefined) resolve(match[1]);
      });
    });
    expect((await fetch(`${url}/_matrix/client/versions`)).status).to.equal(200);
    // Whatever goes wrong or right, no password and no token shows up in the log.
    const login = { type: "m.login.password", user: "alice", password: "canary-password" };
    await fetch(`${url}/_matrix/client/v3/login`, { method: "POST", body: JSON.stringify(login) });
    await fetch(`${url}/_matrix/client/v3/login`, { method: "POST", body: '{"password":"canary-broken' });
    await fetch(`${url}/_matrix/client/v3/account/whoami?access_token=canary-query`);
    await fetch(`${url}/_matrix/client/v3/account/whoami`, { headers: { authorization: "Bearer canary-token" } });
    expect(output).to.match(/Hansa serves localhost on .*\nIts data is in .*\nAnybody who reaches it may register/);
    // Who has a connection open gets one more answer, which says that it closes.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const connection = (): Promise<string | undefined> =>
      new Promise((resolve, reject) => {
        const asked = get(`${url}/_matrix/client/versions`, { agent }, (answer) => answer.resume().once("end", () => resolve(answer.headers.connection)));
        asked.once("error", reject);
      });
    expect(await connection()).to.equal("keep-alive");
    child.kill("SIGTERM");
    await eventually("it says that it closes", async () => (await connection()) === "close");
    expect(await exit).to.equal(0);
    expect(output).to.contain("/_matrix/client/v3/account/whoami").and.to.not.contain("canary");
  });
});
