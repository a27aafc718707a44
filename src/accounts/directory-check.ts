// Looks now and then who of the users of a directory is still in it: the sessions of who is not are ended. What the directory says
// in full counts, and nothing else: while it cannot be asked, breaks off or knows nobody, sessions stay.
import { LDAP_PROVIDER } from "../config.js";
import { logger } from "../log.js";
import { canonicalAddress } from "../protocol/third-party-ids.js";
import { endBrowserSessions } from "../storage/browser-sessions.js";
import { beginDirectoryCheck, identitiesOf, type Identity } from "../storage/external-identities.js";
import { findProfile } from "../storage/profiles.js";
import { addThirdPartyId, listThirdPartyIds } from "../storage/third-party-ids.js";
import { RepeatedWork } from "../repeated-work.js";
import { fillIn } from "./claims.js";
import type { AccountContext } from "./context.js";
import type { Directory, DirectoryUser } from "./ldap.js";
import { changeProfileField } from "./profiles.js";
import { endAllSessions } from "./sessions.js";

const log = logger("accounts");

const LOOK_EVERY_MS = 60_000;
const TOLD_EVERY = 10_000;

/** Looks for users who have left the directory, until it is disposed. */
export function checkDirectory(context: AccountContext): AsyncDisposable {
  const { directory, database, clock } = context;
  const everyMs = (directory?.settings.check_minutes ?? 0) * 60_000;
  if (directory === undefined || everyMs === 0 || directory.settings.base_dn === undefined) return { [Symbol.asyncDispose]: () => Promise.resolve() };
  const work = async (stopping: AbortSignal): Promise<void> => {
    const now = clock.now();
    if (await beginDirectoryCheck(database, LDAP_PROVIDER, now, now - everyMs)) await lookForAll(context, directory, stopping);
  };
  return new RepeatedWork(Math.min(everyMs, LOOK_EVERY_MS), work, (error) => log.warn({ err: error }, "it could not be looked who is still in the directory of users: all sessions stay"));
}

async function lookForAll(context: AccountContext, directory: Directory, stopping: AbortSignal): Promise<void> {
  const present = new Map<string, DirectoryUser["claims"] | undefined>();
  const { update_users } = directory.settings;
  for await (const page of directory.everybody(stopping)) {
    for (const { subject, claims } of page) present.set(subject, update_users ? claims : undefined);
    if (present.size % TOLD_EVERY < page.length) log.info({ users: present.size }, "the directory of users is being read");
  }
  if (present.size === 0) {
    log.warn("the directory knows no users at all: all sessions stay");
    return;
  }
  let ended = 0;
  let after: Identity | undefined;
  for (let page = await identitiesOf(context.database, LDAP_PROVIDER, after); page.length > 0; page = await identitiesOf(context.database, LDAP_PROVIDER, after)) {
    for (const identity of page) {
      if (stopping.aborted) return;
      after = identity;
      const claims = present.get(identity.external_id);
      if (!present.has(identity.external_id)) ended += await endSessionsOf(context, identity);
      else if (claims !== undefined) {
        await updateUser(context, directory, identity, claims).catch((error: unknown) => log.warn({ err: error, user: identity.user_id }, "a user could not be given what the directory says"));
      }
    }
  }
  log.info({ users: present.size, ended }, "the directory of users was compared");
}

/** Gives 1 if there were sessions. */
async function endSessionsOf(context: AccountContext, { user_nid, user_id }: Identity): Promise<number> {
  const ended = await context.database.transaction(async (tx) => (await endBrowserSessions(tx, user_nid)) + (await endAllSessions(context, tx, user_nid)));
  if (ended === 0) return 0;
  log.info({ user: user_id, sessions: ended }, "a user is not in the directory any more: the sessions were ended");
  return 1;
}

async function updateUser(context: AccountContext, { settings }: Directory, { user_nid, user_id, server_name }: Identity, claims: DirectoryUser["claims"]): Promise<void> {
  const { database, clock } = context;
  const name = fillIn(settings.display_name, claims);
  if (name !== "" && (await findProfile(database, user_id))?.get("displayname") !== JSON.stringify(name)) {
    await changeProfileField(context, { user_nid, user_id }, "displayname", { displayname: name });
  }
  const address = canonicalAddress("email", fillIn(settings.email, claims));
  if (address === undefined || (await listThirdPartyIds(database, user_nid)).some((known) => known.medium === "email" && known.address === address.address)) return;
  const now = clock.now();
  await database.transaction((tx) => addThirdPartyId(tx, { user_nid, server: server_name }, { ...address, validated_at: now, added_at: now }));
}
