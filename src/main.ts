#!/usr/bin/env node
// The command line: reads the words and starts what they ask for.
import { Command, CommanderError } from "commander";
import { checkFile, printExample } from "./command-line/config.js";
import { checkDatabase } from "./command-line/fsck.js";
import { generateKey } from "./command-line/key.js";
import { migrate } from "./command-line/migrate.js";
import { printOpenApi } from "./command-line/openapi.js";
import { rebuildSearch, rebuildState, rebuildUnread } from "./command-line/rebuild.js";
import { noteRestored } from "./command-line/restored.js";
import { serve } from "./command-line/serve.js";
import { createToken, createUser, setPassword, setUserAdmin } from "./command-line/users.js";
import { reportFailure } from "./command-line/failure.js";

const program = new Command("hansa")
  .description("A Matrix homeserver for organisations.")
  .showHelpAfterError("(--help lists what there is)")
  .addHelpText("after", "\nExit codes: 0 done, 1 something is wrong with what was checked, or with Hansa itself, 2 refused or not possible.")
  .exitOverride();

const CONFIG = ["-c, --config <file>", "YAML file with the settings"] as const;
const JSON_OUTPUT = ["--json", "print the result as JSON"] as const;

program.command("serve", { isDefault: true }).description("run the homeserver").option(...CONFIG).action(serve);
program
  .command("migrate")
  .description("bring the database up to date without serving")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(migrate);

const user = program.command("user").description("create and change users");
user
  .command("create <name>")
  .description("create a user; the password is the first line of standard input")
  .option("--admin", "make it an administrator")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(createUser);
user
  .command("password <name>")
  .description("change a password; the new one is the first line of standard input")
  .option("--keep-devices", "do not log the user's devices out")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(setPassword);
user
  .command("admin <name>")
  .description("make a user an administrator")
  .option("--revoke", "take it back")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(setUserAdmin);

program
  .command("registration-token")
  .description("tokens with which new users register")
  .command("create")
  .description("make a token and print it")
  .option("--uses <number>", "how many may register with it; any number if left out")
  .option("--days <number>", "how long it lasts; for ever if left out")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(createToken);

const config = program.command("config").description("the settings");
config.command("example").description("print a file with all settings").action(printExample);
config
  .command("check")
  .description("say whether the settings can be used")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(checkFile);

program
  .command("key")
  .description("signing keys")
  .command("generate")
  .description("give a server a new signing key; the one before expires")
  .option("--server <name>", "which server; the first if left out")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(generateKey);

program
  .command("fsck")
  .description("check the database; exit code 1 if something is wrong")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(checkDatabase);

program
  .command("restored")
  .description("say, before the next start, that the database's files were put back from a copy (a dump shows that by itself)")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(noteRestored);

const rebuild = program.command("rebuild").description("make again what is derived from events; best while nothing serves");
rebuild
  .command("state")
  .description("current state and memberships of all rooms")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(rebuildState);
rebuild
  .command("counts")
  .description("unread counts of all rooms")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(rebuildUnread);
rebuild
  .command("search")
  .description("the full text of all rooms")
  .option(...CONFIG)
  .option(...JSON_OUTPUT)
  .action(rebuildSearch);

program.command("openapi").description("print the API as an OpenAPI document").action(printOpenApi);

try {
  // Without this, a command that does not exist would be taken for an argument of `serve`.
  const [word] = process.argv.slice(2);
  const known = program.commands.some((command) => command.name() === word) || word === "help" || word === undefined || word.startsWith("-");
  if (!known) program.error(`error: unknown command '${word}'`);
  await program.parseAsync();
} catch (error) {
  // What is wrong with the words was told where it was found; help is a success.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else reportFailure(error, process.argv.includes("--json"));
}
