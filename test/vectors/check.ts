// Checks files of vectors, as scripts/vectors/README.md describes: node dist/test/vectors/check.js FILE...
import { checkJson, checkRedaction, checkRoom, emptyTally, linesOf } from "../protocol/synapse-vectors.js";

for (const file of process.argv.slice(2)) {
  const tally = emptyTally();
  const started = performance.now();
  for await (const line of linesOf(file)) {
    if (line.startsWith("{")) await checkRoom(line, tally);
    else if (/^\["\d+", \{/.test(line)) checkRedaction(line, tally);
    else checkJson(line, tally);
  }
  process.stdout.write(`${file}: ${JSON.stringify(tally)} in ${Math.round(performance.now() - started)} ms\n`);
}
