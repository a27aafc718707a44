// Lets client libraries that others wrote hold a conversation on Hansa: one process on a free port, one script after another.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";

import { ServerProcess, temporaryFolder } from "../e2e/server-process.js";

const USAGE = `usage: node dist/test/interop/clients.js [--python FILE] [SCRIPT ...]
  --python FILE   interpreter that has the packages of test/interop/clients/requirements.txt (default python3)
  SCRIPT          scripts of test/interop/clients (default all)`;

const SCRIPTS = ["nio_conversation.py", "mautrix_conversation.py"];

const { values: options, positionals } = parseArgs({
  options: { python: { type: "string", default: "python3" }, help: { type: "boolean", default: false } },
  allowPositionals: true,
});

async function passes(script: string, url: string): Promise<boolean> {
  console.log(`\n${script}`);
  const child = spawn(options.python, ["-W", "ignore", `test/interop/clients/${script}`, url], { stdio: "inherit" });
  const [status] = await once(child, "exit");
  console.log(`${status === 0 ? "pass" : "FAIL"}  ${script}`);
  return status === 0;
}

if (options.help) {
  console.log(USAGE);
} else {
  await using folder = await temporaryFolder();
  await using server = await ServerProcess.start(folder.path, { registration: { open: true }, rate_limits: { enabled: false } });
  for (const script of positionals.length > 0 ? positionals : SCRIPTS) {
    if (!(await passes(script, server.url))) process.exitCode = 1;
  }
}
