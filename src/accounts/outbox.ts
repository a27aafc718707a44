// Delivers mails and text messages: from the database, so that what was answered 200 is sent whatever happens to the process,
// and again with growing pauses while the other side does not take it.
import { createTransport } from "nodemailer";
import type { Clock } from "../clock.js";
import type { Config } from "../config.js";
import { type Outgoing, OutgoingError } from "../federation/outgoing.js";
import { logger } from "../log.js";
import { RepeatedWork } from "../repeated-work.js";
import type { Database, Tx } from "../storage/database.js";
import {
  claimFromOutbox,
  deleteFromOutbox,
  expireOutbox,
  postponeInOutbox,
  putInOutbox,
  type OutboxRow,
} from "../storage/outbox.js";
import { seal, unseal, type SecretKey } from "../storage/sealing.js";
import type { Mail } from "./messages.js";

const log = logger("outbox");

const LOOK_EVERY_MS = 5_000;
const AT_ONCE = 5;
/** A process that has not delivered what it took within this time is taken for dead. */
const CLAIM_MS = 60_000;
const TIMEOUT_MS = 20_000;
/** Nothing of the gateway's answer but its status counts. */
const MAX_ANSWER_BYTES = 65_536;
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 600_000;

export type Message =
  /** `unsubscribe` is where a POST ends mails of this kind (RFC 8058). */
  | ({ readonly medium: "email"; readonly to: string; readonly unsubscribe?: string } & Mail)
  | { readonly medium: "msisdn"; readonly to: string; readonly text: string };

export interface OutboxServices {
  readonly config: Pick<Config, "mail" | "sms">;
  readonly clock: Clock;
  readonly database: Database;
  readonly secret: SecretKey;
  /** To the gateway of text messages. */
  readonly outgoing: Outgoing;
}

/** Puts a message into the outbox: it will be delivered if the transaction commits, before `expiresTs`. */
export async function post(
  { clock, secret }: Pick<OutboxServices, "clock" | "secret">,
  tx: Tx,
  message: Message,
  expiresTs: number,
): Promise<void> {
  await putInOutbox(tx, seal(secret, Buffer.from(JSON.stringify(message))), clock.now(), expiresTs);
}

export class Outbox implements AsyncDisposable {
  readonly #services: OutboxServices;
  readonly #mailer: ReturnType<typeof createTransport> | undefined;
  readonly #work: RepeatedWork;

  constructor(services: OutboxServices) {
    this.#services = services;
    this.#mailer = mailer(services.config.mail);
    this.#work = new RepeatedWork(
      LOOK_EVERY_MS,
      (stopping) => this.#deliverAll(stopping),
      (error) => log.warn({ err: error }, "the outbox could not be read"),
    );
  }

  /** There may be something to deliver. */
  wake(): void {
    this.#work.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work[Symbol.asyncDispose]();
    this.#mailer?.close();
  }

  async #deliverAll(stopping: AbortSignal): Promise<void> {
    const { clock, database } = this.#services;
    for (let more = true; more && !stopping.aborted; ) {
      const expired = await expireOutbox(database, clock.now());
      if (expired > 0) log.warn({ messages: expired }, "messages could not be delivered in time and were given up");
      const rows = await claimFromOutbox(database, clock.now(), clock.now() + CLAIM_MS, AT_ONCE);
      await Promise.all(rows.map((row) => this.#deliver(row, stopping)));
      more = rows.length === AT_ONCE;
    }
  }

  async #deliver(row: OutboxRow, stopping: AbortSignal): Promise<void> {
    const { clock, database, secret } = this.#services;
    const opened = unseal(secret, row.sealed);
    if (opened === undefined) throw new Error("A message in the outbox was sealed under another key.");
    const message = JSON.parse(Buffer.from(opened).toString()) as Message;
    try {
      await (message.medium === "email" ? this.#mail(message) : this.#text(message, stopping));
    } catch (error) {
      const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** row.attempts);
      // What the other side says can hold the address: only the kind of failure is logged.
      log.warn({ message: row.nid, medium: message.medium, attempts: row.attempts + 1, reason: reasonOf(error) }, "a message could not be delivered yet");
      await postponeInOutbox(database, row.nid, clock.now() + pause);
      return;
    }
    await deleteFromOutbox(database, row.nid);
  }

  async #mail({ to, subject, text, html, unsubscribe }: Extract<Message, { medium: "email" }>): Promise<void> {
    if (this.#mailer === undefined) throw new Error("mail is not configured");
    const { from } = this.#services.config.mail;
    const headers = {
      "Auto-Submitted": "auto-generated",
      ...(unsubscribe !== undefined && { "List-Unsubscribe-Post": "List-Unsubscribe=One-Click" }),
    };
    const list = unsubscribe === undefined ? {} : { unsubscribe };
    await this.#mailer.sendMail({ from, to: { name: "", address: to }, subject, text, html, headers, list });
  }

  async #text({ to, text }: Extract<Message, { medium: "msisdn" }>, stopping: AbortSignal): Promise<void> {
    const { url, authorization, body } = this.#services.config.sms;
    if (url === undefined) throw new Error("sms is not configured");
    const values: Readonly<Record<string, string>> = { to: `+${to}`, text };
    const fields = Object.entries(body).map(([name, value]) => [
      name,
      value.replace(/\{(to|text)\}/g, (whole, key: string) => values[key] ?? whole),
    ]);
    const answer = await this.#services.outgoing.request(new URL(url), {
      method: "POST",
      headers: { "content-type": "application/json", ...(authorization !== undefined && { authorization }) },
      body: JSON.stringify(Object.fromEntries(fields)),
      maxBytes: MAX_ANSWER_BYTES,
      milliseconds: TIMEOUT_MS,
      signal: stopping,
    });
    answer.body.destroy();
    if (answer.status < 200 || answer.status > 299) throw new Error(`the gateway answered ${answer.status}`);
  }
}

function mailer({ host, port, security, user, password }: Config["mail"]): ReturnType<typeof createTransport> | undefined {
  if (host === undefined) return undefined;
  return createTransport({
    host,
    port,
    secure: security === "tls",
    requireTLS: security === "starttls",
    ignoreTLS: security === "none",
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
    ...(user !== undefined && password !== undefined && { auth: { user, pass: password } }),
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if (error instanceof OutgoingError) return error.failure;
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown };
  if (typeof responseCode === "number") return `status ${responseCode}`;
  return typeof code === "string" ? code : error.name;
}
