// What application services say of the networks that they bridge to, and how clients get it ("Third-party networks").
import { Type, type Static } from "typebox";
import { JsonObject } from "./json.js";

const instance = {
  desc: Type.String(),
  icon: Type.Optional(Type.String()),
  fields: JsonObject,
  network_id: Type.String(),
};

const protocol = {
  user_fields: Type.Array(Type.String()),
  location_fields: Type.Array(Type.String()),
  icon: Type.String(),
  field_types: Type.Record(Type.String(), Type.Object({ regexp: Type.String(), placeholder: Type.String() })),
};

/** A network as an application service describes it. */
export const BridgedProtocol = Type.Object({ ...protocol, instances: Type.Array(Type.Object(instance)) });

export type BridgedProtocol = Static<typeof BridgedProtocol>;

/** The same for clients: each instance has an id by which its rooms can be listed. */
export const Protocol = Type.Object({
  ...protocol,
  instances: Type.Array(Type.Object({ ...instance, instance_id: Type.String() })),
});
export type Protocol = Static<typeof Protocol>;

export const Location = Type.Object({ alias: Type.String(), protocol: Type.String(), fields: JsonObject });
export type Location = Static<typeof Location>;

export const ThirdPartyUser = Type.Object({ userid: Type.String(), protocol: Type.String(), fields: JsonObject });
export type ThirdPartyUser = Static<typeof ThirdPartyUser>;
