// Client-server API, "User Directory".
import type * as spec from "../../../spec/client/user-directory.js";
import { findUsers } from "../../accounts/user-directory.js";
import type { Handler } from "../handler.js";

export const searchUserDirectory: Handler<typeof spec.searchUserDirectory> = async (services, { auth, body }) =>
  await findUsers(services, auth, body.search_term, body.limit);
