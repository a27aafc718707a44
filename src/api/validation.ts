// Checks what comes from outside against the contract. Validators are compiled when first needed.
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { TSchema } from "typebox";
import { badJson, invalidParam, missingParam, type MatrixError } from "../errors.js";
import {
  parseDeviceId,
  parseEventId,
  parseRoomAlias,
  parseRoomId,
  parseServerName,
  parseUserId,
} from "../protocol/identifiers.js";

type Place = "params" | "query" | "headers" | "body" | "response";

const FORMATS: Readonly<Record<string, (value: string) => boolean>> = {
  "mx-user-id": (value) => parseUserId(value) !== undefined,
  "mx-room-id": (value) => parseRoomId(value) !== undefined,
  "mx-event-id": (value) => parseEventId(value) !== undefined,
  "mx-room-alias": (value) => parseRoomAlias(value) !== undefined,
  "mx-room-id-or-alias": (value) => parseRoomId(value) !== undefined || parseRoomAlias(value) !== undefined,
  "mx-server-name": (value) => parseServerName(value) !== undefined,
  "mx-device-id": (value) => parseDeviceId(value) !== undefined,
};

const strict = new Ajv({ strictTypes: false, unicodeRegExp: false });
const converting = new Ajv({ strictTypes: false, unicodeRegExp: false, coerceTypes: "array", useDefaults: true });
for (const ajv of [strict, converting]) {
  for (const [name, valid] of Object.entries(FORMATS)) ajv.addFormat(name, valid);
  // Lengths of the specification are in bytes of UTF-8; JSON Schema's are in characters.
  ajv.addKeyword({
    keyword: "maxBytes",
    type: "string",
    schemaType: "number",
    error: { message: ({ schema }) => `must have at most ${String(schema)} bytes` },
    validate: (limit: number, value: string) => Buffer.byteLength(value) <= limit,
  });
}

const compiled = new WeakMap<TSchema, ValidateFunction>();

function validator(schema: TSchema, place: Place): ValidateFunction {
  let found = compiled.get(schema);
  if (found === undefined) {
    found = (place === "body" || place === "response" ? strict : converting).compile(schema);
    compiled.set(schema, found);
  }
  return found;
}

/** Gives the value back as the schema's type. Throws the Matrix error that says what is wrong with it. */
export function check(schema: TSchema, place: Place, value: unknown): unknown {
  const validate = validator(schema, place);
  if (!validate(value)) throw refusal(place, validate.errors?.[0]);
  return value;
}

function refusal(place: Place, error: ErrorObject | undefined): MatrixError {
  const where = error?.instancePath.slice(1).replaceAll("/", ".") || "the value";
  if (error?.keyword === "required") {
    const name = [error.instancePath.slice(1).replaceAll("/", "."), String(error.params["missingProperty"])]
      .filter(Boolean)
      .join(".");
    return place === "body" ? badJson(`"${name}" is missing.`) : missingParam(`The parameter "${name}" is missing.`);
  }
  const text = `${place === "body" ? `"${where}"` : `The parameter "${where}"`} ${error?.message ?? "is not valid"}.`;
  return place === "body" ? badJson(text) : invalidParam(text);
}
