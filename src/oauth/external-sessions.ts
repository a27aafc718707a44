// Ends what came about through sessions at other providers of identities.
import type { AccountContext } from "../accounts/context.js";
import { endSessions } from "../accounts/sessions.js";
import { type EndedAtProvider, endExternalSessions, externalDevices } from "../storage/external-identities.js";

/** Ends the devices, browsers and codes that hang on sessions at a provider; gives how many devices that were. */
export async function endExternal(context: AccountContext, ended: EndedAtProvider): Promise<number> {
  const devices = await externalDevices(context.database, ended);
  for (const userNid of new Set(devices.map(({ user_nid }) => user_nid))) {
    await endSessions(context, userNid, devices.flatMap(({ user_nid, device_id }) => (user_nid === userNid ? [device_id] : [])));
  }
  await endExternalSessions(context.database, ended);
  return devices.length;
}
