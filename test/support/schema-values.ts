// Values that a schema of the contract takes, and such as it only nearly takes: what a fuzzer sends. Names in double angle
// brackets stand for what is there when it is sent (`<<room1>>`), and `@@text@@` for JSON that no value of JavaScript has.
import fc from "fast-check";
import type { TSchema } from "typebox";

interface Shape {
  readonly type?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly TSchema[];
  readonly items?: TSchema | readonly TSchema[];
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, TSchema>>;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

type Arbitrary = fc.Arbitrary<unknown>;

const nested = (depth: number, open: string, close: string): string => `@@${open.repeat(depth)}1${close.repeat(depth)}@@`;

/** What parsers, databases and their users stumble over. */
const HOSTILE: readonly unknown[] = [
  null, true, false, 0, -0, -1, 1, 1.5, 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 1e308,
  "@@1e400@@", "@@9007199254740993@@", "@@1.0@@", "@@-0@@", "@@NaN@@", '@@{"a":1,"a":2}@@', "@@@@",
  "", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "e\u0301", "İ", "ﬀ", "💥".repeat(64), "é".repeat(128), "x".repeat(256), "x".repeat(70_000), "%", "%00", "_", "\\", "'", '"', "'; --", "../..", "a/b", "$1", "{}", "[]", "null", "0", "-1", "1e9", "__proto__", "constructor",
  "*", "*a*a*a*a*b", "?", "[", "(", "@", "@:", "@a:", "@:b", "#", "!", "!a", "$", "mxc://", "mxc://a", "mxc://a/../b", "javascript:alert(1)", "http://127.0.0.1:1/", "1970-01-01", "s1", "s0_0_0", "t1_1_1", "s99999999999999999999_1_1",
  [], [[]], {}, [null], [1, "a", {}], [{}], { "": "" }, { "\0": "\0" }, { "\ud800": 1 }, { ["__proto__"]: { x: 1 } }, { constructor: { prototype: 1 } }, { length: 1e9 }, { toJSON: 1, toString: 1, hasOwnProperty: 1 },
  nested(90, "[", "]"), nested(5_000, "[", "]"), nested(90, '{"a":', "}"), nested(20_000, '{"a":', "}"),
  Array.from({ length: 2_000 }, (_, index) => index), Array.from({ length: 300 }, () => "<<user1>>"), Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`k${index}`, index])),
];

/** Names for what the world of a test has, by the format that it has to have. */
const SAMPLES: Readonly<Record<string, readonly string[]>> = {
  "mx-user-id": ["<<self>>", "<<self>>", "<<self>>", "<<user1>>", "<<user2>>", "<<user3>>", "@nobody:<<server>>", "@far:127.0.0.1:9"],
  "mx-room-id": ["<<room1>>", "<<room1>>", "<<room2>>", "<<room3>>", "!none:<<server>>", "!far:127.0.0.1:9", "!jEsUZKDJdhlrceRyVU"],
  "mx-event-id": ["<<event1>>", "<<event2>>", "<<event3>>", "$none", "$none:<<server>>"],
  "mx-room-alias": ["<<alias1>>", "#new:<<server>>", "#far:127.0.0.1:9"],
  "mx-room-id-or-alias": ["<<room1>>", "<<room2>>", "<<alias1>>", "#none:<<server>>"],
  "mx-server-name": ["<<server>>", "127.0.0.1:9"],
  "mx-device-id": ["<<device1>>", "<<device2>>", "NEW"],
};
const IDS = Object.values(SAMPLES).flat();

export const EVENT_TYPES = ["m.room.message", "m.room.member", "m.room.power_levels", "m.room.name", "m.room.topic", "m.room.avatar", "m.room.join_rules", "m.room.history_visibility", "m.room.guest_access", "m.room.canonical_alias", "m.room.server_acl", "m.room.encryption", "m.room.encrypted", "m.room.tombstone", "m.room.pinned_events", "m.room.redaction", "m.room.third_party_invite", "m.room.create", "m.room.policy", "m.space.child", "m.space.parent", "m.reaction", "m.sticker", "m.poll.start", "org.matrix.msc3401.call.member", "org.example.other"];
const DATA_TYPES = ["m.push_rules", "m.fully_read", "m.ignored_user_list", "m.direct", "m.tag", "m.marked_unread", "m.invite_permission_config", "m.secret_storage.default_key", "org.example.data"];

/** Values for parameters of certain names. */
const BY_NAME: Readonly<Record<string, readonly unknown[]>> = {
  eventType: EVENT_TYPES,
  type: [...DATA_TYPES, "org.example.data", "org.example.data", "m.room.message"],
  stateKey: ["", "", "<<user1>>", "<<user2>>", "key"],
  kind: ["override", "underride", "sender", "room", "content"],
  ruleId: ["mine", ".m.rule.master", ".m.rule.roomnotif", "<<room1>>", "<<user1>>"],
  receiptType: ["m.read", "m.read.private", "m.fully_read"],
  relType: ["m.thread", "m.annotation", "m.replace", "m.reference"],
  keyName: ["displayname", "avatar_url", "m.tz", "org.example.field"],
  membership: ["join", "invite", "leave", "ban", "knock"],
  mediaId: ["<<media1>>", "<<media2>>", "none"],
  filterId: ["<<filter1>>", "9"],
  version: ["<<backup1>>", "1", "12"],
  room_version: ["1", "2", "6", "10", "11", "12", "13"],
  new_version: ["1", "6", "10", "11", "12"],
  dir: ["f", "b"],
  from: ["<<token1>>", "<<token2>>", "0", "10"],
  to: ["<<token1>>", "<<token2>>"],
  since: ["<<token1>>", "<<token1>>"],
  at: ["<<token1>>"],
  pos: ["<<pos1>>"],
  filter: ["<<filter1>>", '{"room":{"timeline":{"limit":1,"types":["*"],"not_senders":["<<user2>>"]}}}', '{"room":{"rooms":["<<room1>>"],"include_leave":true,"state":{"lazy_load_members":true}}}', '{"event_fields":["content.a.b"]}', "{"],
  order_by: ["name", "creation_ts", "joined_members", "state_events", "media_length", "is_guest", "last_seen_ts", "destination", "received_ts"],
  token: ["<<registration1>>", "abc"],
  auth: [{ type: "m.login.password", identifier: { type: "m.id.user", user: "<<user1>>" }, password: "<<password1>>" }, { type: "m.login.dummy" }, { type: "m.login.password", session: "<<session1>>", user: "<<user1>>", password: "<<password1>>" }],
  password: ["<<password1>>", "long enough 1"],
  new_password: ["long enough 1"],
  username: ["fresh", "<<user1>>"],
  identifier: [{ type: "m.id.user", user: "<<user1>>" }, { type: "m.id.thirdparty", medium: "email", address: "a@example.org" }],
  actions: [["notify"], ["notify", { set_tweak: "sound", value: "default" }], ["dont_notify"]],
  conditions: [[{ kind: "event_match", key: "content.body", pattern: "*a*b" }], [{ kind: "room_member_count", is: ">=9e99" }], [{ kind: "event_property_contains", key: "content.a", value: 1 }], []],
  pattern: ["*a*a*a*a*b", "word"],
  presence: ["online", "offline", "unavailable"],
  set_presence: ["online", "offline"],
  typing: [true, false],
  delayId: ["<<delay1>>"],
  purgeId: ["<<purge1>>"],
  reportId: ["<<report1>>", "1"],
  id: ["<<meeting1>>"],
  sequence_token: ["<<sequence1>>"],
  client_id: ["<<client1>>"],
  redirect_uri: ["https://client.example/back"],
  redirect_uris: [["https://client.example/back"]],
  client_uri: ["https://client.example/"],
  grant_type: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
  response_type: ["code"],
  scope: ["openid urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ"],
  code_challenge: ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
  code_challenge_method: ["S256"],
  email: ["a@example.org", "a@b@c", "a@example.org\r\nBcc: b@example.org"],
  phone_number: ["07700900000"],
  country: ["GB"],
  client_secret: ["secret1"],
  protocol: ["irc"],
  stage: ["m.login.dummy", "m.login.recaptcha", "m.login.terms", "m.login.sso", "m.login.registration_token"],
  idpId: ["saml", "none"],
  appserviceId: ["bridge"],
  destination: ["127.0.0.1:9", "<<server>>"],
  fileName: ["a.txt", "a\r\nb.txt", "\u202e.txt"],
  search_term: ["words", "\"some words\"", "*"],
  features: [{ msc3881: true }],
  threepids: [[{ medium: "email", address: "b@example.org" }], []],
  external_ids: [[{ auth_provider: "saml", external_id: "x" }], []],
  devices: [["NEW"], ["<<device1>>"]],
  session: ["<<session1>>"],
  access_token: ["<<openid1>>", "<<access1>>"],
  algorithm: ["m.megolm.v1.aes-sha2", "m.megolm_backup.v1.curve25519-aes-sha2"],
  action: ["send", "cancel", "restart"],
  medium: ["email", "msisdn"],
  address: ["a@example.org", "447700900000"],
  rel_type: ["m.thread", "m.annotation", "m.replace", "m.reference"],
  redirectUrl: ["http://localhost/"],
  device_id: ["<<device1>>", "<<device2>>"],
};

/** Keys that contents of events and account data have, with values that mean something to a server. */
const CONTENT: Readonly<Record<string, readonly unknown[]>> = {
  membership: ["join", "invite", "leave", "ban", "knock"],
  displayname: ["Name", ""],
  avatar_url: ["mxc://<<server>>/<<media1>>"],
  join_rule: ["public", "invite", "knock", "restricted", "knock_restricted", "private"],
  allow: [[{ type: "m.room_membership", room_id: "<<room2>>" }], [{}], [null]],
  join_authorised_via_users_server: ["<<user1>>", "@far:127.0.0.1:9"],
  third_party_invite: [{ signed: { mxid: "<<user1>>", token: "t", signatures: {} }, display_name: "x" }],
  users: [{ "<<user1>>": 100, "<<user2>>": 50 }, { "<<user1>>": 9007199254740991 }, {}],
  events: [{ "m.room.name": 50 }, { "m.room.power_levels": 100 }, ["$a"]],
  users_default: [0, 100],
  events_default: [0, 50],
  state_default: [50, 0],
  notifications: [{ room: 50 }],
  ban: [50], kick: [50], redact: [50], invite: [0, 50],
  deny: [["*.example"], []],
  allow_ip_literals: [true, false],
  history_visibility: ["shared", "joined", "invited", "world_readable"],
  guest_access: ["can_join", "forbidden"],
  alias: ["<<alias1>>", "#none:<<server>>"],
  alt_aliases: [["<<alias1>>"]],
  name: ["Name"],
  topic: ["Topic"],
  "m.topic": [{ "m.text": [{ body: "x" }] }],
  type: ["m.space", "x"],
  room_version: ["11", "12"],
  predecessor: [{ room_id: "<<room2>>", event_id: "<<event1>>" }],
  replacement_room: ["<<room2>>"],
  additional_creators: [["<<user2>>"]],
  "m.federate": [true, false],
  via: [["<<server>>"], []],
  order: ["a", 0.5],
  suggested: [true],
  pinned: [["<<event1>>"]],
  redacts: ["<<event1>>"],
  body: ["some words", "<<user1>> room"],
  msgtype: ["m.text", "m.image"],
  format: ["org.matrix.custom.html"],
  formatted_body: ["<b>x</b>"],
  url: ["mxc://<<server>>/<<media1>>"],
  info: [{ w: 1, h: 1, thumbnail_url: "mxc://<<server>>/<<media1>>" }],
  "m.new_content": [{ body: "new", msgtype: "m.text" }],
  "m.mentions": [{ user_ids: ["<<user1>>"], room: true }],
  "m.relates_to": [{ rel_type: "m.thread", event_id: "<<event1>>", is_falling_back: true }, { rel_type: "m.annotation", event_id: "<<event1>>", key: "x" }, { rel_type: "m.replace", event_id: "<<event2>>" }, { "m.in_reply_to": { event_id: "<<event1>>" } }],
  algorithm: ["m.megolm.v1.aes-sha2"],
  rotation_period_ms: [1],
  ignored_users: [{ "<<user2>>": {} }],
  "<<user1>>": [["<<room1>>"], {}],
  event_id: ["<<event1>>"],
  tags: [{ "m.favourite": { order: 0.1 } }],
  reason: ["because"],
  default_action: ["block", "allow"],
  expires: [1000],
};

/** Content of an event or of account data, with what servers look at. */
export const contents = (depth = 0): Arbitrary =>
  fc
    .uniqueArray(fc.constantFrom(...Object.keys(CONTENT)), { maxLength: depth === 0 ? 6 : 2 })
    .chain((keys) => fc.tuple(...keys.map((key) => fc.tuple(fc.constant(key), fc.constantFrom(...(CONTENT[key] ?? []))))))
    .map((entries): unknown => Object.fromEntries(entries));

const anything: Arbitrary = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...HOSTILE) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(...IDS) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
  { weight: 1, arbitrary: contents(0) },
);

/** One of the named values if there are such; else any that fits. */
function text(schema: Shape, name: string): Arbitrary {
  const samples = SAMPLES[schema.format ?? ""];
  if (samples !== undefined) return fc.constantFrom(...samples);
  const known = BY_NAME[name]?.filter((value) => typeof value === "string") ?? [];
  if (known.length > 0) return fc.constantFrom(...known);
  if (schema.pattern !== undefined) return fc.stringMatching(new RegExp(schema.pattern));
  return fc.oneof(fc.constantFrom(...IDS, "text", "1", "true", "https://localhost/", "mxc://<<server>>/<<media1>>"), fc.string({ maxLength: 10 }));
}

const kindOf = ({ type }: Shape): string => (type === "boolean" ? "boolean" : type === "string" ? "string" : type === "integer" || type === "number" ? "number" : "object");

/** A value that fits a schema, as far as that is easy to say. `name` is that of the property that it is of. */
function fitting(schema: TSchema & Shape, name = "", depth = 0): Arbitrary {
  if ("const" in schema) return fc.constant(schema.const);
  const known = BY_NAME[name];
  if (known !== undefined && schema.anyOf === undefined && schema.type !== "string" && typeof known[0] === kindOf(schema)) return fc.constantFrom(...known);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => fitting(one, name, depth)));
  if (schema.properties !== undefined) {
    const properties = Object.entries(schema.properties).map(([key, of]) => [key, fitting(of, key, depth + 1)] as const);
    const needed = properties.filter(([key]) => schema.required?.includes(key));
    const further = properties.filter(([key]) => schema.required?.includes(key) !== true);
    // Few at a time: where everything comes together, something never suits.
    return fc.tuple(fc.constant(needed), fc.subarray(further, { maxLength: Math.min(further.length, 3) })).chain(([some, more]) => fc.record(Object.fromEntries([...some, ...more])));
  }
  const [values] = Object.values(schema.patternProperties ?? {});
  if (values !== undefined) return fc.dictionary(fc.constantFrom(...IDS, "name", "m.favourite", "signed_curve25519:AAAA", "ed25519:<<device1>>"), fitting(values, "", depth + 1), { maxKeys: 3 });
  switch (schema.type) {
    case "string":
      return text(schema, name);
    case "integer":
    case "number":
      return fc.oneof(fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 100, 100) }), fc.constantFrom(schema.minimum ?? 0, schema.maximum ?? 2 ** 53 - 1));
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      if (schema.items === undefined) return fc.constant([]);
      return "length" in schema.items ? fc.tuple(...schema.items.map((one) => fitting(one, name, depth + 1))) : fc.array(fitting(schema.items, name, depth + 1), { maxLength: 3 });
    case "object":
      return contents(depth);
    default:
      return fc.oneof(contents(depth), anything);
  }
}

interface Change {
  /** Which of the places in the value, modulo their number. */
  readonly place: number;
  readonly what: "replace" | "drop" | "add" | "wrap";
  readonly value: unknown;
}

const changes: fc.Arbitrary<readonly Change[]> = fc.array(
  fc.record({ place: fc.nat(200), what: fc.constantFrom("replace", "replace", "replace", "drop", "add", "wrap"), value: anything }),
  { maxLength: 2 },
);

const countOf = (value: unknown): number => (typeof value === "object" && value !== null ? Object.values(value).slice(0, 20).reduce((sum: number, one) => sum + countOf(one), 1) : 1);

/** The value with a change at one of its places, counted depth first. */
function changed(value: unknown, { place, what, value: by }: Change): unknown {
  let left = place % countOf(value);
  const walk = (inner: unknown): unknown => {
    left -= 1;
    if (left === -1) {
      if (what === "wrap") return [inner];
      if (what === "add" && typeof inner === "object" && inner !== null) return Array.isArray(inner) ? [...inner, by] : { ...inner, [typeof by === "string" ? by : "extra"]: by };
      return what === "drop" ? undefined : by;
    }
    if (typeof inner !== "object" || inner === null || left < 0) return inner;
    if (Array.isArray(inner)) return inner.map((one, index) => (index < 20 ? walk(one) : (one as unknown)));
    return Object.fromEntries(Object.entries(inner).map(([key, one], index) => [key, index < 20 ? walk(one) : (one as unknown)]));
  };
  return walk(value);
}

/** Values of which two of three were changed in up to two places. */
export const nearly = (values: Arbitrary): Arbitrary =>
  fc.tuple(values, fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: changes })).map(([value, list]) => list.reduce(changed, value));

/** A value that fits a schema, or was changed in up to two places so that it may not. */
export const nearlyFitting = (schema: TSchema, name = ""): Arbitrary => nearly(fitting(schema, name));

/** Text for one parameter of a path or query. */
export const parameter = (schema: TSchema | undefined, name: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 14, arbitrary: schema === undefined ? text({}, name) : fitting(schema, name) },
    { weight: 1, arbitrary: fc.constantFrom(...HOSTILE.filter((value) => typeof value !== "string" || value.length < 1000)) },
  ).map((value) => (typeof value === "string" ? value.replaceAll("@@", "") : (JSON.stringify(value) ?? "")).slice(0, 2000));

/** A value as JSON, with what stands for JSON in it. */
export const jsonText = (value: unknown): string => (JSON.stringify(value) ?? "").replaceAll(/"@@((?:[^@]|@(?!@))*)@@"/g, (_, inner: string) => JSON.parse(`"${inner}"`) as string);
