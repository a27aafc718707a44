// An SMTP server that keeps what it is sent, and can refuse it for a while.
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import { eventually } from "./eventually.js";

export interface Received {
  readonly to: string;
  readonly subject: string;
  readonly raw: string;
  /** The plain text. */
  readonly text: string;
}

export interface Mailbox extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly Received[];
  /** How many deliveries were refused. */
  readonly refused: number;
  refuse: boolean;
  /** Waits until there are this many mails. */
  until(count: number): Promise<void>;
}

/** The text of a quoted-printable or plain part. */
function decoded(part: string): string {
  const [head = "", ...body] = part.split("\r\n\r\n");
  const text = body.join("\r\n\r\n");
  if (/transfer-encoding: base64/i.test(head)) return Buffer.from(text, "base64").toString();
  if (!/transfer-encoding: quoted-printable/i.test(head)) return text;
  const bytes = text.replaceAll("=\r\n", "").replace(/=([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
  return Buffer.from(bytes, "latin1").toString();
}

/** The words of a header (RFC 2047). */
function header(raw: string, name: string): string {
  const value = new RegExp(`^${name}: ((?:.|\\r\\n[ \\t])*)$`, "im").exec(raw)?.[1] ?? "";
  return value
    .replaceAll(/\?=\r\n[ \t]=\?/g, "?==?")
    .replaceAll("\r\n", "")
    .replaceAll(/=\?UTF-8\?Q\?(.*?)\?=/gi, (_, text: string) => decoded(`transfer-encoding: quoted-printable\r\n\r\n${text.replaceAll("_", " ")}`))
    .replaceAll(/=\?UTF-8\?B\?(.*?)\?=/gi, (_, text: string) => Buffer.from(text, "base64").toString());
}

export async function startMailbox(): Promise<Mailbox> {
  const mails: Received[] = [];
  const state = { refuse: false, refused: 0 };
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onRcptTo: (_address, _session, done) => {
      if (!state.refuse) return done();
      state.refused += 1;
      done(new Error("not now"));
    },
    onData: (stream, session, done) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const raw = Buffer.concat(chunks).toString();
        const plain = raw.split(/\r\n--/).find((part) => /content-type: text\/plain/i.test(part)) ?? raw;
        const to = session.envelope.rcptTo.map(({ address }) => address).join(",");
        mails.push({ to, raw, subject: header(raw, "subject"), text: decoded(plain.slice(plain.search(/content-/i))) });
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.server.address() as AddressInfo;
  return {
    port,
    mails,
    get refused() {
      return state.refused;
    },
    get refuse() {
      return state.refuse;
    },
    set refuse(refuse) {
      state.refuse = refuse;
    },
    async until(count) {
      await eventually(`${count} mails`, () => mails.length >= count);
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(resolve)),
  };
}
