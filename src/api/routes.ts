// Every operation of the contract bound to its handler.
import * as versionsSpec from "../../spec/client/versions.js";
import * as versions from "./client/versions.js";
import { bind, type Route } from "./handler.js";

export const routes: readonly Route[] = [bind(versionsSpec, versions)].flat();
