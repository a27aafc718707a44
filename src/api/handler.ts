// What a handler takes and gives.
import type { AnswerOf, BodyOf, HeadersOf, Operation, ParamsOf, QueryOf } from "../../spec/operation.js";
import type { Requester } from "../accounts/requester.js";
import type { RemoteServer } from "../federation/remote-server.js";
import type { ServerName } from "../protocol/identifiers.js";
import type { Services } from "./services.js";

type AuthOf<Op extends Operation> = Op["auth"] extends "none"
  ? undefined
  : Op["auth"] extends "optional" | "unchecked"
    ? Requester | undefined
    : Op["auth"] extends "server"
      ? RemoteServer
      : Requester;

export interface Request<Op extends Operation> {
  readonly params: ParamsOf<Op>;
  readonly query: QueryOf<Op>;
  readonly headers: HeadersOf<Op>;
  readonly body: BodyOf<Op>;
  readonly auth: AuthOf<Op>;
  /** The access token as sent, for operations on the token itself. */
  readonly token: string | undefined;
  /** Aborted when the caller has gone or the server stops. */
  readonly signal: AbortSignal;
  /** Network address of the caller, seen through trusted proxies. */
  readonly address: string;
  /** The languages that the caller reads: the Accept-Language header. */
  readonly acceptedLanguages: string;
  /** Which of our servers the caller addressed: it decides where there is no user yet. */
  readonly server: ServerName;
}

/** An answer that is more than a JSON body with status 200. A body that is a string is sent as it is. */
export class Reply {
  readonly status: number;
  readonly body: string | Buffer | NodeJS.ReadableStream | Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: Reply["body"], headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

export type Handler<Op extends Operation> = (
  services: Services,
  request: Request<Op>,
) => Promise<AnswerOf<Op> | Reply>;

/** A route: an operation with its handler, whose exact types were checked where the two were bound. */
export interface Route {
  readonly operation: Operation;
  readonly handler: (services: Services, request: Request<Operation>) => Promise<unknown>;
}

/**
 * Binds the operations of one module of the contract to the module of handlers of the same names. An operation without a
 * handler, or with one of other types, does not compile.
 */
export function bind<Module extends Record<string, Operation>>(
  operations: Module,
  handlers: { readonly [Name in keyof Module]: Handler<Module[Name]> },
): Route[] {
  return Object.entries(operations).map(([name, operation]) => ({
    operation,
    handler: handlers[name] as Route["handler"],
  }));
}
