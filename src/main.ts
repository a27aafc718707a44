#!/usr/bin/env node
// The command line: reads the words and starts what they ask for.
import { Command } from "commander";
import { serve } from "./command-line/serve.js";
import { ConfigError } from "./config.js";

const program = new Command("hansa").description("A Matrix homeserver for organisations.");

program
  .command("serve", { isDefault: true })
  .description("run the homeserver")
  .option("-c, --config <file>", "YAML file with the settings")
  .action(serve);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
