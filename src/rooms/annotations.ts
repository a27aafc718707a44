// Annotations such as reactions (client-server API, "Event annotations and reactions").
import { MatrixError } from "../errors.js";
import { parseEventId } from "../protocol/identifiers.js";
import { isObject, type JsonObject, own, ownString } from "../protocol/json.js";
import { annotationsBy } from "../storage/relations.js";
import { transactionIdsOf } from "../storage/transaction-ids.js";
import type { RoomContext } from "./context.js";

/**
 * Throws M_DUPLICATE_ANNOTATION if the content annotates an event as its sender has done already ("Avoiding duplicate
 * annotations"). What was sent under the same transaction id is the same event, not another one.
 */
export async function requireNewAnnotation(
  { database, events }: RoomContext,
  { user_nid, device_id }: { readonly user_nid: number; readonly device_id: string | undefined },
  type: string,
  content: JsonObject,
  txnId: string,
): Promise<void> {
  const relation = own(content, "m.relates_to");
  if (!isObject(relation) || ownString(relation, "rel_type") !== "m.annotation") return;
  const target = parseEventId(own(relation, "event_id"));
  const key = ownString(relation, "key");
  if (target === undefined || key === undefined) return;
  const nids = await annotationsBy(database, target, user_nid, type);
  const same = [...(await events.get(database, nids)).values()].filter(({ event }) => {
    const other = own(event.content, "m.relates_to");
    return isObject(other) && ownString(other, "key") === key;
  });
  if (same.length === 0) return;
  const sent = await transactionIdsOf(
    database,
    same.map(({ row }) => row.nid),
    user_nid,
    device_id ?? "",
  );
  if ([...sent.values()].includes(txnId)) return;
  throw new MatrixError(400, "M_DUPLICATE_ANNOTATION", "You have annotated this event in the same way before.");
}
