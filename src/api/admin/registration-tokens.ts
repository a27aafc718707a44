// Synapse's admin API, "Registration Tokens".
import { randomInt } from "node:crypto";
import type * as spec from "../../../spec/admin/registration-tokens.js";
import { invalidParam, notFound } from "../../errors.js";
import {
  deleteRegistrationToken,
  findRegistrationToken,
  listRegistrationTokens,
  updateRegistrationToken,
  type RegistrationToken,
} from "../../storage/admin-registration-tokens.js";
import { createRegistrationToken } from "../../storage/registration.js";
import type { Handler } from "../handler.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const DEFAULT_LENGTH = 16;

const unknownTokenError = () => notFound("There is no such registration token.");

/** Nothing is pending: a token is used up by the registration itself. */
const shown = ({ token, uses_allowed, used, expires_ts }: RegistrationToken) => ({
  token,
  uses_allowed,
  pending: 0,
  completed: used,
  expiry_time: expires_ts,
});

function requireFuture(time: number | null | undefined, now: number): void {
  if (typeof time === "number" && time < now) throw invalidParam('"expiry_time" must not be in the past.');
}

export const adminListTokens: Handler<typeof spec.adminListTokens> = async ({ clock, database }, { query }) => ({
  registration_tokens: (await listRegistrationTokens(database, query.valid, clock.now())).map(shown),
});

export const adminCreateToken: Handler<typeof spec.adminCreateToken> = async ({ clock, database }, { body }) => {
  const now = clock.now();
  requireFuture(body.expiry_time, now);
  const random = () => Array.from({ length: body.length ?? DEFAULT_LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join("");
  const token = body.token ?? random();
  const uses_allowed = body.uses_allowed ?? null;
  const expires_ts = body.expiry_time ?? null;
  const made = await database.transaction((tx) =>
    createRegistrationToken(tx, { token, uses_allowed: uses_allowed ?? undefined, expires_ts: expires_ts ?? undefined, created_ts: now }),
  );
  if (!made) throw invalidParam("There is such a token already.");
  return shown({ token, uses_allowed, used: 0, expires_ts });
};

export const adminGetToken: Handler<typeof spec.adminGetToken> = async ({ database }, { params }) => {
  const found = await findRegistrationToken(database, params.token);
  if (found === undefined) throw unknownTokenError();
  return shown(found);
};

export const adminUpdateToken: Handler<typeof spec.adminUpdateToken> = async ({ clock, database }, { params, body }) => {
  requireFuture(body.expiry_time, clock.now());
  const change = { uses_allowed: body.uses_allowed, expires_ts: body.expiry_time };
  const changed = await database.transaction((tx) => updateRegistrationToken(tx, params.token, change));
  if (changed === undefined) throw unknownTokenError();
  return shown(changed);
};

export const adminDeleteToken: Handler<typeof spec.adminDeleteToken> = async ({ database }, { params }) => {
  if (!(await database.transaction((tx) => deleteRegistrationToken(tx, params.token)))) throw unknownTokenError();
  return {};
};
