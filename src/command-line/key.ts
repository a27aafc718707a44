// `hansa key generate`: gives a server a new signing key.
import { ConfigError } from "../config.js";
import { replaceSigningKey } from "../storage/signing-keys.js";
import { withDatabase } from "./users.js";

export async function generateKey(options: { config?: string; json?: boolean; server?: string }): Promise<void> {
  await withDatabase(options, async ({ database, secret, servers, clock }) => {
    const server = servers.names.find((name) => name === (options.server ?? servers.names[0]));
    if (server === undefined) throw new ConfigError(`${options.server} is not a server of this configuration.`);
    const key_id = await replaceSigningKey(database, secret, server, clock.now());
    console.log(
      options.json === true
        ? JSON.stringify({ server, key_id })
        : `${server} has the new key ${key_id}; the one before expires now. A server that runs signs with it within seconds.`,
    );
  });
}
