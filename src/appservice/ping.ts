// Finds out for an application service whether this server reaches it (application service API, "Pinging").
import { ping } from "../../spec/appservice/transactions.js";
import { forbidden, MatrixError } from "../errors.js";
import { OutgoingError } from "../federation/outgoing.js";
import type { AppServiceAnswer, AppServiceClient } from "./client.js";
import type { AppService } from "./registration.js";

const PING_MS = 30_000;
/** How much of a wrong answer is shown. */
const MAX_BODY = 4_096;

/** How many milliseconds the application service took. Throws M_URL_NOT_SET, M_BAD_STATUS, M_CONNECTION_TIMEOUT, M_CONNECTION_FAILED. */
export async function pingAppService(client: AppServiceClient, appservice: AppService, transactionId: string | undefined): Promise<number> {
  if (appservice.url === undefined) throw new MatrixError(400, "M_URL_NOT_SET", "The registration of this application service has no URL.");
  const start = performance.now();
  const body = JSON.stringify({ ...(transactionId !== undefined && { transaction_id: transactionId }) });
  const answer = await client.request(appservice, ping, { body, milliseconds: PING_MS }).catch((cause: unknown) => {
    throw refusal(cause);
  });
  if (answer.status !== 200) throw badStatus(answer);
  return Math.round(performance.now() - start);
}

function refusal(cause: unknown): MatrixError {
  const isSlow = cause instanceof OutgoingError && cause.failure === "too_slow";
  return isSlow
    ? new MatrixError(504, "M_CONNECTION_TIMEOUT", "The application service takes too long to answer.")
    : new MatrixError(502, "M_CONNECTION_FAILED", "The application service cannot be reached.");
}

function badStatus({ status, text }: AppServiceAnswer): MatrixError {
  const extra = { status, body: text.slice(0, MAX_BODY) };
  return new MatrixError(502, "M_BAD_STATUS", `The application service answered with status ${status}.`, { extra });
}

/** The application service that calls. Throws M_FORBIDDEN unless it is the one of this id. */
export function requireCaller(all: readonly AppService[], callerId: string | undefined, id = callerId): AppService {
  const found = all.find((appservice) => appservice.id === callerId);
  if (found === undefined || found.id !== id) throw forbidden("This needs the token of the application service itself.");
  return found;
}
