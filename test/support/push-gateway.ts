// A push gateway on this machine: keeps what it is told, having held it to the contract, and answers as it is asked to.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Ajv } from "ajv";
import { notify } from "../../spec/push/notify.js";
import { numberAt, objectAt, objectsAt, stringAt, type JsonObject } from "./json-path.js";

const valid = new Ajv({ strictTypes: false }).compile(notify.body);

export interface PushGateway extends AsyncDisposable {
  /** What a pusher has as its URL. */
  readonly url: string;
  /** The notifications it took, in their order. */
  readonly taken: JsonObject[];
  /** How often it was asked. */
  readonly asked: number;
  /** What was sent that the contract does not allow. */
  readonly faults: string[];
  /** Answers the next notifications; a status, push keys to reject, or nothing at all ("silence"). */
  answer: number | readonly string[] | "silence";
}

export async function startPushGateway(port = 0): Promise<PushGateway> {
  const state: { answer: PushGateway["answer"]; asked: number } = { answer: 200, asked: 0 };
  const taken: JsonObject[] = [];
  const faults: string[] = [];
  const respond = (response: ServerResponse, body: unknown): void => {
    state.asked += 1;
    if (!valid(body)) faults.push(JSON.stringify(valid.errors));
    const { answer } = state;
    if (answer === "silence") return;
    if (typeof answer === "number" && answer !== 200) return void response.writeHead(answer).end("{}");
    taken.push(objectAt(body, "notification"));
    const rejected = typeof answer === "number" ? [] : answer;
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ rejected }));
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => respond(response, JSON.parse(Buffer.concat(chunks).toString())));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}/_matrix/push/v1/notify`,
    taken,
    faults,
    get asked() {
      return state.asked;
    },
    get answer() {
      return state.answer;
    },
    set answer(answer) {
      state.answer = answer;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The texts of the messages that a gateway was told, for one push key or all. */
export function bodiesTold({ taken }: PushGateway, pushkey?: string): string[] {
  return taken
    .filter((told) => pushkey === undefined || objectsAt(told, "devices").some((device) => device["pushkey"] === pushkey))
    .flatMap((told) => stringAt(told, "content", "body") ?? []);
}

/** The unread count that was told last. */
export function badgeTold({ taken }: PushGateway): number | undefined {
  return numberAt(taken.at(-1), "counts", "unread");
}

