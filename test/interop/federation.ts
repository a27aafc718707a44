// Drives a running Hansa and running servers of others as clients of both, and prints what they do for each other.
import { parseArgs } from "node:util";
import { objectAt } from "../support/json-path.js";
import { Account, Missing, type Side } from "./account.js";
import { type Check, largeRoom, OTHER_CHECKS, type Pair, ROOM_CHECKS } from "./federation-checks.js";

const USAGE = `usage: node dist/test/interop/federation.js --hansa URL --peer NAME=URL [--peer ...]
  --hansa URL         where clients reach Hansa
  --peer NAME=URL     where clients reach another server, and what it is called; once for each
  --hansa-secret TEXT the shared secret of Hansa's registration
  --peer-secret TEXT  that of the others
  --versions LIST     room versions (default 6,10,11,12)
  --only TEXT         only checks whose name has this in it
  --members NUMBER    also comes to a room of so many members
  --json              the results as JSON`;

const { values: options } = parseArgs({
  options: {
    hansa: { type: "string" },
    peer: { type: "string", multiple: true, default: [] },
    "hansa-secret": { type: "string", default: "" },
    "peer-secret": { type: "string", default: "" },
    versions: { type: "string", default: "6,10,11,12" },
    only: { type: "string", default: "" },
    members: { type: "string", default: "0" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

interface Result {
  readonly check: string;
  /** `HOST > GUEST`: who has the room, and whose user comes to it. */
  readonly direction: string;
  readonly version?: string;
  readonly outcome: "pass" | "fail" | "missing";
  readonly reason?: string;
  readonly ms: number;
}

/** Room versions that a server says it knows. */
async function versionsOf(account: Account): Promise<ReadonlySet<string>> {
  const known = await account.ok("GET", "capabilities");
  return new Set(Object.keys(objectAt(known, "capabilities", "m.room_versions", "available")));
}

async function perform(check: Check, near: Side, far: Side, version: string, direction: string): Promise<Result> {
  const begun = performance.now();
  const about = { check: check.name, direction, ...(check.since !== undefined && { version }) };
  const done = (outcome: Result["outcome"], reason?: string): Result => ({
    ...about,
    outcome,
    ...(reason !== undefined && { reason }),
    ms: Math.round(performance.now() - begun),
  });
  try {
    const [first, second, third] = await Promise.all([Account.register(near, "near"), Account.register(far, "far"), Account.register(far, "other")]);
    const pair: Pair = { near: first, far: second, other: third, version };
    for (const account of [first, second]) {
      if (!(await versionsOf(account)).has(version)) return done("missing", `${account.side.label} knows no rooms of version ${version}`);
    }
    await check.run(pair);
    return done("pass");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return done(error instanceof Missing ? "missing" : "fail", reason);
  }
}

/** All checks of one direction; a few at a time, as servers answer many. */
async function performAll(near: Side, far: Side, versions: readonly string[]): Promise<Result[]> {
  const direction = `${near.label} > ${far.label}`;
  const others = options.members === "0" ? OTHER_CHECKS : [...OTHER_CHECKS, largeRoom(Number(options.members))];
  const last = versions.includes("11") ? "11" : (versions.at(-1) ?? "11");
  const jobs = [
    ...ROOM_CHECKS.flatMap((check) => versions.filter((version) => Number(version) >= (check.since ?? 1)).map((version) => ({ check, version }))),
    ...others.map((check) => ({ check, version: last })),
  ].filter(({ check }) => check.name.includes(options.only));
  const results: Result[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
      const result = await perform(job.check, near, far, job.version, direction);
      results.push(result);
      if (result.outcome === "fail") console.error(`${direction}, ${result.check}${result.version === undefined ? "" : `, version ${result.version}`}: ${result.reason}`);
    }
  };
  await Promise.all(Array.from({ length: 3 }, work));
  return results;
}

const SIGNS = { pass: "ok", fail: "FAIL", missing: "-" } as const;

function matrix(results: readonly Result[], versions: readonly string[]): string {
  const directions = [...new Set(results.map(({ direction }) => direction))];
  const names = [...ROOM_CHECKS, ...OTHER_CHECKS].map(({ name }) => name);
  const lines = [...new Set([...names, ...results.map(({ check }) => check)])].filter((name) => results.some(({ check }) => check === name)).map((name) => {
    const cells = directions.map((direction) => {
      const own = results.filter((result) => result.check === name && result.direction === direction);
      if (own.every(({ version }) => version === undefined)) return own.map(({ outcome }) => SIGNS[outcome]).join(" ");
      return versions.map((version) => {
        const found = own.find((result) => result.version === version);
        return (found === undefined ? "" : SIGNS[found.outcome]).padEnd(5);
      }).join("");
    });
    return `| ${name} | ${cells.map((cell) => cell.trimEnd()).join(" | ")} |`;
  });
  const head = `| versions ${versions.join(", ")} | ${directions.join(" | ")} |`;
  return [head, `|---|${directions.map(() => "---|").join("")}`, ...lines].join("\n");
}

if (options.help || options.hansa === undefined || options.peer.length === 0) {
  console.log(USAGE);
  process.exitCode = options.help ? 0 : 1;
} else {
  const hansa: Side = { label: "Hansa", url: options.hansa, secret: options["hansa-secret"] };
  const versions = options.versions.split(",");
  const results: Result[] = [];
  for (const peer of options.peer) {
    const [label = "", url = ""] = peer.split(/=(.*)/, 2);
    const other: Side = { label, url, secret: options["peer-secret"] };
    results.push(...(await performAll(hansa, other, versions)), ...(await performAll(other, hansa, versions)));
  }
  const failed = results.filter(({ outcome }) => outcome === "fail").length;
  console.log(options.json ? JSON.stringify(results, undefined, 2) : `${matrix(results, versions)}\n\n${results.length - failed} of ${results.length} without fault`);
  process.exitCode = failed === 0 ? 0 : 1;
}
