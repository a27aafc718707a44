// Client-server API, as the application service API adds to it: "Pinging" and "Published room directories".
import type * as spec from "../../../spec/client/appservice.js";
import { appServiceIsThere } from "../../appservice/deliveries.js";
import { pingAppService, requireCaller } from "../../appservice/ping.js";
import { instanceId } from "../../appservice/third-party.js";
import * as directory from "../../rooms/directory/directory.js";
import type { Handler } from "../handler.js";

export const pingAppservice: Handler<typeof spec.pingAppservice> = async (services, { auth, params, body }) => {
  const caller = requireCaller(services.appservices.all, auth.appservice?.id, params.appserviceId);
  const duration_ms = await pingAppService(services.appserviceClient, caller, body.transaction_id);
  await appServiceIsThere(services, caller);
  return { duration_ms };
};

export const updateAppserviceRoomDirectoryVisibility: Handler<typeof spec.updateAppserviceRoomDirectoryVisibility> = async (
  services,
  { auth, params, body },
) => {
  const caller = requireCaller(services.appservices.all, auth.appservice?.id);
  await directory.setNetworkVisibility(services, instanceId(caller, params.networkId), params.roomId, body.visibility);
  return {};
};

export const removeAppserviceRoomFromDirectory: Handler<typeof spec.removeAppserviceRoomFromDirectory> = async (services, request) =>
  await updateAppserviceRoomDirectoryVisibility(services, { ...request, body: { visibility: "private" } });
