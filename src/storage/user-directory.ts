// Finding users by their names.
import type { Reads, Statement } from "./statement.js";
import { fromText, toText } from "./text.js";

/** Users of one kind of match that are looked at: the searcher may see none of them. */
const CANDIDATES = 2_000;

/** Rooms of the searcher in which users of other servers are looked for by their names there, and these users. */
const ROOMS = 100;
const MEMBERS = 10_000;

/** SQL for a text in the content of a member event, as JSON. */
const inMember = (key: string, json: string): string => `substring(${json} FROM '"${key}":("(?:[^"\\\\]|\\\\.)*")')`;

/** The largest character: what begins with a text lies before the text with it. */
const LAST = "chr(1114111)";

export interface FoundUser {
  readonly user_id: string;
  /** JSON texts. */
  readonly displayname: string | null;
  readonly avatar_url: string | null;
}

// Better matches first, and of each only as many are looked at as it takes: whether the searcher may see someone is asked one by one.
const FIND: Statement<FoundUser> = {
  name: "user_directory_find", // profile_fields_folded, users_prefix, *_trigrams; current_state_user, memberships_pkey, open_rooms_pkey
  text: `WITH found AS (
      (SELECT user_nid, (folded <> $2)::integer AS rank FROM profile_fields WHERE folded ~>=~ $2 AND folded ~<~ ($2 || ${LAST})
        ORDER BY folded USING ~<~ LIMIT ${CANDIDATES})
      UNION ALL
      (SELECT nid, (split_part(lower(user_id), ':', 1) <> split_part($3, ':', 1))::integer FROM users
        WHERE lower(user_id) ~>=~ $3 AND lower(user_id) ~<~ ($3 || ${LAST}) ORDER BY lower(user_id) USING ~<~ LIMIT ${CANDIDATES})
      UNION ALL
      (SELECT user_nid, 2 FROM profile_fields WHERE folded IS NOT NULL AND folded LIKE $4 AND folded LIKE ALL($5::text[]) LIMIT ${CANDIDATES})
      UNION ALL
      (SELECT nid, 2 FROM users WHERE lower(user_id) LIKE $6 LIMIT ${CANDIDATES})
      UNION ALL
      -- Users of other servers have the names that they have in rooms.
      (SELECT user_nid, (name NOT LIKE $10)::integer * 2 FROM (
          SELECT theirs.user_nid, lower(${inMember("displayname", "b.json")}) AS name
          FROM (SELECT room_nid FROM memberships WHERE user_nid = $1 AND membership = 1 LIMIT ${ROOMS}) mine
          CROSS JOIN LATERAL (SELECT user_nid, event_nid FROM current_state c WHERE c.room_nid = mine.room_nid AND c.membership = 1
            AND NOT EXISTS (SELECT FROM accounts WHERE accounts.user_nid = c.user_nid) LIMIT ${CANDIDATES}) theirs
          CROSS JOIN LATERAL (SELECT json FROM state_event_json b WHERE b.nid = theirs.event_nid LIMIT 1) b
          CROSS JOIN LATERAL (SELECT FROM events e WHERE e.nid = theirs.event_nid AND e.redacted_by IS NULL LIMIT 1) e
          LIMIT ${MEMBERS}) member
        WHERE name LIKE $10 OR ($4::text IS NOT NULL AND name LIKE ALL($5::text[]))))
    SELECT candidate.user_id,
      coalesce(displayname, ${inMember("displayname", "member.json")}) AS displayname,
      coalesce((SELECT value FROM profile_fields WHERE user_nid = candidate.nid AND name = 'avatar_url'), ${inMember("avatar_url", "member.json")}) AS avatar_url
    FROM (
        SELECT u.nid, u.user_id, name.value AS displayname, account.user_nid IS NOT NULL AS is_local, best.rank
        FROM (SELECT user_nid, min(rank) AS rank FROM found GROUP BY user_nid) best
        JOIN users u ON u.nid = best.user_nid
        LEFT JOIN accounts account ON account.user_nid = u.nid
        LEFT JOIN LATERAL (SELECT value, folded FROM profile_fields WHERE user_nid = u.nid AND profile_fields.name = 'displayname' LIMIT 1) name ON true
        WHERE account.user_nid IS NULL OR (deactivated_ts IS NULL AND NOT locked AND (NOT is_guest OR $7))
        ORDER BY best.rank, name.value IS NULL, name.folded, u.user_id OFFSET 0) candidate
      CROSS JOIN LATERAL (
        SELECT NULL::bigint AS event_nid WHERE candidate.is_local AND candidate.user_id LIKE $8 AND candidate.nid <> $1
        UNION ALL
        SELECT CASE WHEN candidate.is_local THEN NULL ELSE theirs.event_nid END FROM current_state theirs WHERE theirs.user_nid = candidate.nid AND theirs.membership = 1
          AND (candidate.nid <> $1 AND EXISTS (SELECT FROM memberships mine WHERE mine.user_nid = $1 AND mine.room_nid = theirs.room_nid AND mine.membership = 1)
            OR EXISTS (SELECT FROM open_rooms WHERE open_rooms.room_nid = theirs.room_nid))
        LIMIT 1) visible
      LEFT JOIN LATERAL (SELECT b.json FROM state_event_json b JOIN events e ON e.nid = b.nid AND e.redacted_by IS NULL WHERE b.nid = visible.event_nid LIMIT 1) member ON true
    LIMIT $9`,
};

/** What is looked for, its letters folded. */
export interface UserSearch {
  readonly term: string;
  /** Words that have to be somewhere in a name; none: only beginnings are looked at. */
  readonly words: readonly string[];
  readonly show_guests: boolean;
  /** The server all of whose users may be found; undefined: only those who share a room or are in one that is open. */
  readonly all_of: string | undefined;
}

/** Matches nothing, which the planner sees. */
const NOTHING = null;

/** Users whom a user may find by their names, the best matches first. */
export async function findUsersByName(reads: Reads, userNid: number, search: UserSearch, limit: number): Promise<FoundUser[]> {
  const { term, words, show_guests, all_of } = search;
  const name = toText(term);
  const id = name.startsWith("@") ? name : `@${name}`;
  const longest = words.toSorted((a, b) => b.length - a.length)[0];
  const inside = words.map((word) => `%${literal(toText(word))}%`);
  const rows = await reads.read(FIND, [
    userNid,
    name,
    id,
    longest === undefined ? NOTHING : `%${literal(toText(longest))}%`,
    inside,
    words.length === 1 && longest !== undefined ? `@%${literal(toText(longest))}%:%` : NOTHING,
    show_guests,
    all_of === undefined ? NOTHING : `%:${literal(all_of)}`,
    limit,
    `"${literal(name)}%`,
  ]);
  return rows.map((row) => ({ ...row, user_id: fromText(row.user_id) }));
}

/** A text that LIKE takes as it is. */
function literal(text: string): string {
  return text.replace(/[\\%_]/g, "\\$&");
}
