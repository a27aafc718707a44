// Dot-separated property paths (appendices): how filters and push rules name a property of an event.
import { isObject, type JsonObject, type JsonValue, own } from "./json.js";

/** The property names of a path: dots separate, `\.` and `\\` are a dot and a backslash, other escapes stay as they are. */
export function parsePath(path: string): readonly string[] {
  const names: string[] = [];
  let name = "";
  for (let i = 0; i < path.length; i++) {
    const next = path[i + 1];
    if (path[i] === "\\" && (next === "." || next === "\\")) {
      name += next;
      i++;
    } else if (path[i] === ".") {
      names.push(name);
      name = "";
    } else name += path[i];
  }
  return [...names, name];
}

/** The value at a path, or undefined. */
export function valueAt(object: JsonObject, path: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = object;
  for (const name of path) {
    if (!isObject(value)) return undefined;
    value = own(value, name);
  }
  return value;
}

/** A copy of an object with only what some paths lead to. */
export function pickPaths(object: JsonObject, paths: readonly (readonly string[])[]): JsonObject {
  const kept: [string, JsonValue][] = [];
  for (const [name, value] of Object.entries(object)) {
    const rests = paths.filter((path) => path[0] === name).map((path) => path.slice(1));
    if (rests.some((rest) => rest.length === 0)) kept.push([name, value]);
    else if (rests.length > 0 && isObject(value)) {
      const part = pickPaths(value, rests);
      if (Object.keys(part).length > 0) kept.push([name, part]);
    }
  }
  return Object.fromEntries(kept);
}
