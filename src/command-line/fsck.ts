// `hansa fsck`: checks that what the tables say of each other is true.
import { fsck } from "../storage/fsck.js";
import { withDatabase } from "./users.js";

export async function checkDatabase(options: { config?: string; json?: boolean }): Promise<void> {
  const { checks, problems } = await withDatabase(options, ({ database }) =>
    fsck(database, (check) => {
      if (options.json !== true) console.error(`Checking: ${check}`);
    }),
  );
  if (problems.length > 0) process.exitCode = 1;
  if (options.json === true) {
    console.log(JSON.stringify({ checks, problems }));
    return;
  }
  for (const { check, where } of problems) console.log(`${check}: ${where}`);
  console.log(problems.length === 0 ? `All ${checks} checks found the database sound.` : `${problems.length} problems were found.`);
}
