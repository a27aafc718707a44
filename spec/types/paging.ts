// Paging as Synapse's admin API has it: an offset and a length, and whence the next page begins.
import { Type } from "typebox";

/** The query parameters of a paged list. */
export const paging = {
  from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
  limit: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 100 }),
};

export const sortDirection = Type.Unsafe<"f" | "b">({ enum: ["f", "b"] });
