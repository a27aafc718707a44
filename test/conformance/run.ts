// Runs Complement, the black-box suite for Matrix homeservers, against an image, and holds the result to the ratchet:
// what has passed once must pass again. Complement and the Docker API it needs live outside this checkout.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, writeFileSync, createWriteStream } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { compareWithRatchet, TestLog, type TestEvent } from "./results.js";

const USAGE = `usage: npm run conformance -- [options]
  --complement DIR    checkout of Complement (or COMPLEMENT_DIR)
  --dockerless FILE   dockerless.mjs, which stands in for Docker (or DOCKERLESS); not needed when DOCKER_HOST is set
  --images DIR        folder of image descriptions (default test/conformance/image)
  --image NAME        image to test (default complement-hansa)
  --package NAME      package below Complement's tests folder, "." for the folder itself; may be repeated (default all in the ratchet)
  --file NAME         only tests of NAME_test.go; may be repeated
  --run REGEX         only tests whose name matches, as for go test
  --clean             new servers for every test (default: servers are shared within a package)
  --timeout MINUTES   for one package (default 20)
  --ratchet FILE      default test/conformance/complement.txt; "none" compares with nothing
  --update            add newly passing tests to the ratchet`;

/** The packages that the ratchet holds something of. */
const PACKAGES = [".", "csapi", "msc2836", "msc3391", "msc3757", "msc3874", "msc3890", "msc3902", "msc3930", "msc3967", "msc4140", "msc4155", "msc4222", "msc4306"];

/** These stop servers, and leave them so when they fail: they are run apart, or all that follow would fail with them. */
const STOPPING = "^(TestDeviceListsUpdateOverFederation|TestToDeviceMessagesOverFederation)$";

const { values: options } = parseArgs({
  options: {
    complement: { type: "string", default: process.env["COMPLEMENT_DIR"] ?? "" },
    dockerless: { type: "string", default: process.env["DOCKERLESS"] ?? "" },
    images: { type: "string", default: "test/conformance/image" },
    image: { type: "string", default: "complement-hansa" },
    package: { type: "string", multiple: true, default: PACKAGES },
    file: { type: "string", multiple: true, default: [] },
    run: { type: "string", default: "" },
    clean: { type: "boolean", default: false },
    timeout: { type: "string", default: "20" },
    ratchet: { type: "string", default: "test/conformance/complement.txt" },
    update: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

/** The names of the top-level tests that the chosen files declare, over all chosen packages. */
function testsOf(folder: string, files: readonly string[]): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith("_test.go") && files.includes(name.slice(0, -"_test.go".length)))
    .flatMap((name) => [...readFileSync(join(folder, name), "utf8").matchAll(/^func (Test\w+)\(t \*testing\.T\)/gm)])
    .flatMap((match) => match[1] ?? []);
}

async function waitForSocket(path: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (child.exitCode !== null) throw new Error(`dockerless ended with status ${child.exitCode}`);
    const socket = connect(path);
    const answers = await new Promise<boolean>((settle) => {
      socket.once("connect", () => settle(true)).once("error", () => settle(false));
    });
    socket.destroy();
    if (answers) return;
    await sleep(100);
  }
  throw new Error("dockerless did not start within 10 s");
}

/** Starts dockerless with a socket of its own, unless a Docker API is already given by the environment. */
async function dockerHost(folder: string): Promise<{ host: string; stop: () => Promise<void> }> {
  const given = process.env["DOCKER_HOST"];
  if (given !== undefined) return { host: given, stop: async () => {} };
  const socket = join(folder, "docker.sock");
  const child = spawn(
    process.execPath,
    [resolve(options.dockerless), "--images", resolve(options.images), "--socket", socket, "--state", join(folder, "state")],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await exited;
  };
  try {
    await waitForSocket(socket, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { host: `unix://${socket}`, stop };
}

function isTestEvent(value: unknown): value is TestEvent {
  return typeof value === "object" && value !== null && "Action" in value && typeof value.Action === "string";
}

/** Runs tests of one package with `go test -json` and feeds what it reports to `log`; gives go's exit status. */
async function runPackage(name: string, which: readonly string[], host: string, folder: string, log: TestLog): Promise<number> {
  const args = ["test", "-json", "-vet=off", "-count=1", `-timeout=${options.timeout}m`, ...which, `./${join("tests", name)}`];
  const child = spawn("go", args, {
    cwd: resolve(options.complement),
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      DOCKER_HOST: host,
      // Each package leaves a certificate of the same name here.
      TMPDIR: await mkdtemp(join(folder, "package-")),
      COMPLEMENT_BASE_IMAGE: options.image,
      COMPLEMENT_ENABLE_DIRTY_RUNS: options.clean ? "0" : "1",
    },
  });
  const exit = once(child, "exit");
  const record = createWriteStream(join(folder, `${name === "." ? "tests" : name}.jsonl`), { flags: "a" });
  for await (const line of createInterface({ input: child.stdout })) {
    record.write(`${line}\n`);
    if (!line.startsWith("{")) continue;
    const event: unknown = JSON.parse(line);
    if (!isTestEvent(event)) continue;
    log.add(name, event);
    if (event.Action === "pass" || event.Action === "fail") {
      if (event.Test !== undefined && !event.Test.includes("/")) console.log(`${event.Action}  ${event.Test}  ${event.Elapsed ?? 0} s`);
    }
  }
  record.end();
  const [status] = await exit;
  return typeof status === "number" ? status : 1;
}

async function main(): Promise<number> {
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  if (options.complement === "" || (options.dockerless === "" && process.env["DOCKER_HOST"] === undefined)) {
    console.error(USAGE);
    return 2;
  }
  const folder = await mkdtemp(join(tmpdir(), "conformance-"));
  const docker = await dockerHost(folder);
  const log = new TestLog();
  try {
    for (const name of options.package) {
      let filter = options.run;
      if (options.file.length > 0) {
        const tests = testsOf(join(options.complement, "tests", name), options.file);
        if (tests.length === 0) continue;
        filter = `^(${tests.filter((test) => new RegExp(options.run).test(test)).join("|")})$`;
      }
      const runs = filter !== "" ? [["-run", filter]] : name === "." ? [["-skip", STOPPING], ["-run", STOPPING]] : [[]];
      for (const which of runs) {
        const status = await runPackage(name, which, docker.host, folder, log);
        // A package that could not be built or was cut off has reported no test as failed.
        if (status !== 0 && !log.hasFailure(name)) throw new Error(`go test of ${name} ended with status ${status}; see ${folder}`);
      }
    }
  } finally {
    await docker.stop();
  }

  for (const failure of log.failures()) console.log(`\nFAIL ${failure.name}\n${failure.reason.map((line) => `     ${line}`).join("\n")}`);
  const passed = log.passed();
  const skipped = log.skipped();
  console.log(`\n${passed.length} passed, ${log.failures().length} failed, ${skipped.length} skipped (with sub-tests); full output in ${folder}`);
  for (const name of skipped) console.log(`skipped  ${name}`);
  if (options.ratchet === "none") return log.failures().length === 0 ? 0 : 1;

  const ratchet = existsSync(options.ratchet) ? readFileSync(options.ratchet, "utf8").split("\n").filter((line) => line !== "") : [];
  const { lost, gained, updated } = compareWithRatchet(ratchet, log);
  for (const name of lost) console.log(`LOST     ${name}`);
  for (const name of gained) console.log(`gained   ${name}`);
  if (options.update && gained.length > 0) writeFileSync(options.ratchet, `${updated.join("\n")}\n`);
  console.log(`ratchet: ${lost.length} lost, ${gained.length} gained${gained.length > 0 && !options.update ? " (--update adds them)" : ""}`);
  return lost.length === 0 ? 0 : 1;
}

process.exitCode = await main();
