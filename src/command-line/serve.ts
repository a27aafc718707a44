// `hansa serve`: runs the homeserver until it is told to stop.
import { once } from "node:events";
import { Session } from "node:inspector/promises";
import { loadConfig, registrationOpen } from "../config.js";
import { startServer } from "../server.js";

/** A client in the midst of a conversation asks again in it. */
const FAREWELL_MS = 1_000;

export async function serve(options: { config?: string }): Promise<void> {
  const config = loadConfig(options.config);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  await using server = await startServer(config, { progress: (message) => console.log(message), farewellMs: FAREWELL_MS });
  const names = config.servers.map(({ name }) => name);
  console.log(`Hansa serves ${names.join(", ")} on ${server.url}`);
  console.log(`Its data is in ${server.where}`);
  console.log(
    names.some((name) => registrationOpen(config, name))
      ? `Anybody who reaches it may register: point a Matrix client at ${server.url}, or type: npx hansa user create NAME --admin`
      : "Registration is closed. The first user: npx hansa user create NAME --admin",
  );
  await collectGarbage();
  if (!stop.signal.aborted) await once(stop.signal, "abort");
  console.log("Stopping");
}

/** Gives back what starting left behind, a third of what the process holds: V8 itself waits until it has been idle for 40 s. */
async function collectGarbage(): Promise<void> {
  const session = new Session();
  session.connect();
  await session.post("HeapProfiler.collectGarbage");
  session.disconnect();
}
