// Asks application services for users and rooms that they have not made yet (application service API, "Querying").
import { queryRoomByAlias, queryUserById } from "../../spec/appservice/queries.js";
import type { AskedOperation } from "../../spec/operation.js";
import { logger } from "../log.js";
import { type RoomAlias, serverNameOf, type UserId } from "../protocol/identifiers.js";
import { findAccount } from "../storage/accounts.js";
import { findAliases } from "../storage/aliases.js";
import type { Database } from "../storage/database.js";
import { type AppServiceClient, reasonOf } from "./client.js";
import { type AppService, type AppServices, coversAlias, coversUser } from "./registration.js";

const log = logger("appservice");

/** It may have to make a room meanwhile, but somebody waits for it. */
const QUERY_MS = 15_000;
const AT_ONCE = 10;

export interface QueryContext {
  readonly database: Database;
  readonly appservices: AppServices;
  readonly appserviceClient: AppServiceClient;
}

/** Lets the application services that cover an unknown user make it. */
export async function requestUser(context: QueryContext, user: UserId): Promise<void> {
  const asked = context.appservices.all.filter((appservice) => appservice.url !== undefined && coversUser(appservice, user));
  if (asked.length === 0) return;
  const isKnown = async (): Promise<boolean> => (await findAccount(context.database, user)) !== undefined;
  await context.appserviceClient.queries.run(user, () => ask(context, asked, queryUserById, { userId: user }, isKnown));
}

/** The same for several users. */
export async function requestUsers(context: QueryContext, users: readonly UserId[]): Promise<void> {
  for (let start = 0; start < users.length; start += AT_ONCE) {
    await Promise.all(users.slice(start, start + AT_ONCE).map((user) => requestUser(context, user)));
  }
}

/** Lets the application services that cover an unknown alias make a room for it. */
export async function requestAlias(context: QueryContext, alias: RoomAlias): Promise<void> {
  const asked = context.appservices.all.filter(
    (appservice) => appservice.url !== undefined && serverNameOf(alias) === appservice.server && coversAlias(appservice, alias),
  );
  if (asked.length === 0) return;
  const isKnown = async (): Promise<boolean> => (await findAliases(context.database, [alias])).has(alias);
  await context.appserviceClient.queries.run(alias, () => ask(context, asked, queryRoomByAlias, { roomAlias: alias }, isKnown));
}

async function ask(
  { appserviceClient }: QueryContext,
  asked: readonly AppService[],
  operation: AskedOperation,
  params: Readonly<Record<string, string>>,
  isKnown: () => Promise<boolean>,
): Promise<void> {
  for (const appservice of asked) {
    if (await isKnown()) return;
    try {
      await appserviceClient.request(appservice, operation, { params, milliseconds: QUERY_MS });
    } catch (error) {
      log.info({ appservice: appservice.id, trouble: reasonOf(error) }, "an application service did not answer a query");
    }
  }
}
