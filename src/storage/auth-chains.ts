// Auth chains answered from an index: each state event has a place on a chain and reaches all that is before it there;
// links lead from a place to places on other chains. No chain is ever loaded event by event.
import type { Database } from "./database.js";
import type { AuthChainLinkRow, BoundStatement } from "./room-rows.js";
import type { Reads, Statement } from "./statement.js";

/** Where an event is, and where the chain ends. */
export interface ChainPlace {
  readonly event_nid: number;
  readonly chain: number;
  readonly sequence: number;
  readonly tail: number;
}

const PLACES: Statement<ChainPlace> = {
  name: "auth_chains_places", // auth_chains_pkey; the tail from auth_chains_chain_sequence_key
  text: `SELECT event_nid, chain, sequence, (SELECT max(sequence) FROM auth_chains t WHERE t.chain = c.chain) AS tail
    FROM auth_chains c WHERE event_nid = ANY($1)`,
};

/** The places of events. */
export async function chainPlaces(database: Database, nids: readonly number[]): Promise<Map<number, ChainPlace>> {
  const rows = nids.length === 0 ? [] : await database.read(PLACES, [nids]);
  return new Map(rows.map((row) => [row.event_nid, row]));
}

// How far each chain is reached: from the places of the start over links, which count from the place of a chain on.
const REACHED = `RECURSIVE reached (set_number, chain, sequence) AS (
    SELECT s.set_number, c.chain, c.sequence FROM start s JOIN auth_chains c ON c.event_nid = s.event_nid
    UNION SELECT r.set_number, l.target_chain, l.target_sequence
      FROM reached r JOIN auth_chain_links l ON l.chain = r.chain AND l.sequence <= r.sequence),
  furthest AS (SELECT set_number, chain, max(sequence) AS sequence FROM reached GROUP BY set_number, chain)`;

const CHAIN: Statement<{ event_nid: number }> = {
  name: "auth_chains_of", // auth_chain_links_pkey, auth_chains_chain_sequence_key
  text: `WITH ${REACHED.replace("reached (", "start AS (SELECT 0 AS set_number, unnest($1::bigint[]) AS event_nid), reached (")}
    SELECT c.event_nid FROM furthest f JOIN auth_chains c ON c.chain = f.chain AND c.sequence <= f.sequence`,
};

/** The events given and everything in their auth chains. Events without a place (outliers) are left out. */
export async function authChain(database: Reads, nids: readonly number[]): Promise<Set<number>> {
  const rows = nids.length === 0 ? [] : await database.read(CHAIN, [nids]);
  return new Set(rows.map((row) => row.event_nid));
}

const AMONG: Statement<{ event_nid: number }> = {
  name: "auth_chains_among", // as above, auth_chains_pkey
  text: `WITH ${REACHED.replace("reached (", "start AS (SELECT 0 AS set_number, unnest($1::bigint[]) AS event_nid), reached (")}
    SELECT c.event_nid FROM auth_chains c JOIN furthest f ON f.chain = c.chain AND c.sequence <= f.sequence WHERE c.event_nid = ANY ($2)`,
};

/** Those of some events that are in the full auth chains of others. */
export async function amongAuthChain(database: Reads, of: readonly number[], nids: readonly number[]): Promise<Set<number>> {
  const rows = of.length === 0 || nids.length === 0 ? [] : await database.read(AMONG, [of, nids]);
  return new Set(rows.map((row) => row.event_nid));
}

const ADD_LATE: Statement = {
  name: "auth_chains_add_late", // auth_chain_links_pkey
  text: `INSERT INTO auth_chain_links AS l (chain, sequence, target_chain, target_sequence)
    SELECT chain, sequence, target_chain, max(target_sequence)
      FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS link (chain, sequence, target_chain, target_sequence)
      WHERE chain <> target_chain GROUP BY chain, sequence, target_chain
    ON CONFLICT (chain, sequence, target_chain) DO UPDATE SET target_sequence = greatest(l.target_sequence, excluded.target_sequence)`,
};

/** What adds links of events that have had their places before what authorises them was here. */
export function addLateLinks(links: readonly AuthChainLinkRow[]): BoundStatement {
  const column = (key: keyof AuthChainLinkRow): number[] => links.map((link) => link[key]);
  return { statement: ADD_LATE, values: [column("chain"), column("sequence"), column("target_chain"), column("target_sequence")] };
}

const DIFFERENCE: Statement<{ event_nid: number }> = {
  name: "auth_chains_difference", // as above; only what lies between the smallest and the largest reach is read
  text: `WITH ${REACHED.replace(
    "reached (",
    "start AS (SELECT * FROM unnest($1::integer[], $2::bigint[]) AS given (set_number, event_nid)), reached (",
  )},
    span AS (SELECT chain, max(sequence) AS most,
        CASE WHEN count(*) = $3 THEN min(sequence) ELSE 0 END AS least FROM furthest GROUP BY chain)
    SELECT c.event_nid FROM span s JOIN auth_chains c ON c.chain = s.chain AND c.sequence > s.least AND c.sequence <= s.most`,
};

/** The events that are in the full auth chain of some of the sets but not of all (the auth difference). */
export async function authDifference(database: Database, sets: readonly (readonly number[])[]): Promise<Set<number>> {
  const rows = await database.read(DIFFERENCE, [
    sets.flatMap((set, index) => set.map(() => index)),
    sets.flat(),
    sets.length,
  ]);
  return new Set(rows.map((row) => row.event_nid));
}
