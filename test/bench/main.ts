// `npm run bench`: measures one homeserver, or two in turn, through the public Matrix API only.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { measureMachine, type Machine } from "./machine.js";
import { median } from "./measure.js";
import { SCENARIOS, type Numbers } from "./scenarios.js";
import { Target } from "./target.js";

const USAGE = `usage: npm run bench -- --target URL[,PID...] [--target2 URL[,PID...]] [options]
  --target URL       the server; PIDs are further processes that belong to it, such as its database
  --target2 URL      another one: each scenario then runs A B B A, and ratios are printed
  --postgres URL     where bare commits are measured (default: an embedded server)
  --only TEXT        scenarios whose name holds TEXT; may be repeated
  --seconds N        length of each measured load (default 5)
  --json FILE        where the numbers go (default bench.json)

The servers need open registration and no rate limits.`;

const { values: options } = parseArgs({
  options: {
    target: { type: "string" },
    target2: { type: "string" },
    postgres: { type: "string" },
    only: { type: "string", multiple: true, default: [] },
    seconds: { type: "string", default: "5" },
    json: { type: "string", default: "bench.json" },
    help: { type: "boolean", default: false },
  },
});

type Runs = Map<string, Numbers[]>;

/** The middle of each number over the runs of one target. */
function middle(runs: readonly Numbers[]): Numbers {
  const names = new Set(runs.flatMap((run) => Object.keys(run)));
  return Object.fromEntries([...names].map((name) => [name, median(runs.flatMap((run) => run[name] ?? []))]));
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  "));
}

/** One line per number of each scenario; with two targets, both and A/B. */
function report(results: ReadonlyMap<string, Runs>, labels: readonly string[]): void {
  const rows: string[][] = [["scenario", "number", ...labels, ...(labels.length === 2 ? ["A/B"] : [])]];
  for (const [scenario, runs] of results) {
    const middles = labels.map((label) => middle(runs.get(label) ?? []));
    const names = new Set(middles.flatMap((numbers) => Object.keys(numbers)));
    let first = true;
    for (const name of names) {
      const values = middles.map((numbers) => numbers[name]);
      const [a, b] = values;
      const ratio = labels.length === 2 ? [a !== undefined && b !== undefined && b !== 0 ? (a / b).toFixed(2) : "-"] : [];
      rows.push([first ? scenario : "", name, ...values.map((value) => (value === undefined ? "-" : String(Math.round(value * 100) / 100))), ...ratio]);
      first = false;
    }
  }
  printTable(rows);
}

function share(name: string, part: number | undefined, whole: number | undefined): Numbers {
  return part === undefined || whole === undefined ? {} : { [name]: Math.round((part / whole) * 1_000) / 1_000 };
}

/** How much of the machine's bare rates the first target reaches. */
function shares(results: ReadonlyMap<string, Runs>, label: string, machine: Machine): Numbers {
  const rate = (scenario: string): number | undefined => middle(results.get(scenario)?.get(label) ?? [])["per_second"];
  return {
    ...share("sequential sends / bare commits on 1 connection", rate("send, sequential"), machine.commits_per_second_1),
    ...share("32 senders over 32 rooms / bare commits on 8 connections", rate("send, 32 senders, 32 rooms"), machine.commits_per_second_8),
    ...share("32 senders over 32 rooms / empty node:http", rate("send, 32 senders, 32 rooms"), machine.empty_http_per_second),
  };
}

async function main(): Promise<number> {
  if (options.help || options.target === undefined) {
    console.log(USAGE);
    return options.help ? 0 : 2;
  }
  const machine = await measureMachine(options.postgres);
  console.log(JSON.stringify(machine, null, 1));
  using a = new Target("A", options.target);
  using b = options.target2 === undefined ? undefined : new Target("B", options.target2);
  const targets = b === undefined ? [a] : [a, b];
  const order = b === undefined ? [a] : [a, b, b, a];
  const results = new Map<string, Runs>();
  let failures = 0;
  for (const scenario of SCENARIOS) {
    if (options.only.length > 0 && !options.only.some((text) => scenario.name.includes(text))) continue;
    const runs: Runs = new Map(targets.map((target) => [target.label, []]));
    results.set(scenario.name, runs);
    for (const target of order) {
      try {
        const numbers = await scenario.run(target, Number(options.seconds));
        runs.get(target.label)?.push(numbers);
        console.log(`${target.label}  ${scenario.name}  ${JSON.stringify(numbers)}`);
      } catch (error) {
        failures++;
        console.log(`${target.label}  ${scenario.name}  FAILED: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  console.log("");
  report(results, targets.map((target) => target.label));
  const reached = shares(results, a.label, machine);
  for (const [name, value] of Object.entries(reached)) console.log(`${name}: ${value}`);
  writeFileSync(
    options.json,
    `${JSON.stringify(
      {
        machine,
        targets: Object.fromEntries(targets.map((target) => [target.label, target.url])),
        seconds: Number(options.seconds),
        shares: reached,
        scenarios: Object.fromEntries([...results].map(([name, runs]) => [name, Object.fromEntries(runs)])),
      },
      null,
      1,
    )}\n`,
  );
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
