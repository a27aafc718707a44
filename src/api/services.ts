// What handlers are given to work with; wired in server.ts.
import type { AccountContext } from "../accounts/context.js";
import type { SigningKeyOf } from "../storage/signing-keys.js";

export interface Services extends AccountContext {
  readonly signingKeyOf: SigningKeyOf;
}
