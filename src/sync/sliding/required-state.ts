// Which state of a room a sliding sync asks for (MSC4186, "required_state"): pairs of type and state key, with wildcards, the
// user's own key, and members as they are seen.
import type { UserId } from "../../protocol/identifiers.js";
import { isObject, type JsonValue, own } from "../../protocol/json.js";

const MEMBER = "m.room.member";
const ANY = "*";
const OWN = "$ME";
const LAZY = "$LAZY";

/** A set of required state. Sets of equal text are equal. */
export class RequiredState {
  readonly #keys: ReadonlyMap<string, ReadonlySet<string>>;
  /** Members are sent when they are seen. Wildcard types then do not reach them. */
  readonly lazy: boolean;
  readonly text: string;

  constructor(keys: ReadonlyMap<string, ReadonlySet<string>>, lazy: boolean) {
    this.#keys = keys;
    this.lazy = lazy;
    const sorted = [...keys].map(([type, of]) => [type, [...of].toSorted()] as const).toSorted(([a], [b]) => (a < b ? -1 : 1));
    this.text = JSON.stringify({ lazy, keys: Object.fromEntries(sorted) });
  }

  /** Whether it names this state itself. */
  has(type: string, stateKey: string): boolean {
    const named = this.#keys.get(type);
    if (named !== undefined && (named.has(ANY) || named.has(stateKey))) return true;
    if (this.lazy && type === MEMBER) return false;
    const everywhere = this.#keys.get(ANY);
    return everywhere !== undefined && (everywhere.has(ANY) || everywhere.has(stateKey));
  }

  /** Whether it has a wildcard for types, so that all state has to be looked through. */
  get anyType(): boolean {
    return this.#keys.has(ANY);
  }

  /** Whether that reaches members. */
  get anyMember(): boolean {
    return this.#keys.get(MEMBER)?.has(ANY) === true;
  }

  /** The types of which it names all state keys. */
  get wholeTypes(): string[] {
    return [...this.#keys].filter(([type, of]) => type !== ANY && of.has(ANY)).map(([type]) => type);
  }

  /** The single pairs of type and state key that it names. */
  get pairs(): (readonly [type: string, stateKey: string])[] {
    return [...this.#keys].flatMap(([type, of]) =>
      type === ANY || of.has(ANY) ? [] : [...of].map((stateKey) => [type, stateKey] as const),
    );
  }

  /** What this set or others name. */
  with(others: readonly RequiredState[]): RequiredState {
    if (others.every(({ text }) => text === this.text)) return this;
    const keys = new Map<string, Set<string>>();
    for (const { all } of [this, ...others]) for (const [type, of] of all) for (const key of of) add(keys, type, key);
    return new RequiredState(keys, this.lazy || others.some(({ lazy }) => lazy));
  }

  get all(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#keys;
  }
}

/** The set that a user asks for. */
export function requiredState(pairs: readonly (readonly [type: string, stateKey: string])[], user: UserId): RequiredState {
  const keys = new Map<string, Set<string>>();
  const lazy = pairs.some(([type, key]) => type === MEMBER && key === LAZY);
  for (const [type, key] of pairs) {
    if (key === LAZY) continue;
    const named = key === OWN ? user : key;
    add(keys, type, named);
    // Joined with a set that loads members lazily it would lose them.
    if (type === ANY && !lazy) add(keys, MEMBER, named);
  }
  return new RequiredState(keys, lazy);
}

/** The set of a text; an empty one for what is no such text. */
export function requiredStateOf(text: string): RequiredState {
  const parsed: JsonValue = text === "" ? null : JSON.parse(text);
  const all = isObject(parsed) ? own(parsed, "keys") : undefined;
  const keys = new Map<string, Set<string>>();
  for (const [type, of] of Object.entries(isObject(all) ? all : {})) {
    for (const key of Array.isArray(of) ? of : []) if (typeof key === "string") add(keys, type, key);
  }
  return new RequiredState(keys, isObject(parsed) && own(parsed, "lazy") === true);
}

function add(keys: Map<string, Set<string>>, type: string, key: string): void {
  const of = keys.get(type);
  if (of === undefined) keys.set(type, new Set([key]));
  else of.add(key);
}
