// Client-server API, "API Versions".
import type * as spec from "../../../spec/client/versions.js";
import type { Handler } from "../handler.js";

export const getVersions: Handler<typeof spec.getVersions> = async () => ({
  versions: ["v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12"],
  unstable_features: {},
});
