// The smallest possible Matrix client: a request with a token, a JSON answer with its status.
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** `path` begins after the base URL, query included. Rejects only when no JSON answer came. */
export type MatrixRequest = (method: string, path: string, body?: unknown, signal?: AbortSignal) => Promise<Answer>;

/** A refusal where success was expected. */
export class UnexpectedAnswer extends Error {
  override name = "UnexpectedAnswer";
  readonly answer: Answer;

  constructor(what: string, answer: Answer) {
    super(`${what}: ${answer.status} ${JSON.stringify(answer.body)}`);
    this.answer = answer;
  }
}

/** Requests to one server as the owner of `accessToken`, or as nobody. */
export function matrixRequest(baseUrl: string, accessToken?: string): MatrixRequest {
  return async (method, path, body, signal) => {
    const response = await fetch(baseUrl + path, {
      method,
      headers: {
        ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    return { status: response.status, body: await response.json() };
  };
}

/** The body of a 200; throws UnexpectedAnswer for any other status. */
export async function ok(request: MatrixRequest, method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await request(method, path, body);
  if (answer.status !== 200) throw new UnexpectedAnswer(`${method} ${path}`, answer);
  return answer.body;
}
