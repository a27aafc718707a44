// What a client wants of a sync (client-server API, "Filtering"), compiled.
import type { Filter } from "../../spec/types/filter.js";
import type { EventFormat } from "../protocol/client-event.js";
import { compileEventFields, compileFilter, compileRooms, type EventTest } from "../protocol/filter.js";
import type { JsonObject } from "../protocol/json.js";
import type { RelatedFilter } from "../rooms/views/related-filter.js";

const DEFAULT_TIMELINE = 10;
const MAX_TIMELINE = 1_000;

/** A filter ready for use. A test that is absent lets everything pass. */
export interface SyncFilter {
  readonly room: (roomId: string) => boolean;
  readonly includeLeave: boolean;
  readonly timeline: EventTest | undefined;
  readonly timelineLimit: number;
  /** What is asked of the events that relate to those of the timeline. */
  readonly related: RelatedFilter | undefined;
  readonly state: EventTest | undefined;
  readonly ephemeral: EventTest | undefined;
  readonly roomAccountData: EventTest | undefined;
  readonly accountData: EventTest | undefined;
  readonly presence: EventTest | undefined;
  /** Whether any presence passes. */
  readonly wantsPresence: boolean;
  readonly lazyLoadMembers: boolean;
  readonly includeRedundantMembers: boolean;
  readonly threadNotifications: boolean;
  readonly format: EventFormat;
  readonly fields: ((event: JsonObject) => JsonObject) | undefined;
}

function test(filter: Parameters<typeof compileFilter>[0] | undefined): EventTest | undefined {
  const { limit: _limit, lazy_load_members: _lazy, include_redundant_members: _redundant, ...rest } = filter ?? {};
  const { unread_thread_notifications: _threads, related_by_senders: _senders, related_by_rel_types: _types, ...tests } = rest;
  return Object.values(tests).some((value) => value !== undefined) ? compileFilter(tests) : undefined;
}

function relatedFilter({ related_by_senders, related_by_rel_types }: RelatedFilter): RelatedFilter | undefined {
  return related_by_senders === undefined && related_by_rel_types === undefined
    ? undefined
    : { related_by_senders, related_by_rel_types };
}

/** Compiles a filter whose JSON was checked. */
export function compileSyncFilter(filter: Filter): SyncFilter {
  const room = filter.room ?? {};
  const lazy = [room.state, room.timeline];
  return {
    room: compileRooms(room),
    includeLeave: room.include_leave ?? false,
    timeline: test(room.timeline),
    related: relatedFilter(room.timeline ?? {}),
    timelineLimit: Math.min(room.timeline?.limit ?? DEFAULT_TIMELINE, MAX_TIMELINE),
    state: test(room.state),
    ephemeral: test(room.ephemeral),
    roomAccountData: test(room.account_data),
    accountData: test(filter.account_data),
    presence: test(filter.presence),
    wantsPresence: filter.presence?.types?.length !== 0,
    lazyLoadMembers: lazy.some((part) => part?.lazy_load_members === true),
    includeRedundantMembers: lazy.some((part) => part?.include_redundant_members === true),
    threadNotifications: room.timeline?.unread_thread_notifications ?? false,
    format: filter.event_format ?? "client",
    fields: filter.event_fields === undefined ? undefined : compileEventFields(filter.event_fields),
  };
}

export const NO_FILTER = compileSyncFilter({});
