// `hansa migrate`: brings the database up to date without serving.
import { loadConfig } from "../config.js";
import { openDatabase } from "../storage/open.js";

export async function migrate(options: { config?: string; json?: boolean }): Promise<void> {
  await using opened = await openDatabase(loadConfig(options.config), (message) => console.error(message));
  console.log(options.json === true ? JSON.stringify({ database: opened.where }) : `The database at ${opened.where} is up to date.`);
}
