// The document by which clients find a server; also part of what a login answers.
import { Type } from "typebox";

export const WellKnown = Type.Object({ "m.homeserver": Type.Object({ base_url: Type.String() }) });
