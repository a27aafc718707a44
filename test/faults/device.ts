// A server that is killed, and a device of it that goes on.
import { stringAt } from "../support/json-path.js";
import { matrixRequest, type MatrixRequest, ok } from "../support/matrix-request.js";

/** Open, without limits, and quick at passwords. */
export const SETTINGS = {
  registration: { open: true },
  rate_limits: { enabled: false },
  passwords: { memory_kib: 8, iterations: 1 },
};

export interface Device {
  readonly request: MatrixRequest;
  readonly user: string;
  readonly device: string;
}

export async function registerDevice(url: string, username: string): Promise<Device> {
  const body = { username, password: "a long enough one", auth: { type: "m.login.dummy" } };
  const session = await ok(matrixRequest(url), "POST", "/_matrix/client/v3/register", body);
  return { request: matrixRequest(url, stringAt(session, "access_token")), user: stringAt(session, "user_id") ?? "", device: stringAt(session, "device_id") ?? "" };
}
