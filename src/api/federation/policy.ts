// Server-server API, "Policy Servers".
import type * as spec from "../../../spec/federation/policy.js";
import { canonicalJson } from "../../protocol/canonical-json.js";
import { signAsPolicyServer } from "../../rooms/remote/policy-server.js";
import { Reply, type Handler } from "../handler.js";

export const askPolicyServerToSign: Handler<typeof spec.askPolicyServerToSign> = async (services, { auth, body }) =>
  new Reply(200, canonicalJson(await signAsPolicyServer(services, auth, body)));
