// `hansa config example` and `hansa config check`.
import { stringify } from "yaml";
import { ConfigSchema } from "../../spec/config.js";
import { ConfigError, EXAMPLE_SECRET, loadConfig } from "../config.js";

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
}

const HEADER = `# The settings of Hansa. All are optional; what is commented out shows the default, or an example where there is none.
# Each can be an environment variable as well: listen.port is HANSA_LISTEN_PORT. A setting whose name ends in _file
# names a file that holds the value: shared_secret_file, or HANSA_REGISTRATION_SHARED_SECRET_FILE.
`;

/** Values for settings that have no default. */
const EXAMPLES: Readonly<Record<string, unknown>> = {
  "servers.public_base_url": "https://matrix.example.org",
  "servers.support_page": "https://example.org/help",
  "servers.contacts": [{ role: "m.role.admin", matrix_id: "@admin:example.org" }],
  secret_key: "the output of: openssl rand -base64 32",
  "database.url": "postgres://hansa:password@localhost/hansa",
  "redis.url": "redis://localhost",
  "internal.advertise": "10.0.0.5:8010",
  "registration.open": false,
  "registration.captcha": { site_key: "of its provider", secret: "of its provider" },
  "registration.terms": { version: "1", name: "Terms of use", url: "https://example.org/terms" },
  "mail.host": "smtp.example.org",
  "mail.password": "a secret",
  "mail.user": "hansa",
  "sms.authorization": "Bearer a-secret",
  "sms.url": "https://sms.example.org/send",
  "third_party_ids.allowed": ["*@example.org"],
  "tokens.unused_session_lifetime": 15_552_000,
  "registration.shared_secret": EXAMPLE_SECRET,
  "media.quota.total_bytes": 10_737_418_240,
  "media.quota.period_bytes": 1_073_741_824,
  "media.quota.info_uri": "https://example.org/limits",
  "media.retention.local_days": 3650,
  "media.retention.remote_days": 90,
  "media.folder": "/srv/hansa/media",
  "media.s3": {
    bucket: "hansa-media",
    region: "eu-central-1",
    endpoint: "https://s3.example.org",
    path_style: true,
    access_key_id: "hansa",
    secret_access_key_file: "/run/secrets/s3",
  },
  "identity_providers.id": "company",
  "identity_providers.name": "Company",
  "identity_providers.icon": "mxc://example.org/logo",
  "identity_providers.brand": "company",
  "identity_providers.issuer": "https://login.example.org",
  "identity_providers.client_id": "hansa",
  "identity_providers.client_secret": "a secret",
  "identity_providers.scopes": ["openid", "profile"],
  "identity_providers.localpart": "{preferred_username}",
  "identity_providers.display_name": "{name}",
  "identity_providers.create_accounts": true,
  "identity_providers.allow_existing_users": false,
  "identity_providers.propagate_logout": false,
  "saml_providers.id": "university",
  "saml_providers.name": "University",
  "saml_providers.icon": "mxc://example.org/logo",
  "saml_providers.brand": "university",
  "saml_providers.entity_id": "https://idp.example.org/metadata",
  "saml_providers.sso_url": "https://idp.example.org/sso",
  "saml_providers.logout_url": "https://idp.example.org/logout",
  "saml_providers.certificate": "-----BEGIN CERTIFICATE-----",
  "saml_providers.private_key": "-----BEGIN PRIVATE KEY-----",
  "saml_providers.public_certificate": "-----BEGIN CERTIFICATE-----",
  "saml_providers.signed_response": false,
  "saml_providers.clock_skew_seconds": 30,
  "saml_providers.subject_attribute": "eduPersonUniqueId",
  "saml_providers.localpart": "{uid}",
  "saml_providers.display_name": "{displayName}",
  "saml_providers.email": "{mail}",
  "saml_providers.create_accounts": true,
  "saml_providers.allow_existing_users": false,
  "saml_providers.propagate_logout": true,
  jwt_login: { algorithm: "RS256", key_file: "/etc/hansa/portal.pem", issuer: "https://portal.example.org" },
  ldap: { url: "ldaps://ldap.example.org", base_dn: "ou=people,dc=example,dc=org", subject_attribute: "entryUUID" },
  "voip.livekit": { url: "wss://livekit.example.org", api_key: "hansa", api_secret_file: "/run/secrets/livekit" },
  "outgoing.ca": "-----BEGIN CERTIFICATE-----",
  "metrics.port": 9008,
};

/** The example file, made from the schema. */
function exampleConfig(): string {
  return `${HEADER}${section(ConfigSchema as Node, [], 0)}`;
}

function section(node: Node, path: readonly string[], depth: number): string {
  return Object.entries(node.properties ?? {})
    .map(([name, child]) => setting(name, child, [...path, name], depth))
    .join("");
}

function setting(name: string, node: Node, path: readonly string[], depth: number): string {
  const indent = "  ".repeat(depth);
  const gap = depth === 0 ? "\n" : "";
  const comment = node.description === undefined ? "" : `${wrap(node.description, `${indent}# `)}\n`;
  if (node.properties !== undefined && node.default !== undefined) {
    return `${gap}${comment}${indent}${name}:\n${section(node, path, depth + 1)}`;
  }
  const example = EXAMPLES[path.join(".")];
  const value = node.default ?? example ?? null;
  // Settings inside a list's items have no place of their own: they are shown with the list.
  const shown = { [name]: node.items === undefined || isWhole(node.items, value) ? value : [itemExample(node.items, path)] };
  const text = stringify(shown, { lineWidth: 0 }).trimEnd().split("\n");
  return `${gap}${comment}${text.map((line) => `${indent}# ${line}`).join("\n")}\n`;
}

/** Whether a list of this kind of items shows all settings that an item has. */
function isWhole({ properties = {} }: Node, list: unknown): boolean {
  const [first] = Array.isArray(list) ? (list as readonly unknown[]) : [];
  return Object.keys(properties).every((name) => typeof first === "object" && first !== null && Object.hasOwn(first, name));
}

function itemExample(node: Node, path: readonly string[]): Record<string, unknown> {
  const entries = Object.keys(node.properties ?? {}).map((name) => [name, EXAMPLES[[...path, name].join(".")] ?? "localhost"]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

function wrap(text: string, prefix: string): string {
  const lines: string[] = [];
  let line = prefix.trimEnd();
  for (const word of text.split(" ")) {
    if (line.length + word.length + 1 > 110) {
      lines.push(line);
      line = prefix.trimEnd();
    }
    line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}

export function printExample(): void {
  process.stdout.write(exampleConfig());
}

/** Says whether a configuration can be used. Throws ConfigError if not. */
export function checkFile(options: { config?: string; json?: boolean }): void {
  try {
    const config = loadConfig(options.config);
    console.log(
      options.json === true
        ? JSON.stringify({ valid: true, servers: config.servers.map(({ name }) => name) })
        : `The configuration is sound; it serves ${config.servers.map(({ name }) => name).join(", ")}.`,
    );
  } catch (error) {
    if (!(error instanceof ConfigError) || options.json !== true) throw error;
    console.log(JSON.stringify({ valid: false, errors: error.message.split("\n") }));
    process.exitCode = 2;
  }
}
