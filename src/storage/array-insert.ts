// Inserts of any number of rows with one statement: each column is one array.
import type { Statement } from "./statement.js";

export type ColumnType = "bigint" | "integer" | "smallint" | "text" | "boolean" | "bytea" | "bigint[]";

/** A table that rows are added to in bulk. */
export interface ArrayInsert<R extends object> {
  readonly statement: Statement;
  /** Whether a row gets the position of its transaction, which is known only in the last flush. */
  readonly atPosition: boolean;
  values(rows: readonly R[]): unknown[];
}

/**
 * An insert into `table` of rows with these columns. `position` names a column that takes the position of the transaction;
 * `conflict` is the ON CONFLICT clause.
 */
export function arrayInsert<R extends object>(
  table: string,
  columns: { readonly [Name in keyof R & string]-?: ColumnType },
  options: { readonly position?: string; readonly conflict?: string } = {},
): ArrayInsert<R> {
  const names = Object.keys(columns).filter((name): name is keyof R & string => Object.hasOwn(columns, name));
  const list = [...names, ...(options.position === undefined ? [] : [options.position])].join(", ");
  // An array of arrays must be rectangular, so arrays inside a row travel as text.
  const selected = names.map((name) => (columns[name] === "bigint[]" ? `input.${name}::bigint[]` : `input.${name}`));
  if (options.position !== undefined) selected.push("currval('log_position')");
  const parameters = names.map((name, index) => {
    const type = columns[name];
    return `$${index + 1}::${type === "bigint[]" ? "text" : type}[]`;
  });
  return {
    statement: {
      name: `${table}_insert`,
      text: `INSERT INTO ${table} (${list}) SELECT ${selected.join(", ")} FROM unnest(${parameters.join(", ")})
        AS input (${names.join(", ")}) ${options.conflict ?? ""}`,
    },
    atPosition: options.position !== undefined,
    values: (rows) => names.map((name) => rows.map((row) => encode(columns[name], row[name]))),
  };
}

function encode(type: ColumnType | undefined, value: unknown): unknown {
  if (type === "bigint[]" && Array.isArray(value)) return `{${value.join(",")}}`;
  return value ?? null;
}
