// Free JSON objects, where the specification leaves the content to clients.
import { Type } from "typebox";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export const JsonObject = Type.Unsafe<JsonObject>({ type: "object" });
