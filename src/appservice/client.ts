// Requests to application services: signed with the `hs_token`, and sent again to the old paths where the new ones are not
// known (application service API, "Authorization" and "Legacy routes").
import { buffer } from "node:stream/consumers";
import type { AskedOperation } from "../../spec/operation.js";
import { type Outgoing, OutgoingError } from "../federation/outgoing.js";
import { SingleFlight } from "../media/single-flight.js";
import { isObject, type JsonValue, ownString, parseJson } from "../protocol/json.js";
import type { AppService } from "./registration.js";

const MAX_BYTES = 1_048_576;

export interface AppServiceRequest {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: URLSearchParams;
  /** JSON text. */
  readonly body?: string;
  readonly milliseconds: number;
  readonly signal?: AbortSignal;
}

export interface AppServiceAnswer {
  readonly status: number;
  readonly text: string;
  /** The body as JSON; undefined if it is none. */
  readonly json: JsonValue | undefined;
}

/** Asks application services. */
export class AppServiceClient {
  /** Queries under way: many who want the same at once wait for one answer. */
  readonly queries = new SingleFlight<void>();
  readonly #outgoing: Outgoing;

  constructor(outgoing: Outgoing) {
    this.#outgoing = outgoing;
  }

  /** The answer of an application service that has a URL, whatever its status. Throws OutgoingError. */
  async request(appservice: AppService, operation: AskedOperation, request: AppServiceRequest): Promise<AppServiceAnswer> {
    const [path, old] = operation.paths;
    const query = new URLSearchParams(request.query);
    const answer = await this.#send(appservice, operation, request, path, query);
    if (old === undefined || !isUnknownPath(answer)) return answer;
    // Who knows only the old path looks for the token in the query.
    query.set("access_token", appservice.hs_token);
    return await this.#send(appservice, operation, request, old, query);
  }

  async #send(
    { url, hs_token }: AppService,
    { method }: AskedOperation,
    { params = {}, body, milliseconds, signal }: AppServiceRequest,
    path: string,
    query: URLSearchParams,
  ): Promise<AppServiceAnswer> {
    if (url === undefined) throw new Error("an application service without a URL cannot be asked");
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
    const target = new URL(url.href.replace(/\/+$/, "") + filled);
    target.search = query.toString();
    const answer = await this.#outgoing.request(target, {
      method,
      headers: { authorization: `Bearer ${hs_token}`, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body }),
      maxBytes: MAX_BYTES,
      milliseconds,
      ...(signal !== undefined && { signal }),
    });
    const text = (await buffer(answer.body)).toString();
    return { status: answer.status, text, json: jsonOf(text) };
  }
}

function jsonOf(text: string): JsonValue | undefined {
  try {
    return parseJson(Buffer.from(text));
  } catch {
    return undefined;
  }
}

/** Whether the path is what is not known, rather than what was asked about. */
function isUnknownPath({ status, json }: AppServiceAnswer): boolean {
  if (status !== 404 && status !== 405 && status !== 501) return false;
  const errcode = json !== undefined && isObject(json) ? ownString(json, "errcode") : undefined;
  return errcode === undefined || errcode === "M_UNRECOGNIZED";
}

/** What to say of a request that had no answer. */
export function reasonOf(error: unknown): string {
  return error instanceof OutgoingError ? error.failure : "failed";
}
