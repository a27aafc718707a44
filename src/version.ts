// The version of this program.
import { readFileSync } from "node:fs";

const about: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

export const VERSION = typeof about === "object" && about !== null && "version" in about ? String(about.version) : "0";
