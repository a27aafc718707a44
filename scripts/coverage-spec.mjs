// Prints which operations of the specification exist: `npm run coverage:spec`. Facts from spec/operations.tsv.
import { readFileSync } from "node:fs";
import { askedOperations, operations } from "../dist/spec/operations.js";

const [, ...facts] = readFileSync(new URL("../spec/operations.tsv", import.meta.url), "utf8").trimEnd().split("\n");
// Those of application services and push gateways are asked by this server, all others answered.
const exists = new Set([...operations, ...askedOperations].flatMap(({ method, paths }) => paths.map((path) => `${method} ${normal(path)}`)));

/** Names of path parameters are ours to choose. */
function normal(path) {
  return path.replaceAll(/\{\w+\}/g, "{}");
}

const counts = new Map();
const missing = [];
for (const line of facts) {
  const [api, method, path, operationId] = line.split("\t");
  const found = exists.has(`${method} ${normal(path)}`);
  const count = counts.get(api) ?? { found: 0, all: 0 };
  count.all++;
  if (found) count.found++;
  else missing.push(`${api}\t${operationId}\t${method} ${path}`);
  counts.set(api, count);
}
const summary = [...counts].map(([api, { found, all }]) => `${api.padEnd(20)} ${String(found).padStart(3)} of ${all}`);
const output = process.argv.includes("--missing") ? [...missing, ...summary] : summary;
process.stdout.write(`${output.join("\n")}\n`);
