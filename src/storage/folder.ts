// Folders that the configuration names: made when they are not there, and looked at before anything relies on them.
import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ConfigError } from "../config.js";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "its file system is read-only",
  ENOSPC: "no space is left",
  EDQUOT: "the quota is used up",
  ENOTDIR: "a part of the path is a file",
  EEXIST: "it is a file",
  ENOENT: "its file system takes no folders",
  ELOOP: "its links lead in a circle",
  ENAMETOOLONG: "the path is too long",
};

/** Why the file system refused something, for a person; undefined where it was not the file system. */
export function fileFault(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error) || typeof error.code !== "string") return undefined;
  return REASONS[error.code] ?? error.code;
}

/**
 * Makes a folder, for its owner alone, with the folders above it, and sees that files can be put there. `setting` is what the
 * configuration calls it. Throws ConfigError.
 */
export function requireFolder(path: string, setting: string): void {
  const folder = resolve(path);
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new ConfigError(`The folder ${folder} cannot be used (${fileFault(cause) ?? String(cause)}). Check ${setting}.`, { cause });
  }
}

/** Not mkdir's own recursion: below /proc, Node's never ends. */
function makeFolder(folder: string): void {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) {
    const above = dirname(folder);
    if (above !== folder) makeFolder(above);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      // Another process was quicker.
      if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
    }
  } else if (!found.isDirectory()) {
    throw Object.assign(new Error(`${folder} is a file`), { code: "EEXIST", syscall: "mkdir" });
  }
}
