// `hansa serve`: runs the homeserver until it is told to stop.
import { once } from "node:events";
import { loadConfig } from "../config.js";
import { startServer } from "../server.js";

export async function serve(options: { config?: string }): Promise<void> {
  const config = loadConfig(options.config);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  await using server = await startServer(config);
  console.log(`Hansa serves ${config.servers.map(({ name }) => name).join(", ")} on ${server.url}`);
  if (!stop.signal.aborted) await once(stop.signal, "abort");
}
