// The path of the WebSocket transport, for requests that ask for no WebSocket; src/api/websockets.ts takes the others.
import type * as spec from "../../../spec/client/websocket.js";
import { MatrixError } from "../../errors.js";
import type { Handler } from "../handler.js";

export const websocketSync: Handler<typeof spec.websocketSync> = async () => {
  throw new MatrixError(426, "M_UNRECOGNIZED", "This path is for WebSockets.", { headers: { Upgrade: "websocket" } });
};
