// Strings that occur over and over (users, event types, state keys) and the numbers that stand for them in all tables.
import { LRUCache } from "lru-cache";
import { splitStateTuple, stateTuple, type StateTuple } from "../protocol/state-map.js";
import type { Database } from "./database.js";
import type { Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

const CACHED = 50_000;
const ATTEMPTS = 10;

interface Interned {
  readonly nid: number;
  readonly first: string;
  readonly second: string;
}

/** One table of strings: how its rows are found, made and read back. */
class Names {
  readonly #database: Database;
  readonly #intern: Statement<Interned>;
  readonly #find: Statement<Interned>;
  readonly #read: Statement<Interned>;
  readonly #numbers = new LRUCache<string, number>({ max: CACHED });
  readonly #names = new LRUCache<number, string>({ max: CACHED });

  constructor(database: Database, table: string, first: string, second?: string) {
    this.#database = database;
    const columns = second === undefined ? first : `${first}, ${second}`;
    const result = `${first} AS first, ${second ?? "''"} AS second`;
    const input = `unnest($1::text[], $2::text[]) AS input (first, second)`;
    const matches = second === undefined ? `${first} = input.first` : `${first} = input.first AND ${second} = input.second`;
    this.#intern = {
      name: `${table}_intern`,
      // A row that another transaction makes at the same time is seen by neither part: the caller asks again.
      text: `WITH made AS (
          INSERT INTO ${table} (${columns}) SELECT ${second === undefined ? "first" : "first, second"} FROM ${input}
          ON CONFLICT (${columns}) DO NOTHING RETURNING nid, ${result})
        SELECT nid, ${result} FROM ${table} JOIN ${input} ON ${matches} UNION ALL SELECT nid, first, second FROM made`,
    };
    this.#find = {
      name: `${table}_find`,
      text: `SELECT nid, ${result} FROM ${table} JOIN ${input} ON ${matches}`,
    };
    this.#read = { name: `${table}_read`, text: `SELECT nid, ${result} FROM ${table} WHERE nid = ANY($1)` };
  }

  forgetAll(): void {
    this.#numbers.clear();
    this.#names.clear();
  }

  /** The number of a string, if it was looked up or made not long ago. */
  known(name: string): number | undefined {
    return this.#numbers.get(name);
  }

  /** The numbers of strings; those that have none get one. */
  async intern(names: Iterable<string>, pair: (name: string) => readonly [string, string]): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    let missing = this.#cached(names, numbers);
    for (let attempt = 0; missing.length > 0; attempt += 1) {
      if (attempt === ATTEMPTS) throw new Error("interning does not come to an end");
      // Looking first: most strings exist, and an insert that meets a conflict uses up a number.
      const statement = attempt % 2 === 0 ? this.#find : this.#intern;
      await this.#query(statement, missing, pair, numbers);
      missing = missing.filter((name) => !numbers.has(name));
    }
    return numbers;
  }

  /** The numbers of those strings that have one. */
  async find(names: Iterable<string>, pair: (name: string) => readonly [string, string]): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    const missing = this.#cached(names, numbers);
    if (missing.length > 0) await this.#query(this.#find, missing, pair, numbers);
    return numbers;
  }

  /** The strings of numbers. */
  async read(nids: Iterable<number>, join: (first: string, second: string) => string): Promise<Map<number, string>> {
    const names = new Map<number, string>();
    const missing: number[] = [];
    for (const nid of new Set(nids)) {
      const name = this.#names.get(nid);
      if (name === undefined) missing.push(nid);
      else names.set(nid, name);
    }
    if (missing.length > 0) {
      for (const row of await this.#database.read(this.#read, [missing])) {
        const name = join(fromText(row.first), fromText(row.second));
        names.set(row.nid, name);
        this.#remember(name, row.nid);
      }
    }
    return names;
  }

  #cached(names: Iterable<string>, numbers: Map<string, number>): string[] {
    const missing: string[] = [];
    for (const name of new Set(names)) {
      const nid = this.#numbers.get(name);
      if (nid === undefined) missing.push(name);
      else numbers.set(name, nid);
    }
    return missing;
  }

  async #query(
    statement: Statement<Interned>,
    names: readonly string[],
    pair: (name: string) => readonly [string, string],
    numbers: Map<string, number>,
  ): Promise<void> {
    // In one order, so that two processes that make the same strings do not wait for each other in a circle.
    const stored = names
      .map((name) => ({ name, pair: pair(name).map(toText) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const byPair = new Map(stored.map(({ name, pair: [first, second] }) => [`${first}\0${second}`, name]));
    const rows = await this.#database.read(statement, [
      stored.map(({ pair: [first] }) => first),
      stored.map(({ pair: [, second] }) => second),
    ]);
    for (const row of rows) {
      const name = byPair.get(`${row.first}\0${row.second}`);
      if (name === undefined) continue;
      numbers.set(name, row.nid);
      this.#remember(name, row.nid);
    }
  }

  #remember(name: string, nid: number): void {
    this.#numbers.set(name, nid);
    this.#names.set(nid, name);
  }
}

const alone = (name: string): readonly [string, string] => [name, ""];
const first = (name: string): string => name;

/** The interned strings of a database, with the caches of one process. Numbers never change, so neither do the caches. */
export class Interning {
  readonly #users: Names;
  readonly #types: Names;
  readonly #tuples: Names;

  constructor(database: Database) {
    this.#users = new Names(database, "users", "user_id");
    this.#types = new Names(database, "event_types", "type");
    this.#tuples = new Names(database, "state_tuples", "type", "state_key");
  }

  /** Forgets all numbers: the database may have lost rows that it had. */
  forgetAll(): void {
    for (const names of [this.#users, this.#types, this.#tuples]) names.forgetAll();
  }

  /** Numbers of user ids, made where they are missing. */
  users(ids: Iterable<string>): Promise<Map<string, number>> {
    return this.#users.intern(ids, alone);
  }

  /** Numbers of those user ids that were ever seen. */
  findUsers(ids: Iterable<string>): Promise<Map<string, number>> {
    return this.#users.find(ids, alone);
  }

  userIds(nids: Iterable<number>): Promise<Map<number, string>> {
    return this.#users.read(nids, first);
  }

  /** Numbers of event types and relation types, made where they are missing. */
  types(types: Iterable<string>): Promise<Map<string, number>> {
    return this.#types.intern(types, alone);
  }

  findTypes(types: Iterable<string>): Promise<Map<string, number>> {
    return this.#types.find(types, alone);
  }

  typeNames(nids: Iterable<number>): Promise<Map<number, string>> {
    return this.#types.read(nids, first);
  }

  /** Numbers of (type, state_key), made where they are missing. */
  tuples(tuples: Iterable<StateTuple>): Promise<Map<string, number>> {
    return this.#tuples.intern(tuples, pairOf);
  }

  findTuples(tuples: Iterable<StateTuple>): Promise<Map<string, number>> {
    return this.#tuples.find(tuples, pairOf);
  }

  async tupleNames(nids: Iterable<number>): Promise<Map<number, StateTuple>> {
    const names = await this.#tuples.read(nids, stateTuple);
    return new Map([...names].map(([nid, name]) => [nid, stateTuple(...pairOf(name))]));
  }
}

function pairOf(tuple: string): readonly [string, string] {
  return splitStateTuple(stateTupleFrom(tuple));
}

/** The caches hold tuples as plain strings; they came in as StateTuple. */
function stateTupleFrom(tuple: string): StateTuple {
  return tuple as StateTuple;
}
