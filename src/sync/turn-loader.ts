// One statement for many who ask at the same time: what woken syncs want in one turn of the event loop is read together.

interface Turn<Key, Value> {
  readonly keys: Map<string | number, Key>;
  readonly result: Promise<ReadonlyMap<string | number, Value>>;
}

export class TurnLoader<Key, Value> {
  readonly #nameOf: (key: Key) => string | number;
  readonly #read: (keys: readonly Key[]) => Promise<ReadonlyMap<string | number, Value>>;
  #turn: Turn<Key, Value> | undefined;

  /** `read` gives values by the names of their keys; keys without value may be left out. */
  constructor(
    nameOf: (key: Key) => string | number,
    read: (keys: readonly Key[]) => Promise<ReadonlyMap<string | number, Value>>,
  ) {
    this.#nameOf = nameOf;
    this.#read = read;
  }

  async load(key: Key): Promise<Value | undefined> {
    this.#turn ??= this.#begin();
    const { keys, result } = this.#turn;
    const name = this.#nameOf(key);
    keys.set(name, key);
    return (await result).get(name);
  }

  #begin(): Turn<Key, Value> {
    const keys = new Map<string | number, Key>();
    const result = new Promise<void>((resolve) => {
      setImmediate(resolve);
    }).then(() => {
      this.#turn = undefined;
      return this.#read([...keys.values()]);
    });
    return { keys, result };
  }
}
