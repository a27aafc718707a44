// Server-server API, "Retrieving server keys".
import type * as spec from "../../../spec/federation/keys.js";
import type { WantedKeys } from "../../federation/key-ring.js";
import { canonicalJson } from "../../protocol/canonical-json.js";
import { parseServerName, type ServerName } from "../../protocol/identifiers.js";
import { isObject, type JsonObject, type JsonValue } from "../../protocol/json.js";
import { keyDocument } from "../../protocol/server-keys.js";
import { signJson } from "../../protocol/signing.js";
import { Reply, type Handler } from "../handler.js";
import type { Services } from "../services.js";

/** How long others may go by what we say of our keys. */
const VALIDITY_MS = 24 * 3_600_000;

/** Keys of one server that are asked for at once. */
const MAX_KEYS = 100;

async function ownDocument({ signingKeys, clock }: Services, server: ServerName): Promise<JsonObject> {
  // Another process may have signed with a newer key than this one knows: whoever asks here may want that one.
  await signingKeys.refresh();
  return keyDocument(server, signingKeys.current(server), signingKeys.retired(server), clock.now() + VALIDITY_MS);
}

export const getServerKey: Handler<typeof spec.getServerKey> = async (services, { server }) =>
  // In the form that was signed: some check the bytes as they come.
  new Reply(200, canonicalJson(await ownDocument(services, server)));

/** What is known of the keys of servers, each statement with a signature of ours. */
async function vouchedFor(services: Services, notary: ServerName, wanted: readonly WantedKeys[]): Promise<{ server_keys: JsonObject[] }> {
  const { servers, federation, signingKeys } = services;
  const others = wanted.filter(({ server }) => !servers.isLocal(server) && federation.policy.allows(server));
  const documents = others.length === 0 ? [] : await federation.keyRing.documents(others);
  const parsed = documents.flatMap((document): JsonObject[] => {
    const json: JsonValue = JSON.parse(document);
    return isObject(json) ? [json] : [];
  });
  const own = await Promise.all(wanted.filter(({ server }) => servers.isLocal(server)).map(async ({ server }) => await ownDocument(services, server)));
  return { server_keys: [...own, ...parsed].map((document) => signJson(document, notary, signingKeys.current(notary))) };
}

export const perspectivesKeyQuery: Handler<typeof spec.perspectivesKeyQuery> = async (services, { params, query, server }) =>
  await vouchedFor(services, server, [
    { server: params.serverName, keyIds: params.keyId === undefined ? [] : [params.keyId], validAt: query.minimum_valid_until_ts ?? services.clock.now() },
  ]);

export const bulkPerspectivesKeyQuery: Handler<typeof spec.bulkPerspectivesKeyQuery> = async (services, { body, server }) => {
  const wanted: WantedKeys[] = [];
  const now = services.clock.now();
  for (const [name, keys] of Object.entries(body.server_keys)) {
    const asked = parseServerName(name);
    if (asked === undefined) continue;
    const times = Object.values(keys).map(({ minimum_valid_until_ts }) => minimum_valid_until_ts ?? now);
    wanted.push({ server: asked, keyIds: Object.keys(keys).slice(0, MAX_KEYS), validAt: times.length === 0 ? now : Math.max(...times) });
  }
  return await vouchedFor(services, server, wanted);
};
