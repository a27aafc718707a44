// The configuration: one YAML file, each leaf also an environment variable. Example and checks come from this schema.
import { Type, type Static } from "typebox";

const closed = { additionalProperties: false, default: {} } as const;

export const ConfigSchema = Type.Object(
  {
    servers: Type.Array(
      Type.Object(
        {
          name: Type.String({ format: "mx-server-name", description: "The part of user ids after the colon." }),
          public_base_url: Type.Optional(
            Type.String({ description: "Where clients reach this server; published in the well-known document." }),
          ),
        },
        { additionalProperties: false },
      ),
      {
        minItems: 1,
        default: [{ name: "localhost" }],
        description: "The server names of this deployment. Most have one.",
      },
    ),
    listen: Type.Object(
      {
        address: Type.String({ default: "127.0.0.1", description: "0.0.0.0 listens on all addresses." }),
        port: Type.Integer({ minimum: 0, maximum: 65535, default: 8008 }),
      },
      closed,
    ),
    data_folder: Type.String({ default: "./data", description: "Embedded database, generated secrets, media." }),
    database: Type.Object(
      {
        url: Type.Optional(
          Type.String({ description: "postgres://... of PostgreSQL 15 or newer; absent: one of our own in the data folder." }),
        ),
        pool_size: Type.Integer({ minimum: 2, maximum: 200, default: 10 }),
      },
      closed,
    ),
    redis: Type.Object(
      { url: Type.Optional(Type.String({ description: "redis://...; optional, shortens wake-ups between processes." })) },
      closed,
    ),
    limits: Type.Object(
      {
        body_bytes: Type.Integer({ minimum: 1024, default: 1_048_576, description: "Largest JSON body, in bytes." }),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.Union(
          [Type.Literal("trace"), Type.Literal("debug"), Type.Literal("info"), Type.Literal("warn"), Type.Literal("error"), Type.Literal("silent")],
          { default: "info" },
        ),
      },
      closed,
    ),
  },
  { additionalProperties: false },
);

export type Config = Static<typeof ConfigSchema>;
