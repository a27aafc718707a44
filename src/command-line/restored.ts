// `hansa restored`: says that the database's files were put back from a copy.
import { markRestored } from "../storage/epoch.js";
import { withDatabase } from "./users.js";

export async function noteRestored(options: { config?: string; json?: boolean }): Promise<void> {
  await withDatabase(options, ({ database }) => markRestored(database));
  console.log(
    options.json === true
      ? JSON.stringify({ restored: true })
      : "Noted. From the next start on, clients that know more than this copy begin anew, and no position or key is given out twice.",
  );
}
