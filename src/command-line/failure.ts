// What a command says when it cannot do what it was asked to: one sentence and an exit code; a stack only for faults of Hansa.
import { ConfigError } from "../config.js";
import { MatrixError } from "../errors.js";
import { isDatabaseAway, sqlState } from "../storage/database.js";
import { fileFault } from "../storage/folder.js";
import { MigrationError } from "../storage/migrations.js";

/** The sentence, or undefined for what nobody has foreseen. */
function sentenceOf(error: unknown): string | undefined {
  if (error instanceof ConfigError || error instanceof MatrixError || error instanceof MigrationError) return error.message;
  if (!(error instanceof Error)) return undefined;
  const firstLine = error.message.split("\n")[0] ?? "";
  if (sqlState(error) !== undefined) return `PostgreSQL refused: ${firstLine}.`;
  if (isDatabaseAway(error)) return `The database went away meanwhile (${firstLine}). Try again.`;
  return fileFault(error) === undefined ? undefined : `The file system refused: ${firstLine}.`;
}

/** Tells the person at the console, and with `json` also a program; the process ends with code 2. Throws on what has no sentence. */
export function reportFailure(error: unknown, json: boolean): void {
  const sentence = sentenceOf(error);
  if (sentence === undefined) throw error;
  console.error(sentence);
  if (json) console.log(JSON.stringify({ error: sentence }));
  process.exitCode = 2;
}
