// One statement for many who ask at the same time: what woken syncs want in one turn of the event loop is read together, and
// what requests want that come one by one while such a statement runs.

interface Turn<Key, Value> {
  readonly keys: Map<string | number, Key>;
  readonly result: Promise<ReadonlyMap<string | number, Value>>;
}

export class TurnLoader<Key, Value> {
  readonly #nameOf: (key: Key) => string | number;
  readonly #read: (keys: readonly Key[]) => Promise<ReadonlyMap<string | number, Value>>;
  readonly #oneAtATime: boolean;
  #turn: Turn<Key, Value> | undefined;
  #running: Promise<unknown> = Promise.resolve();

  /**
   * `read` gives values by the names of their keys; keys without value may be left out. With `oneAtATime` it is not called
   * again before it has ended: who asks meanwhile is served together.
   */
  constructor(
    nameOf: (key: Key) => string | number,
    read: (keys: readonly Key[]) => Promise<ReadonlyMap<string | number, Value>>,
    { oneAtATime = false } = {},
  ) {
    this.#nameOf = nameOf;
    this.#read = read;
    this.#oneAtATime = oneAtATime;
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
    const result = this.#whenDue().then(() => {
      this.#turn = undefined;
      const reading = this.#read([...keys.values()]);
      this.#running = reading;
      return reading;
    });
    return { keys, result };
  }

  async #whenDue(): Promise<void> {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    if (this.#oneAtATime) await this.#running.catch(() => undefined);
  }
}
