// What a piece of SQL is to the rest of storage.

export type Row = Record<string, unknown>;

/** A statement with a name, so that each connection plans it once, and the type of the rows it gives. */
export interface Statement<R extends object = Row> {
  readonly name: string;
  readonly text: string;
  /** Never set: it only carries the type. */
  readonly row?: R;
}

/** Whatever runs statements: a transaction, or the database for a single one. */
export interface Queryable {
  query<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]>;
}

/** Whatever reads: the database as it is at each statement, or a snapshot of it as it was at one moment. */
export interface Reads {
  read<R extends object = Row>(statement: Statement<R>, values: readonly unknown[]): Promise<R[]>;
}
