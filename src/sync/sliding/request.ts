// What a sliding sync asks for, checked and compiled: which rooms, and what of each.
import type { SlidingBody, SlidingExtensions, SlidingFilters, SlidingScope } from "../../../spec/client/sliding-sync.js";
import { invalidParam } from "../../errors.js";
import type { UserId } from "../../protocol/identifiers.js";
import { requiredState, type RequiredState } from "./required-state.js";

/** More events of one room an answer never has. */
const MAX_TIMELINE = 100;
/** Pairs of required state in all of a request. */
const MAX_REQUIRED = 1_000;

/** What is asked for of a room. */
export interface RoomConfig {
  readonly timelineLimit: number;
  readonly required: RequiredState;
}

export interface SlidingList extends RoomConfig {
  readonly name: string;
  /** First and last places, both included; undefined: all. */
  readonly ranges: readonly (readonly [number, number])[] | undefined;
  readonly filters: SlidingFilters;
}

export interface SlidingRequest {
  readonly conn_id: string;
  readonly txn_id: string | undefined;
  readonly lists: readonly SlidingList[];
  readonly subscriptions: ReadonlyMap<string, RoomConfig>;
  readonly extensions: SlidingExtensions;
}

/** Compiles the body of a request of a user. Throws M_INVALID_PARAM for ranges that end before they begin, and for too much. */
export function slidingRequest(body: SlidingBody, user: UserId): SlidingRequest {
  let required = 0;
  const config = ({ timeline_limit, required_state = [] }: { timeline_limit: number; required_state?: [string, string][] }): RoomConfig => {
    required += required_state.length;
    return { timelineLimit: Math.min(timeline_limit, MAX_TIMELINE), required: requiredState(required_state, user) };
  };
  const lists = Object.entries(body.lists ?? {}).map(([name, { ranges, filters = {}, ...rest }]): SlidingList => {
    if (ranges?.some(([from, to]) => from > to) === true) throw invalidParam(`A range of the list "${name}" ends before it begins.`);
    return { name, ranges, filters, ...config(rest) };
  });
  const subscriptions = new Map(Object.entries(body.room_subscriptions ?? {}).map(([room, of]) => [room, config(of)]));
  if (required > MAX_REQUIRED) throw invalidParam("This asks for too much required_state.");
  return { conn_id: body.conn_id ?? "", txn_id: body.txn_id, lists, subscriptions, extensions: body.extensions ?? {} };
}

/** What several lists and subscriptions ask for of the same room. */
export function combined(configs: readonly RoomConfig[]): RoomConfig | undefined {
  const [first, ...others] = configs;
  if (first === undefined || others.length === 0) return first;
  return {
    timelineLimit: Math.max(...configs.map(({ timelineLimit }) => timelineLimit)),
    required: first.required.with(others.map(({ required }) => required)),
  };
}

/** Where a room of an answer comes from. */
export interface RoomOrigin {
  readonly room_id: string;
  readonly lists: readonly string[];
  readonly subscribed: boolean;
}

/** Whether an extension is asked for in a room. */
export function inScope(scope: SlidingScope | undefined, { room_id, lists, subscribed }: RoomOrigin): boolean {
  if (scope?.enabled !== true) return false;
  const { lists: wantedLists = ["*"], rooms = ["*"] } = scope;
  if (lists.some((name) => wantedLists.includes("*") || wantedLists.includes(name))) return true;
  return subscribed && (rooms.includes("*") || rooms.includes(room_id));
}
