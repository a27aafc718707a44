// `hansa openapi`: the contract as an OpenAPI 3.1 document.
import type { TObject } from "typebox";
import type { Auth, Operation } from "../../spec/operation.js";
import { operations } from "../../spec/operations.js";

/** The document, made from the contract: TypeBox schemas are JSON Schema, which OpenAPI 3.1 takes as it is. */
function openApi(all: readonly Operation[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of all) {
    for (const [index, path] of operation.paths.entries()) {
      (paths[path] ??= {})[operation.method.toLowerCase()] = describeOperation(operation, index);
    }
  }
  return {
    openapi: "3.1.0",
    info: { title: "Hansa", version: "1", description: "The operations that this homeserver answers." },
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer" },
        signature: { type: "apiKey", in: "header", name: "Authorization", description: "The scheme X-Matrix." },
      },
    },
  };
}

const SECURITY: Readonly<Record<Auth, readonly Record<string, readonly string[]>[]>> = {
  none: [],
  optional: [{}, { token: [] }],
  unchecked: [{}, { token: [] }],
  user: [{ token: [] }],
  admin: [{ token: [] }],
  server: [{ signature: [] }],
};

function describeOperation(operation: Operation, index: number): Record<string, unknown> {
  const { operationId, summary, auth, params, query, headers, body, response } = operation;
  return {
    // Further paths of an operation need ids of their own.
    operationId: index === 0 ? operationId : `${operationId}_${index + 1}`,
    summary,
    ...(index > 0 && { deprecated: true }),
    security: SECURITY[auth],
    parameters: [...parameters("path", params), ...parameters("query", query), ...parameters("header", headers)],
    ...(body !== undefined && { requestBody: { content: contentOf(body) } }),
    responses: {
      "200": { description: "Success", content: { "application/json": { schema: response } } },
      default: { description: "A Matrix error" },
    },
  };
}

function contentOf(body: NonNullable<Operation["body"]>): Record<string, unknown> {
  return body === "bytes" ? { "*/*": {} } : { "application/json": { schema: body } };
}

function parameters(place: "path" | "query" | "header", schema: TObject | undefined): Record<string, unknown>[] {
  const needed: readonly string[] = schema?.required ?? [];
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => ({
    name,
    in: place,
    required: place === "path" || needed.includes(name),
    schema: property,
  }));
}

export function printOpenApi(): void {
  process.stdout.write(`${JSON.stringify(openApi(operations), undefined, 2)}\n`);
}
