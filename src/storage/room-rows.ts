// The rows that a change of a room writes, and the one statement per table that writes them for many rooms at once.
import { arrayInsert, type ArrayInsert } from "./array-insert.js";
import type { Statement } from "./statement.js";

/** Membership as it is stored. The numbers are never given another meaning. */
export const MEMBERSHIPS = { join: 1, invite: 2, knock: 3, leave: 4, ban: 5 } as const;

/** What the room did with an event, as bits. */
export const FLAGS = { outlier: 1, rejected: 2, soft_failed: 4 } as const;

export interface NewRoomRow {
  readonly nid: number;
  readonly room_id: string;
  readonly version: string;
  readonly revision: number;
  readonly owner: number;
  readonly extremities: readonly number[];
  readonly ordinal: number;
  readonly snapshot: number | null;
}

/** What a room row becomes, if it is still as its owner knows it. */
export interface FenceRow {
  readonly nid: number;
  readonly revision: number;
  readonly owner: number;
  readonly extremities: readonly number[];
  readonly ordinal: number;
  readonly snapshot: number | null;
}

export interface EventRow {
  readonly nid: number;
  readonly room_nid: number;
  readonly event_id: string;
  readonly type_nid: number;
  readonly tuple_nid: number | null;
  readonly sender_nid: number;
  readonly depth: number;
  readonly origin_server_ts: number;
  readonly ordinal: number | null;
  readonly flags: number;
  readonly state_before: number | null;
  readonly prev_nids: readonly number[];
  readonly auth_nids: readonly number[];
  readonly replaces: number | null;
  readonly relates_to: number | null;
  readonly rel_type_nid: number | null;
  readonly thread_root: number | null;
  readonly thread_ordinal: number | null;
}

export interface BodyRow {
  readonly nid: number;
  readonly json: string;
}

export interface CurrentStateRow {
  readonly room_nid: number;
  readonly tuple_nid: number;
  readonly event_nid: number | null;
  readonly type_nid: number;
  readonly user_nid: number | null;
  readonly membership: number | null;
}

export interface MembershipRow {
  readonly user_nid: number;
  readonly room_nid: number;
  readonly membership: number;
  readonly event_nid: number;
}

export interface SnapshotRow {
  readonly nid: number;
  readonly room_nid: number;
  readonly number: number;
  readonly parent: number | null;
  readonly tuple_nids: readonly number[];
  readonly event_nids: readonly number[];
}

export interface AuthChainRow {
  readonly event_nid: number;
  readonly chain: number;
  readonly sequence: number;
}

export interface AuthChainLinkRow {
  readonly chain: number;
  readonly sequence: number;
  readonly target_chain: number;
  readonly target_sequence: number;
}

export interface TransactionIdRow {
  readonly key: Buffer;
  readonly event_nid: number;
  readonly user_nid: number;
  readonly device_id: string;
  readonly txn_id: string;
}

export interface RedactionRow {
  readonly nid: number;
  readonly redacted_by: number;
}

export interface MissingEventRow {
  readonly room_nid: number;
  readonly event_id: string;
  readonly named_by: number;
}

/** All rows of one change, by kind. */
export interface RoomRows {
  readonly rooms?: readonly NewRoomRow[];
  readonly fences?: readonly FenceRow[];
  readonly transaction_ids?: readonly TransactionIdRow[];
  readonly state_event_json?: readonly BodyRow[];
  readonly message_json?: readonly BodyRow[];
  readonly snapshots?: readonly SnapshotRow[];
  readonly auth_chains?: readonly AuthChainRow[];
  readonly auth_chain_links?: readonly AuthChainLinkRow[];
  readonly missing_events?: readonly MissingEventRow[];
  readonly events?: readonly EventRow[];
  readonly redactions?: readonly RedactionRow[];
  readonly current_state?: readonly CurrentStateRow[];
  readonly memberships?: readonly MembershipRow[];
}

const FENCE: ArrayInsert<FenceRow> = {
  statement: {
    name: "rooms_fence",
    text: "SELECT fence_rooms($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[])",
  },
  atPosition: false,
  values: (rows) => [
    rows.map((row) => row.nid),
    rows.map((row) => row.revision),
    rows.map((row) => row.owner),
    rows.map((row) => `{${row.extremities.join(",")}}`),
    rows.map((row) => row.ordinal),
    rows.map((row) => row.snapshot),
  ],
};

const REDACT: ArrayInsert<RedactionRow> = {
  statement: {
    name: "events_redact",
    text: `UPDATE events SET redacted_by = input.redacted_by FROM unnest($1::bigint[], $2::bigint[]) AS input (nid, redacted_by)
      WHERE events.nid = input.nid AND events.redacted_by IS NULL`,
  },
  // In the last flush, so that it finds what the same transaction inserts.
  atPosition: true,
  values: (rows) => [rows.map((row) => row.nid), rows.map((row) => row.redacted_by)],
};

const ROOMS = arrayInsert<NewRoomRow>("rooms", {
  nid: "bigint",
  room_id: "text",
  version: "text",
  revision: "bigint",
  owner: "bigint",
  extremities: "bigint[]",
  ordinal: "bigint",
  snapshot: "bigint",
});

const EVENTS = arrayInsert<EventRow>(
  "events",
  {
    nid: "bigint",
    room_nid: "bigint",
    event_id: "text",
    type_nid: "integer",
    tuple_nid: "bigint",
    sender_nid: "bigint",
    depth: "bigint",
    origin_server_ts: "bigint",
    ordinal: "bigint",
    flags: "smallint",
    state_before: "bigint",
    prev_nids: "bigint[]",
    auth_nids: "bigint[]",
    replaces: "bigint",
    relates_to: "bigint",
    rel_type_nid: "integer",
    thread_root: "bigint",
    thread_ordinal: "bigint",
  },
  { position: "position" },
);

const STATE_EVENT_JSON = arrayInsert<BodyRow>("state_event_json", { nid: "bigint", json: "text" });
const MESSAGE_JSON = arrayInsert<BodyRow>("message_json", { nid: "bigint", json: "text" });

const CURRENT_STATE = arrayInsert<CurrentStateRow>(
  "current_state",
  {
    room_nid: "bigint",
    tuple_nid: "bigint",
    event_nid: "bigint",
    type_nid: "integer",
    user_nid: "bigint",
    membership: "smallint",
  },
  {
    position: "position",
    conflict: `ON CONFLICT (room_nid, tuple_nid) DO UPDATE SET event_nid = excluded.event_nid,
      position = excluded.position, membership = excluded.membership`,
  },
);

const MEMBERSHIP_ROWS = arrayInsert<MembershipRow>(
  "memberships",
  { user_nid: "bigint", room_nid: "bigint", membership: "smallint", event_nid: "bigint" },
  {
    position: "position",
    conflict: `ON CONFLICT (user_nid, room_nid) DO UPDATE SET membership = excluded.membership,
      event_nid = excluded.event_nid, position = excluded.position, forgotten = false`,
  },
);

const SNAPSHOTS = arrayInsert<SnapshotRow>("state_snapshots", {
  nid: "bigint",
  room_nid: "bigint",
  number: "bigint",
  parent: "bigint",
  tuple_nids: "bigint[]",
  event_nids: "bigint[]",
});

const AUTH_CHAINS = arrayInsert<AuthChainRow>("auth_chains", { event_nid: "bigint", chain: "bigint", sequence: "bigint" });

const AUTH_CHAIN_LINKS = arrayInsert<AuthChainLinkRow>("auth_chain_links", {
  chain: "bigint",
  sequence: "bigint",
  target_chain: "bigint",
  target_sequence: "bigint",
});

const TRANSACTION_IDS = arrayInsert<TransactionIdRow>("transaction_ids", {
  key: "bytea",
  event_nid: "bigint",
  user_nid: "bigint",
  device_id: "text",
  txn_id: "text",
});

const MISSING_EVENTS = arrayInsert<MissingEventRow>("missing_events", {
  room_nid: "bigint",
  event_id: "text",
  named_by: "bigint",
});

/** A statement with its values, and whether it needs the position. */
export interface BoundStatement {
  readonly statement: Statement;
  readonly values: readonly unknown[];
  readonly atPosition?: boolean;
}

function bind<R extends object>(insert: ArrayInsert<R>, batches: readonly (readonly R[] | undefined)[]): BoundStatement[] {
  const rows = batches.flatMap((batch) => batch ?? []);
  if (rows.length === 0) return [];
  return [{ statement: insert.statement, values: insert.values(rows), atPosition: insert.atPosition }];
}

/** The statements that write the rows of many changes: the fence first, so that a lost one costs least. */
export function roomStatements(changes: readonly RoomRows[]): BoundStatement[] {
  return [
    ...bind(FENCE, changes.map((rows) => rows.fences)),
    ...bind(ROOMS, changes.map((rows) => rows.rooms)),
    ...bind(TRANSACTION_IDS, changes.map((rows) => rows.transaction_ids)),
    ...bind(STATE_EVENT_JSON, changes.map((rows) => rows.state_event_json)),
    ...bind(MESSAGE_JSON, changes.map((rows) => rows.message_json)),
    ...bind(SNAPSHOTS, changes.map((rows) => rows.snapshots)),
    ...bind(AUTH_CHAINS, changes.map((rows) => rows.auth_chains)),
    ...bind(AUTH_CHAIN_LINKS, changes.map((rows) => rows.auth_chain_links)),
    ...bind(MISSING_EVENTS, changes.map((rows) => rows.missing_events)),
    ...bind(EVENTS, changes.map((rows) => rows.events)),
    ...bind(REDACT, changes.map((rows) => rows.redactions)),
    ...bind(CURRENT_STATE, changes.map((rows) => rows.current_state)),
    ...bind(MEMBERSHIP_ROWS, changes.map((rows) => rows.memberships)),
  ];
}

/** PostgreSQL's code for a room that someone else changed. */
export const FENCED = "HA001";
