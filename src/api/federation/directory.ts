// Server-server API, "Public room directory".
import type * as spec from "../../../spec/federation/directory.js";
import { directoryPage } from "../../rooms/directory/directory.js";
import type { Handler } from "../handler.js";

// Each of our servers shows its own directory only.

export const getFederationPublicRooms: Handler<typeof spec.getFederationPublicRooms> = async (services, { auth, query }) =>
  await directoryPage(services, auth.destination, query);

export const queryFederationPublicRooms: Handler<typeof spec.queryFederationPublicRooms> = async (services, { auth, body }) =>
  await directoryPage(services, auth.destination, { ...body, since: body.since ?? undefined });
