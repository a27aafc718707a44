// Identity tokens (OpenID Connect Core) for clients that ask for the scope "openid", as older ones do, and the key that
// signs them: RSA, because those clients take nothing else.
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomBytes, sign } from "node:crypto";
import { promisify } from "node:util";
import type { AccountContext } from "../accounts/context.js";
import { unknownError } from "../errors.js";
import type { Database } from "../storage/database.js";
import { findOauthKey, putOauthKey } from "../storage/oauth.js";

const LIFETIME_SECONDS = 3600;

interface IdentityKey {
  readonly id: string;
  readonly key: KeyObject;
}

const keys = new WeakMap<Database, Promise<IdentityKey>>();

/** The key of the deployment, which is made when it is first asked for. */
async function identityKey(context: Pick<AccountContext, "database" | "secret">): Promise<IdentityKey> {
  let known = keys.get(context.database);
  if (known === undefined) {
    known = loadKey(context);
    keys.set(context.database, known);
    known.catch(() => keys.delete(context.database));
  }
  return await known;
}

async function loadKey({ database, secret }: Pick<AccountContext, "database" | "secret">): Promise<IdentityKey> {
  let stored = await findOauthKey(database, secret);
  if (stored === undefined) {
    const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
    await putOauthKey(database, secret, randomBytes(6).toString("base64url"), privateKey.export({ format: "der", type: "pkcs8" }));
    // Another process may have been first.
    stored = await findOauthKey(database, secret);
  }
  if (stored === undefined) throw unknownError(500, "The key for identity tokens cannot be read.", new Error("it was sealed under another secret key"));
  return { id: stored.key_id, key: createPrivateKey({ key: Buffer.from(stored.pkcs8), format: "der", type: "pkcs8" }) };
}

/** The public key as a JSON Web Key Set (RFC 7517). */
export async function publicKeys(context: Pick<AccountContext, "database" | "secret">): Promise<{ keys: Record<string, unknown>[] }> {
  const { id, key } = await identityKey(context);
  const { kty, n, e } = createPublicKey(key).export({ format: "jwk" });
  return { keys: [{ kty, n, e, kid: id, use: "sig", alg: "RS256" }] };
}

/** An identity token, as a signed JWT. */
export async function identityToken(
  context: AccountContext,
  { issuer, subject, client_id, nonce }: { issuer: string; subject: string; client_id: string; nonce: string | undefined },
): Promise<string> {
  const { id, key } = await identityKey(context);
  const iat = Math.floor(context.clock.now() / 1000);
  const claims = { iss: issuer, sub: subject, aud: client_id, iat, exp: iat + LIFETIME_SECONDS, ...(nonce !== undefined && { nonce }) };
  const text = [{ alg: "RS256", typ: "JWT", kid: id }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}
