// Matrix errors: what a client or a server is told when an operation is refused. One constructor per errcode, named as
// the specification names it, so that status and errcode never drift apart.

/** An operation's refusal: `status` and `{errcode, error, ...extra}` are what the caller sees; `cause` stays in the log. */
export class MatrixError extends Error {
  override name = "MatrixError";
  readonly status: number;
  readonly errcode: string;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    errcode: string,
    message: string,
    options: { extra?: Record<string, unknown>; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.status = status;
    this.errcode = errcode;
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }

  /** The JSON body of the answer. */
  body(): Record<string, unknown> {
    return { ...this.extra, errcode: this.errcode, error: this.message };
  }
}

export const forbidden = (message: string): MatrixError => new MatrixError(403, "M_FORBIDDEN", message);
export const guestsForbidden = (message: string): MatrixError => new MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", message);
export const unknownToken = (message: string, softLogout = false): MatrixError =>
  new MatrixError(401, "M_UNKNOWN_TOKEN", message, softLogout ? { extra: { soft_logout: true } } : {});
export const missingToken = (): MatrixError =>
  new MatrixError(401, "M_MISSING_TOKEN", "This needs an access token in the Authorization header.");
export const userInUse = (): MatrixError => new MatrixError(400, "M_USER_IN_USE", "This user name is taken.");
export const threepidInUse = (): MatrixError =>
  new MatrixError(400, "M_THREEPID_IN_USE", "This address belongs to an account already.");
export const exclusive = (message: string): MatrixError => new MatrixError(400, "M_EXCLUSIVE", message);
export const invalidUsername = (message: string): MatrixError => new MatrixError(400, "M_INVALID_USERNAME", message);
export const weakPassword = (message: string): MatrixError => new MatrixError(400, "M_WEAK_PASSWORD", message);
export const userDeactivated = (): MatrixError =>
  new MatrixError(403, "M_USER_DEACTIVATED", "This account has been deactivated.");
export const userLocked = (): MatrixError =>
  new MatrixError(401, "M_USER_LOCKED", "This account has been locked: ask the administrator of the server.", {
    extra: { soft_logout: true },
  });
/** As Synapse calls it: the specification has no name for it. */
export const accountExpired = (): MatrixError =>
  new MatrixError(403, "ORG_MATRIX_EXPIRED_ACCOUNT", "This account has expired: ask the administrator of the server to renew it.");
export const userSuspended = (): MatrixError =>
  new MatrixError(403, "M_USER_SUSPENDED", "This account is suspended: it can read and leave rooms, but not take part in them.");
export const limitExceeded = (waitMs: number): MatrixError =>
  new MatrixError(429, "M_LIMIT_EXCEEDED", "Too many requests: wait a little and try again.", {
    extra: { retry_after_ms: Math.ceil(waitMs) },
    headers: { "Retry-After": String(Math.ceil(waitMs / 1000)) },
  });
export const badJson = (message: string): MatrixError => new MatrixError(400, "M_BAD_JSON", message);
export const notJson = (message: string): MatrixError => new MatrixError(400, "M_NOT_JSON", message);
export const notFound = (message: string): MatrixError => new MatrixError(404, "M_NOT_FOUND", message);
export const unrecognized = (status: 404 | 405, message: string): MatrixError =>
  new MatrixError(status, "M_UNRECOGNIZED", message);
export const missingParam = (message: string): MatrixError => new MatrixError(400, "M_MISSING_PARAM", message);
export const invalidParam = (message: string): MatrixError => new MatrixError(400, "M_INVALID_PARAM", message);
export const tooLarge = (message: string): MatrixError => new MatrixError(413, "M_TOO_LARGE", message);
/** What is only so at the moment (503) says when to try again. */
export const unknownError = (status: number, message: string, cause?: unknown): MatrixError =>
  new MatrixError(status, "M_UNKNOWN", message, { ...(status === 503 && { headers: { "Retry-After": "1" } }), cause });
export const roomInUse = (alias: string): MatrixError =>
  new MatrixError(400, "M_ROOM_IN_USE", `The room alias ${alias} is taken.`);
export const unsupportedRoomVersion = (): MatrixError =>
  new MatrixError(400, "M_UNSUPPORTED_ROOM_VERSION", "This server does not know this room version.");
export const invalidRoomState = (message: string, cause?: unknown): MatrixError =>
  new MatrixError(400, "M_INVALID_ROOM_STATE", message, { cause });
export const badAlias = (message: string): MatrixError => new MatrixError(400, "M_BAD_ALIAS", message);
export const badState = (message: string): MatrixError => new MatrixError(403, "M_BAD_STATE", message);
