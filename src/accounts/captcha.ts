// The captcha stage (client-server API, "Google ReCaptcha"): its provider says whether a person has answered.
import { buffer } from "node:stream/consumers";
import type { Config } from "../config.js";
import { MatrixError } from "../errors.js";
import { type Outgoing, OutgoingError } from "../federation/outgoing.js";
import { logger } from "../log.js";
import { isObject, type JsonValue, own } from "../protocol/json.js";

const log = logger("accounts");

const MAX_ANSWER_BYTES = 16_384;
const MAX_ANSWER_MS = 10_000;

export interface CaptchaContext {
  readonly config: Config;
  readonly outgoing: Pick<Outgoing, "request">;
}

/**
 * Returns if the provider says that the response is genuine. Throws M_CAPTCHA_NEEDED without response, M_CAPTCHA_INVALID,
 * status 502 M_UNKNOWN if the provider cannot be asked.
 */
export async function requireCaptcha({ config, outgoing }: CaptchaContext, response: string | undefined): Promise<void> {
  const { captcha } = config.registration;
  if (response === undefined || response === "") throw new MatrixError(400, "M_CAPTCHA_NEEDED", "The captcha has to be solved.");
  if (captcha === undefined) throw new MatrixError(400, "M_UNRECOGNIZED", "This server has no captcha.");
  const answer = await ask(outgoing, captcha.verify_url, new URLSearchParams({ secret: captcha.secret, response }).toString());
  if (!isObject(answer) || own(answer, "success") !== true) throw new MatrixError(400, "M_CAPTCHA_INVALID", "The captcha was not solved, or too long ago.");
}

async function ask(outgoing: CaptchaContext["outgoing"], url: string, body: string): Promise<JsonValue> {
  try {
    const answer = await outgoing.request(new URL(url), {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body,
      maxBytes: MAX_ANSWER_BYTES,
      milliseconds: MAX_ANSWER_MS,
    });
    const text = await buffer(answer.body);
    if (answer.status !== 200) throw new SyntaxError(`status ${answer.status}`);
    return JSON.parse(text.toString("utf8")) as JsonValue;
  } catch (error) {
    if (!(error instanceof OutgoingError) && !(error instanceof SyntaxError)) throw error;
    log.warn({ err: error }, "the provider of the captcha gave no answer");
    throw new MatrixError(502, "M_UNKNOWN", "The captcha cannot be checked at the moment: try again later.");
  }
}
