// A process that owns rooms on a database that exists, and sends what it is told: for tests that stop it.
import { parseRoomId } from "../../src/protocol/identifiers.js";
import type { DatabaseAddress } from "../../src/storage/database.js";
import { message, startProcess, user } from "../support/rooms.js";

async function main(address: DatabaseAddress, room: string): Promise<void> {
  const engine = await startProcess(address);
  const roomId = parseRoomId(room);
  if (roomId === undefined) throw new Error("no room id");
  process.on("message", (body) => {
    engine.owners
      .submit(roomId, [message(user("alice"), String(body), String(body))])
      .then(([result]) => (result !== undefined && "error" in result ? "refused" : "sent"))
      .catch(() => "failed")
      .then((outcome) => process.send?.(outcome))
      .catch(() => process.exit(1));
  });
  process.send?.("ready");
}

await main(JSON.parse(process.argv[2] ?? "") as DatabaseAddress, process.argv[3] ?? "");
