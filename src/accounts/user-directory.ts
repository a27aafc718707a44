// Finding users by their names (client-server API, "User Directory"): names of profiles only, never those that users have in
// single rooms.
import { parseUserId, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { foldLetters } from "../protocol/search-text.js";
import type { SearchIndex } from "../rooms/views/search-index.js";
import { findUsersByName } from "../storage/user-directory.js";
import type { AccountContext } from "./context.js";
import type { Requester } from "./requester.js";

const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 50;
/** Shorter words are looked for only where names begin: they are inside of too many. */
const MIN_INSIDE = 3;

interface DirectoryUser {
  readonly user_id: UserId;
  readonly display_name?: string;
  readonly avatar_url?: string;
}

/**
 * Users who share a room with the requester, or are in a room that anybody may join or read, as the requester may be; all others, if
 * the configuration says so.
 */
export async function findUsers(
  context: Pick<AccountContext, "config" | "database"> & { readonly searchIndex: SearchIndex },
  { user_id, user_nid }: Requester,
  searchTerm: string,
  wanted: number = DEFAULT_LIMIT,
): Promise<{ results: DirectoryUser[]; limited: boolean }> {
  const term = foldLetters(searchTerm).trim();
  if (term === "" || term === "@") return { results: [], limited: false };
  const { search_all_users, show_guests } = context.config.user_directory;
  const limit = Math.min(wanted, MAX_LIMIT);
  const words = term.split(/\s+/);
  const search = {
    term,
    words: words.some((word) => word.length >= MIN_INSIDE) ? words : [],
    show_guests,
    all_of: search_all_users ? serverNameOf(user_id) : undefined,
  };
  // Which rooms are open is kept with the search index.
  await context.searchIndex.bringUpToDate();
  const found = await findUsersByName(context.database, user_nid, search, limit + 1);
  const results = found.slice(0, limit).flatMap(({ user_id: id, displayname, avatar_url }) => {
    const parsed = parseUserId(id);
    if (parsed === undefined) return [];
    const [name, picture] = [textOf(displayname), textOf(avatar_url)];
    return [{ user_id: parsed, ...(name !== undefined && { display_name: name }), ...(picture !== undefined && { avatar_url: picture }) }];
  });
  return { results, limited: found.length > limit };
}

function textOf(json: string | null): string | undefined {
  const value: unknown = json === null ? undefined : JSON.parse(json);
  return typeof value === "string" ? value : undefined;
}
