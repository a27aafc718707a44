// Loaded into a server's process before its own modules: its wall clock is ahead by what a file says, which may change at any moment.
import { readFileSync } from "node:fs";

const LOOK_MS = 20;
const file = process.env["TEST_CLOCK_AHEAD_FILE"] ?? "";
const real = Date.now.bind(Date);
let ahead = 0;
const look = (): void => {
  const read = Number(readFileSync(file, "utf8"));
  if (Number.isFinite(read)) ahead = read;
};
look();
setInterval(look, LOOK_MS).unref();
// The server asks nothing else: src/clock.ts.
Date.now = () => real() + ahead;
