// Runs the integration tests of matrix-rust-sdk against one Hansa process, and holds the result to the ratchet: what has passed
// once must pass again. Each test is a process of its own, one after another.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";

import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";

const USAGE = `usage: node dist/test/interop/rust-sdk.js --binary FILE [options]
  --binary FILE      the test program that "cargo test --no-run" has built
  --ignored          also those that the suite leaves out itself
  --run REGEX        only tests whose name matches
  --attempts NUMBER  how often a test that fails is tried (default 3; many wait for a fixed time)
  --seconds NUMBER   for one attempt (default 180)
  --ratchet FILE     default test/interop/rust-sdk.txt; "none" compares with nothing
  --update           add newly passing tests to the ratchet`;

/** The address that the tests were compiled for, unless HOMESERVER_URL was set then. */
const PORT = 8228;
const REASON_LINES = 6;
/** How much of a test's output is kept for that, in characters. */
const LAST_OUTPUT = 1 << 20;
/** What a panic says; everything else is a log. */
const PANIC = /panicked at|^Error: /;

const { values: options } = parseArgs({
  options: {
    binary: { type: "string", default: "" },
    ignored: { type: "boolean", default: false },
    run: { type: "string", default: "" },
    attempts: { type: "string", default: "3" },
    seconds: { type: "string", default: "180" },
    ratchet: { type: "string", default: "test/interop/rust-sdk.txt" },
    update: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

/** The names of the tests that the program has, without those that it leaves out itself unless they are wanted. */
async function testsOf(binary: string): Promise<string[]> {
  const list = async (...more: readonly string[]): Promise<string[]> => {
    const { stdout } = await promisify(execFile)(binary, ["--list", "--format", "terse", ...more], { maxBuffer: 1 << 24 });
    return stdout.split("\n").flatMap((line) => (line.endsWith(": test") ? [line.slice(0, -": test".length)] : []));
  };
  const ignored = new Set(options.ignored ? [] : await list("--ignored"));
  return (await list()).filter((name) => !ignored.has(name)).toSorted();
}

/** Runs one test once; undefined if it passes, else what it said last. All of its output goes to a file. */
async function failure(binary: string, name: string, file: string): Promise<string[] | undefined> {
  const child = spawn(binary, ["--exact", name, "--include-ignored", "--nocapture", "--color", "never"], { stdio: ["ignore", "pipe", "pipe"] });
  const record = createWriteStream(file, { flags: "a" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      record.write(text);
      output = (output + text).slice(-LAST_OUTPUT);
    });
  }
  const late = setTimeout(() => child.kill("SIGKILL"), Number(options.seconds) * 1_000);
  const [status, signal] = await once(child, "close");
  clearTimeout(late);
  record.end();
  if (status === 0) return undefined;
  const said = output.split("\n").filter((line) => line.trim() !== "");
  const first = said.findIndex((line) => PANIC.test(line));
  const lines = first < 0 ? said.slice(-REASON_LINES) : said.slice(first, first + REASON_LINES);
  return signal === null ? lines : [`stopped after ${options.seconds} s`, ...lines];
}

async function main(): Promise<number> {
  if (options.help || options.binary === "") {
    console.log(USAGE);
    return options.help ? 0 : 2;
  }
  const binary = resolve(options.binary);
  const names = (await testsOf(binary)).filter((name) => new RegExp(options.run).test(name));
  const outputs = await mkdtemp(join(tmpdir(), "rust-sdk-"));
  const passed: string[] = [];
  const failed: string[] = [];
  await using folder = await temporaryFolder();
  const settings = { servers: [{ name: "matrix-sdk.rs" }], registration: { open: true }, rate_limits: { enabled: false } };
  await using server = await ServerProcess.start(folder.path, settings, PORT);
  console.log(`${names.length} tests, against ${server.url}`);
  for (const name of names) {
    const began = performance.now();
    let attempt = 0;
    let reason: string[] | undefined;
    do {
      reason = await failure(binary, name, join(outputs, `${name.replaceAll("::", ".")}.log`));
      attempt += 1;
    } while (reason !== undefined && attempt < Number(options.attempts));
    const seconds = ((performance.now() - began) / 1_000).toFixed(1);
    console.log(`${reason === undefined ? "pass" : "FAIL"}  ${name}  ${seconds} s${attempt > 1 ? `, attempt ${attempt}` : ""}`);
    for (const line of reason ?? []) console.log(`      ${line}`);
    (reason === undefined ? passed : failed).push(name);
  }
  console.log(`\n${passed.length} passed, ${failed.length} failed; full output in ${outputs}`);
  if (options.ratchet === "none") return failed.length === 0 ? 0 : 1;
  const ratchet = existsSync(options.ratchet) ? readFileSync(options.ratchet, "utf8").split("\n").filter((line) => line !== "") : [];
  const lost = ratchet.filter((name) => failed.includes(name));
  const gained = passed.filter((name) => !ratchet.includes(name));
  for (const name of lost) console.log(`LOST     ${name}`);
  for (const name of gained) console.log(`gained   ${name}`);
  if (options.update && gained.length > 0) writeFileSync(options.ratchet, `${[...ratchet, ...gained].toSorted().join("\n")}\n`);
  console.log(`ratchet: ${lost.length} lost, ${gained.length} gained${gained.length > 0 && !options.update ? " (--update adds them)" : ""}`);
  return lost.length === 0 ? 0 : 1;
}

process.exitCode = await main();
