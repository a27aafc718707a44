// `hansa serve`: runs the homeserver until it is told to stop.
import { once } from "node:events";
import { loadConfig, registrationOpen } from "../config.js";
import { startServer } from "../server.js";

export async function serve(options: { config?: string }): Promise<void> {
  const config = loadConfig(options.config);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  await using server = await startServer(config, { progress: (message) => console.log(message) });
  const names = config.servers.map(({ name }) => name);
  console.log(`Hansa serves ${names.join(", ")} on ${server.url}`);
  console.log(`Its data is in ${server.where}`);
  console.log(
    names.some((name) => registrationOpen(config, name))
      ? `Anybody who reaches it may register: point a Matrix client at ${server.url}, or type: npx hansa user create NAME --admin`
      : "Registration is closed. The first user: npx hansa user create NAME --admin",
  );
  if (!stop.signal.aborted) await once(stop.signal, "abort");
  console.log("Stopping");
}
