// What application services say of the networks that they bridge to, put together for clients (client-server API,
// "Third-party Lookups").
import { Ajv, type ValidateFunction } from "ajv";
import * as asked from "../../spec/appservice/third-party.js";
import type { AskedOperation } from "../../spec/operation.js";
import { BridgedProtocol, Location, type Protocol, ThirdPartyUser } from "../../spec/types/third-party.js";
import { notFound } from "../errors.js";
import { logger } from "../log.js";
import type { JsonValue } from "../protocol/json.js";
import { type AppServiceClient, reasonOf } from "./client.js";
import type { AppService, AppServices } from "./registration.js";

const log = logger("appservice");

const LOOKUP_MS = 5_000;
/** Most entries of one list. */
const MAX_FOUND = 1_000;

const ajv = new Ajv({ strictTypes: false });
const isProtocol = ajv.compile<BridgedProtocol>(BridgedProtocol);
const isLocation = ajv.compile<Location>(Location);
const isUser = ajv.compile<ThirdPartyUser>(ThirdPartyUser);

export interface ThirdPartyContext {
  readonly appservices: AppServices;
  readonly appserviceClient: AppServiceClient;
}

/** The id by which clients list the rooms of one network of an application service. */
export const instanceId = (appservice: AppService, networkId: string): string => `${appservice.id}|${networkId}`;

/** All networks, by name. What does not answer in time is left out. */
export async function allProtocols(context: ThirdPartyContext): Promise<Record<string, Protocol>> {
  const names = [...new Set(context.appservices.all.flatMap(({ url, protocols }) => (url === undefined ? [] : protocols)))];
  const found = await Promise.all(names.map(async (name) => [name, await protocolOf(context, name)] as const));
  return Object.fromEntries(found.filter((entry): entry is [string, Protocol] => entry[1] !== undefined));
}

/** One network. Throws M_NOT_FOUND. */
export async function requireProtocol(context: ThirdPartyContext, name: string): Promise<Protocol> {
  const found = await protocolOf(context, name);
  if (found === undefined) throw notFound("No application service bridges to this network, or none answers.");
  return found;
}

/** A network as the first application service describes it, with the instances of all. */
async function protocolOf(context: ThirdPartyContext, name: string): Promise<Protocol | undefined> {
  const answers = await askAll(context, speaking(context, name), asked.getProtocolMetadata, { params: { protocol: name } });
  const described = answers.flatMap(({ appservice, json }) => (isProtocol(json) ? [{ appservice, protocol: json }] : []));
  const [first] = described;
  if (first === undefined) return undefined;
  const { user_fields, location_fields, icon, field_types } = first.protocol;
  return {
    user_fields,
    location_fields,
    icon,
    field_types,
    instances: described.flatMap(({ appservice, protocol }) =>
      protocol.instances.map(({ desc, icon: picture, fields, network_id }) => ({
        desc,
        ...(picture !== undefined && { icon: picture }),
        fields,
        network_id,
        instance_id: instanceId(appservice, network_id),
      })),
    ),
  };
}

/** The rooms for a place of a network. Throws M_NOT_FOUND for an unknown network, and where there are none. */
export async function locationsIn(context: ThirdPartyContext, protocol: string, query: URLSearchParams): Promise<Location[]> {
  const answers = await askAll(context, requireSpeaking(context, protocol), asked.queryLocationByProtocol, { params: { protocol }, query });
  return merged(answers, isLocation);
}

/** The users for a person of a network. Throws M_NOT_FOUND for an unknown network, and where there are none. */
export async function usersIn(context: ThirdPartyContext, protocol: string, query: URLSearchParams): Promise<ThirdPartyUser[]> {
  const answers = await askAll(context, requireSpeaking(context, protocol), asked.queryUserByProtocol, { params: { protocol }, query });
  return merged(answers, isUser);
}

/** The places of networks that an alias stands for. Throws M_NOT_FOUND where there are none. */
export async function locationsOf(context: ThirdPartyContext, alias: string): Promise<Location[]> {
  const query = new URLSearchParams({ alias });
  return merged(await askAll(context, context.appservices.all, asked.queryLocationByAlias, { query }), isLocation);
}

/** The persons of networks that a user stands for. Throws M_NOT_FOUND where there are none. */
export async function usersOf(context: ThirdPartyContext, userid: string): Promise<ThirdPartyUser[]> {
  const query = new URLSearchParams({ userid });
  return merged(await askAll(context, context.appservices.all, asked.queryUserByID, { query }), isUser);
}

function speaking({ appservices }: ThirdPartyContext, protocol: string): AppService[] {
  return appservices.all.filter(({ protocols }) => protocols.includes(protocol));
}

function requireSpeaking(context: ThirdPartyContext, protocol: string): AppService[] {
  const found = speaking(context, protocol);
  if (found.length === 0) throw notFound("No application service bridges to this network.");
  return found;
}

interface Answered {
  readonly appservice: AppService;
  readonly json: JsonValue | undefined;
}

/** What those with a URL answer, all asked at once; who does not is left out. */
async function askAll(
  { appserviceClient }: ThirdPartyContext,
  all: readonly AppService[],
  operation: AskedOperation,
  request: { readonly params?: Readonly<Record<string, string>>; readonly query?: URLSearchParams },
): Promise<Answered[]> {
  const answers = await Promise.all(
    all.map(async (appservice): Promise<Answered[]> => {
      if (appservice.url === undefined) return [];
      try {
        const { status, json } = await appserviceClient.request(appservice, operation, { ...request, milliseconds: LOOKUP_MS });
        return status === 200 ? [{ appservice, json }] : [];
      } catch (error) {
        log.info({ appservice: appservice.id, trouble: reasonOf(error) }, "an application service did not answer a lookup");
        return [];
      }
    }),
  );
  return answers.flat();
}

/** The sound entries of all lists. Throws M_NOT_FOUND where there are none. */
function merged<Entry>(answers: readonly Answered[], isEntry: ValidateFunction<Entry>): Entry[] {
  const found = answers.flatMap(({ json }) => (Array.isArray(json) ? json : []).filter((entry): entry is JsonValue & Entry => isEntry(entry)));
  if (found.length === 0) throw notFound("No application service knows anything of this.");
  return found.slice(0, MAX_FOUND);
}
