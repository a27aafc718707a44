// State of a room: one value for each (type, state_key).

declare const brand: unique symbol;
/** (type, state_key) as one string. The length in front makes it injective whatever characters the two hold. */
export type StateTuple = string & { readonly [brand]: "StateTuple" };

export type StateMap<T> = ReadonlyMap<StateTuple, T>;

/** The key of (type, state_key) in a StateMap. */
export function stateTuple(type: string, stateKey: string): StateTuple {
  return `${type.length}:${type}${stateKey}` as StateTuple;
}

/** The (type, state_key) of a key. */
export function splitStateTuple(tuple: StateTuple): readonly [type: string, stateKey: string] {
  const colon = tuple.indexOf(":");
  const end = colon + 1 + Number(tuple.slice(0, colon));
  return [tuple.slice(colon + 1, end), tuple.slice(end)];
}
