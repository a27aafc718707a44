// Simplified sliding sync (MSC4186).
import type * as spec from "../../../spec/client/sliding-sync.js";
import { slidingRequest } from "../../sync/sliding/request.js";
import { slidingSync as answerSync } from "../../sync/sliding/sliding-sync.js";
import { Reply, type Handler } from "../handler.js";

export const slidingSync: Handler<typeof spec.slidingSync> = async (services, { auth, query, body, signal }) => {
  const request = slidingRequest(body, auth.user_id);
  const gone = await services.presence.syncing(auth.user_nid, auth.device_id ?? "", query.set_presence ?? "online");
  try {
    // Some clients send the position inside the body.
    const asked = { pos: query.pos ?? body.pos, timeoutMs: query.timeout ?? 0 };
    return new Reply(200, await answerSync(services.sync, auth, request, asked, signal));
  } finally {
    gone();
  }
};
