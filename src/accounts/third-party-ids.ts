// Third-party identifiers of accounts (client-server API, "Adding Account Administrative Contact Information").
import { missingParam, threepidInUse } from "../errors.js";
import { serverNameOf, type ServerName, type UserId } from "../protocol/identifiers.js";
import type { ThirdPartyId } from "../protocol/third-party-ids.js";
import type { Tx } from "../storage/database.js";
import { deleteMailPusher } from "../storage/pushers.js";
import { addThirdPartyId, deleteThirdPartyId } from "../storage/third-party-ids.js";
import type { ValidationPurpose } from "../storage/validation-sessions.js";
import type { AccountContext } from "./context.js";
import type { Stage } from "./interactive-authentication.js";
import { canValidate, requireValidated, useValidation } from "./validation.js";

const STAGES = { "m.login.email.identity": "email", "m.login.msisdn": "msisdn" } as const;
export type ThirdPartyStage = keyof typeof STAGES;

/** The stages of user-interactive authentication by which an address can be proved here. */
export function thirdPartyStages(context: AccountContext): ThirdPartyStage[] {
  return (["m.login.email.identity", "m.login.msisdn"] as const).filter((stage) => canValidate(context, STAGES[stage]));
}

/** Those stages with their checks. What they leave to know is the validation session. */
export function thirdPartyChecks(context: AccountContext, server: ServerName, purpose: ValidationPurpose): Record<string, Stage> {
  return Object.fromEntries(
    thirdPartyStages(context).map((stage) => [
      stage,
      {
        check: async ({ threepid_creds }) => {
          if (threepid_creds === undefined) throw missingParam('"threepid_creds" is missing.');
          const { sid, medium } = await requireValidated(context, server, purpose, threepid_creds);
          if (medium !== STAGES[stage]) throw missingParam(`"threepid_creds" must be those of ${STAGES[stage]}.`);
          return sid;
        },
      } satisfies Stage,
    ]),
  );
}

/** The validation sessions among what completed stages left to know. */
export function validationsIn(completed: ReadonlyMap<string, string>): string[] {
  return (["m.login.email.identity", "m.login.msisdn"] as const).flatMap((stage) => completed.get(stage) ?? []);
}

/** Gives an account the address that was proved. Throws M_THREEPID_AUTH_FAILED, M_THREEPID_IN_USE. */
export async function addValidated(
  context: AccountContext,
  tx: Tx,
  user: { readonly user_id: UserId; readonly user_nid: number },
  sid: string,
): Promise<void> {
  const { medium, address, validated_ts } = await useValidation(context, tx, sid);
  const owner = { user_nid: user.user_nid, server: serverNameOf(user.user_id) };
  const added = { medium, address, validated_at: validated_ts, added_at: context.clock.now() };
  if (!(await addThirdPartyId(tx, owner, added))) throw threepidInUse();
}

/** Takes an address from a user, if they have it. */
export async function removeThirdPartyId({ database }: Pick<AccountContext, "database">, userNid: number, id: ThirdPartyId): Promise<void> {
  await database.transaction(async (tx) => {
    await deleteThirdPartyId(tx, userNid, id);
    // Nobody is mailed at an address that is no longer theirs.
    if (id.medium === "email") await deleteMailPusher(tx, userNid, id.address);
  });
}
