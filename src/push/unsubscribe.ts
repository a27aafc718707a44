// The link in mails by which whoever gets them ends them, without logging in.
import { createHash, timingSafeEqual } from "node:crypto";
import { notFound } from "../errors.js";
import type { Database } from "../storage/database.js";
import { deletePusherByNid, findPusher, type Pusher } from "../storage/pushers.js";
import { derivedSecret, type SecretKey } from "../storage/sealing.js";

/** Where the link leads; the operations are spec/client/unsubscribe.ts's. */
const PATH = "/_hansa/client/v1/unsubscribe";

/** Only who got a mail for this very pusher has it: nothing is stored. */
function tokenFor(secret: SecretKey, { nid, user_nid, pushkey }: Pusher): string {
  return derivedSecret(secret, `unsubscribe ${nid} ${user_nid} ${pushkey}`);
}

/** The link that ends the mails of a pusher. */
export function unsubscribeLink(secret: SecretKey, baseUrl: string, pusher: Pusher): string {
  const query = new URLSearchParams({ pusher: String(pusher.nid), token: tokenFor(secret, pusher) });
  return `${baseUrl.replace(/\/$/, "")}${PATH}?${query.toString()}`;
}

/** Ends the mails that a link is for; asked again it changes nothing. Throws M_NOT_FOUND for a link that is none. */
export async function unsubscribe(
  { database, secret }: { readonly database: Database; readonly secret: SecretKey },
  { pusher: nid, token }: { readonly pusher: number; readonly token: string },
): Promise<void> {
  const pusher = await findPusher(database, nid);
  if (pusher === undefined) return;
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  if (pusher.kind !== "email" || !timingSafeEqual(digest(token), digest(tokenFor(secret, pusher)))) throw notFound("This link ends nothing.");
  await database.transaction((tx) => deletePusherByNid(tx, nid));
}
