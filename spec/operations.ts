// All operations that exist, by module of the specification.
import * as versions from "./client/versions.js";
import type { Operation } from "./operation.js";

export const operations: readonly Operation[] = [versions].flatMap((module): Operation[] => Object.values(module));
