// Checks what comes from outside against the contract. Validators are compiled when first needed.
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { TSchema } from "typebox";
import { badJson, invalidParam, missingParam, type MatrixError } from "../errors.js";

type Place = "params" | "query" | "body" | "response";

const strict = new Ajv({ strictTypes: false, unicodeRegExp: false, validateFormats: true });
const converting = new Ajv({ strictTypes: false, unicodeRegExp: false, coerceTypes: "array", useDefaults: true });

const compiled = new WeakMap<TSchema, ValidateFunction>();

function validator(schema: TSchema, place: Place): ValidateFunction {
  let found = compiled.get(schema);
  if (found === undefined) {
    found = (place === "body" || place === "response" ? strict : converting).compile(schema);
    compiled.set(schema, found);
  }
  return found;
}

/** Names a format of identifiers; called once per format at start. */
export function addFormat(name: string, valid: (value: string) => boolean): void {
  for (const ajv of [strict, converting]) ajv.addFormat(name, valid);
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
