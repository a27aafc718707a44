// Refusals of the OAuth 2.0 API: what RFC 6749, 7591 and 8628 name them.

/** `{error, error_description}` is what the client sees, with the status. */
export class OauthError extends Error {
  override name = "OauthError";
  readonly error: string;
  readonly status: number;

  constructor(error: string, message: string, status = 400) {
    super(message);
    this.error = error;
    this.status = status;
  }
}

export const invalidRequest = (message: string): OauthError => new OauthError("invalid_request", message);
export const invalidGrant = (message: string): OauthError => new OauthError("invalid_grant", message);
export const invalidClient = (): OauthError =>
  new OauthError("invalid_client", "This client is not known here, or was forgotten: register it again.", 401);
