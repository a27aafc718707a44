// What the functions of encryption work with.
import type { AccountContext } from "../accounts/context.js";
import type { Config } from "../config.js";
import type { Federation } from "../federation/federation.js";
import type { Interning } from "../storage/interning.js";

export interface EncryptionContext extends Pick<AccountContext, "clock" | "servers" | "database" | "bus"> {
  readonly config: Pick<Config, "federation">;
  readonly interning: Interning;
  readonly federation: Federation;
}

/** A user with the number of the user. */
export interface NumberedUser {
  readonly user_id: string;
  readonly user_nid: number;
}
