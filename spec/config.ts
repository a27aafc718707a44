// The configuration: one YAML file, each leaf also an environment variable. Example and checks come from this schema.
import { Type, type Static } from "typebox";

const closed = { additionalProperties: false, default: {} } as const;

const LANGUAGE_TAG = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$";

const Language = Type.Union([Type.Literal("en"), Type.Literal("es"), Type.Literal("pt")], {
  default: "en",
  description: "Language of messages to users whose client names none that we have: en, es or pt.",
});

/** A token bucket that there is only if it is set. */
const furtherRate = (description: string) =>
  Type.Optional(
    Type.Object(
      {
        per_second: Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 }),
        burst: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
      },
      { additionalProperties: false, description },
    ),
  );

/** A token bucket: how often on average, and how many at once. */
const rate = (per_second: number, burst: number, description: string) =>
  Type.Object(
    {
      per_second: Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000, default: per_second }),
      burst: Type.Integer({ minimum: 1, maximum: 1_000_000, default: burst }),
      per_device: furtherRate("The same for each device of a user. Absent: no limit of its own."),
      per_address: furtherRate("The same for all users of a network address together. Absent: no limit of its own."),
    },
    { ...closed, description },
  );

const RateLimits = Type.Object(
  {
    enabled: Type.Boolean({ default: true, description: "false switches all of them off." }),
    login: rate(1, 20, "Attempts to log in, per network address."),
    login_failure: rate(0.1, 10, "Wrong passwords, per account."),
    login_token: rate(0.05, 5, "Tokens with which a user's further clients log in, per user."),
    registration: rate(0.2, 10, "New accounts, per network address."),
    validation: rate(0.005, 10, "Mails and text messages with a link or code, per network address and per address they go to."),
    lookup: rate(5, 50, "Questions about names, tokens and profiles, per user or network address."),
    account: rate(2, 30, "Changes of account, profile, devices, filters and push rules, and rooms forgotten, per user."),
    message: rate(10, 50, "Events sent into rooms, and rooms left, per user."),
    join: rate(2, 30, "Joins and knocks, per user."),
    invite: rate(1, 50, "Invitations, per user."),
    room_creation: rate(0.5, 20, "New rooms, per user."),
    history: rate(20, 100, "Pages of history, searches and lists of rooms, per user."),
    federation_query: rate(10, 100, "Questions of other servers that need no signature, per network address."),
    federation_keys: rate(10, 100, "Claims of one-time keys by another server, per server."),
    report: rate(0.1, 10, "Reports of rooms, events and users to the administrators, per user."),
    typing: rate(10, 60, "Per user."),
    receipt: rate(10, 60, "Per user."),
    presence: rate(1, 20, "Per user."),
    delayed_event: rate(50, 500, "Actions on delayed events, per network address."),
    key_backup: rate(20, 200, "Calls to the backup of room keys, per user."),
    to_device: rate(50, 500, "Calls that send messages to devices, per user."),
    keys: rate(20, 200, "Uploads, questions and claims of keys for encryption, per user."),
    upload: rate(5, 50, "Uploads of media, per user."),
    download: rate(50, 500, "Downloads of media and thumbnails, per user, network address or server."),
    url_preview: rate(2, 20, "Previews of web pages, per user."),
  },
  {
    ...closed,
    description: "Callers who go over a limit get 429 M_LIMIT_EXCEEDED with the time to wait. With Redis all processes count together, else each for itself.",
  },
);

const Media = Type.Object(
  {
    max_upload_bytes: Type.Integer({
      minimum: 1024,
      maximum: 1_099_511_627_776,
      default: 104_857_600,
      description: "Largest upload, in bytes.",
    }),
    unauthenticated_access: Type.Boolean({
      default: false,
      description: "Whether downloads at the old paths, without an access token, are answered. Their links can be shared by anybody.",
    }),
    unused_seconds: Type.Integer({
      minimum: 60,
      maximum: 2_592_000,
      default: 86_400,
      description: "How long a client may take to upload the content of a URI that it has reserved.",
    }),
    max_pending_uploads: Type.Integer({
      minimum: 1,
      maximum: 10_000,
      default: 20,
      description: "URIs that a user may have reserved and not used yet.",
    }),
    quota: Type.Object(
      {
        total_bytes: Type.Optional(Type.Integer({ minimum: 0, description: "What all media of a user may take. Absent: no limit." })),
        period_bytes: Type.Optional(Type.Integer({ minimum: 0, description: "What a user may upload within a period. Absent: no limit." })),
        period_seconds: Type.Integer({ minimum: 60, maximum: 31_536_000, default: 86_400 }),
        info_uri: Type.Optional(
          Type.String({ format: "http-url", description: "A page about the limits, which clients show to users who reach one." }),
        ),
      },
      closed,
    ),
    retention: Type.Object(
      {
        local_days: Type.Optional(
          Type.Integer({ minimum: 1, description: "Uploads that nobody asked for in so many days are deleted. Absent: never." }),
        ),
        remote_days: Type.Optional(
          Type.Integer({ minimum: 1, description: "The same for copies of other servers' media, which can be fetched again." }),
        ),
      },
      closed,
    ),
    max_image_pixels: Type.Integer({
      minimum: 1_000_000,
      maximum: 1_000_000_000,
      default: 60_000_000,
      description: "Images with more pixels, all frames counted, get no thumbnails. Each takes about four bytes while it is made.",
    }),
    thumbnail_sizes: Type.Array(
      Type.Object(
        {
          width: Type.Integer({ minimum: 1, maximum: 4096 }),
          height: Type.Integer({ minimum: 1, maximum: 4096 }),
          method: Type.Union([Type.Literal("crop"), Type.Literal("scale")]),
        },
        { additionalProperties: false },
      ),
      {
        maxItems: 32,
        default: [
          { width: 32, height: 32, method: "crop" },
          { width: 96, height: 96, method: "crop" },
          { width: 320, height: 240, method: "scale" },
          { width: 640, height: 480, method: "scale" },
          { width: 800, height: 600, method: "scale" },
        ],
        description: "A request gets the smallest of these that is not smaller than what it asks for.",
      },
    ),
    folder: Type.Optional(
      Type.String({ minLength: 1, description: "Where media lie. Absent: media in the data folder. Several processes need the same." }),
    ),
    s3: Type.Optional(
      Type.Object(
        {
          bucket: Type.String({ minLength: 1 }),
          region: Type.String({ minLength: 1, default: "us-east-1" }),
          endpoint: Type.Optional(Type.String({ format: "http-url", description: "Absent: that of Amazon for the region." })),
          path_style: Type.Boolean({ default: false, description: "Puts the bucket into the path; most other providers need it." }),
          prefix: Type.String({ default: "", description: "What the names of all objects begin with." }),
          access_key_id: Type.Optional(Type.String({ minLength: 1, description: "Absent: from the surroundings, as Amazon's tools do." })),
          secret_access_key: Type.Optional(Type.String({ minLength: 1 })),
        },
        { additionalProperties: false, description: "Keeps media in a store that speaks S3 instead of the folder, which then holds only what is on its way." },
      ),
    ),
  },
  closed,
);

const UrlPreviews = Type.Object(
  {
    enabled: Type.Boolean({ default: true, description: "Lets clients ask this server for the titles and pictures of web pages." }),
    denied_hosts: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: "Hosts that are never asked; * stands for anything, as in *.example.org.",
    }),
    cache_seconds: Type.Integer({ minimum: 1, maximum: 2_592_000, default: 3600, description: "How long a preview is given again." }),
    image_days: Type.Integer({ minimum: 1, maximum: 3650, default: 30, description: "How long pictures of previews are kept." }),
    page_bytes: Type.Integer({
      minimum: 1024,
      maximum: 67_108_864,
      default: 1_048_576,
      description: "How much of a page is read; what a preview needs is near its start.",
    }),
    image_bytes: Type.Integer({ minimum: 1024, maximum: 67_108_864, default: 10_485_760, description: "Larger pictures are left out." }),
  },
  closed,
);

const Push = Type.Object(
  {
    allow_http: Type.Boolean({ default: false, description: "Whether push gateways may be reached without TLS." }),
    unread_by_room: Type.Boolean({
      default: true,
      description: "The number on a device's icon: rooms with something unread, or (false) everything unread.",
    }),
    give_up_days: Type.Number({
      exclusiveMinimum: 0,
      maximum: 30,
      default: 3,
      description: "What a push gateway does not take for so long is dropped.",
    }),
    mail_delay_seconds: Type.Integer({
      minimum: 1,
      maximum: 86_400,
      default: 600,
      description: "How long something is unread before a user who wants mails gets one. Each further mail about a room waits longer.",
    }),
    mail_content: Type.Boolean({ default: true, description: "Whether mails quote the messages they are about." }),
  },
  { ...closed, description: "Notifications to users whose clients are not listening." },
);

const DelayedEvents = Type.Object(
  {
    max_delay_seconds: Type.Integer({ minimum: 1, maximum: 315_360_000, default: 2_592_000, description: "The longest delay." }),
    max_per_user: Type.Integer({ minimum: 0, maximum: 10_000, default: 100, description: "How many events a user may have scheduled at once." }),
  },
  { ...closed, description: "Events that users let be sent later." },
);

const Oauth = Type.Object(
  {
    enabled: Type.Boolean({
      default: true,
      description: "Clients log in through web pages of this server (OAuth 2.0), where servers.public_base_url is set. The older ways stay.",
    }),
    browser_session_seconds: Type.Integer({
      minimum: 60,
      maximum: 31_536_000,
      default: 86_400,
      description: "How long a browser stays logged in to those pages.",
    }),
  },
  { ...closed, description: "Login through web pages, and the page where users manage their accounts." },
);

/** Filled in with what a provider says of a user: {name} is its claim of that name. */
const claimTemplate = (standard: string, description: string) => Type.String({ default: standard, maxLength: 500, description });

const IdentityProviders = Type.Array(
  Type.Object(
    {
      id: Type.String({ pattern: "^[a-z0-9_-]{1,100}$", description: "Never changed: accounts are found by it." }),
      name: Type.String({ minLength: 1, description: "What the button says." }),
      icon: Type.Optional(Type.String({ pattern: "^mxc://" })),
      brand: Type.Optional(Type.String({ minLength: 1, description: "apple, facebook, github, gitlab, google, twitter, or another that clients know." })),
      issuer: Type.String({ format: "http-url", description: "Where the provider is discovered. In a private network: also in outgoing.allowed_addresses." }),
      client_id: Type.String({ minLength: 1 }),
      client_secret: Type.Optional(Type.String({ minLength: 1, description: "client_secret_file names a file that holds it. Absent: a public client." })),
      scopes: Type.Array(Type.String({ minLength: 1 }), { default: ["openid", "profile", "email"] }),
      localpart: claimTemplate("{preferred_username}", "The user name of a new account."),
      display_name: claimTemplate("{name}", "Its display name."),
      create_accounts: Type.Boolean({ default: true, description: "false: only those whose account is there can log in." }),
      allow_existing_users: Type.Boolean({
        default: false,
        description: "Whether somebody is taken for the owner of an account that is there because the user name is the same. Only for providers that give names out as this server does.",
      }),
      propagate_logout: Type.Boolean({ default: false, description: "Whether who logs out on our pages logs out there too." }),
    },
    { additionalProperties: false },
  ),
  { default: [], description: "Other providers of identities (OpenID Connect) through which users log in. Their redirect address is PUBLIC_BASE_URL/_hansa/account/sso/ID/callback." },
);

const SamlProviders = Type.Array(
  Type.Object(
    {
      id: Type.String({ pattern: "^[a-z0-9_-]{1,100}$", description: "Never changed: accounts are found by it." }),
      name: Type.String({ minLength: 1, description: "What the button says." }),
      icon: Type.Optional(Type.String({ pattern: "^mxc://" })),
      brand: Type.Optional(Type.String({ minLength: 1 })),
      entity_id: Type.String({ minLength: 1, description: "What the provider calls itself." }),
      sso_url: Type.String({ format: "http-url", description: "Where users log in (HTTP-Redirect binding)." }),
      logout_url: Type.Optional(Type.String({ format: "http-url", description: "Where they log out (HTTP-Redirect binding)." })),
      certificate: Type.String({ minLength: 1, description: "With which the provider signs (PEM), one or several; certificate_file names a file that holds them." }),
      private_key: Type.Optional(Type.String({ minLength: 1, description: "RSA key with which our requests are signed (PEM); private_key_file names a file that holds it." })),
      public_certificate: Type.Optional(Type.String({ minLength: 1, description: "Its certificate, for the metadata; public_certificate_file names a file that holds it." })),
      decryption_key: Type.Optional(Type.String({ minLength: 1, description: "RSA key for assertions that the provider encrypts (PEM); decryption_key_file names a file that holds it. With it, unencrypted ones are refused." })),
      encryption_certificate: Type.Optional(Type.String({ minLength: 1, description: "Its certificate, which the metadata tell the provider; encryption_certificate_file names a file that holds it." })),
      signed_response: Type.Boolean({ default: false, description: "Whether the whole answer has to be signed. Its assertion has to be in any case." }),
      clock_skew_seconds: Type.Integer({ minimum: 0, maximum: 300, default: 30 }),
      subject_attribute: Type.Optional(Type.String({ minLength: 1, description: "The attribute that names a user for good. Absent: the NameID, which must not be transient." })),
      localpart: claimTemplate("{uid}", "The user name of a new account, from attributes; {NameID} is one of them."),
      display_name: claimTemplate("{displayName}", "Its display name."),
      email: claimTemplate("{mail}", "Its mail address, which counts as proved."),
      create_accounts: Type.Boolean({ default: true, description: "false: only those whose account is there can log in." }),
      allow_existing_users: Type.Boolean({ default: false, description: "As in identity_providers." }),
      propagate_logout: Type.Boolean({ default: false, description: "Whether who logs out on our pages logs out there too." }),
    },
    { additionalProperties: false },
  ),
  { default: [], description: "Other providers of identities that speak SAML 2.0. Our metadata is at PUBLIC_BASE_URL/_hansa/account/sso/ID/metadata." },
);

const JwtLogin = Type.Object(
  {
    algorithm: Type.String({
      pattern: "^(?:(?:HS|RS|PS|ES)(?:256|384|512)|EdDSA)$",
      description: "HS256 and its like share a secret; RS256, ES256, EdDSA and their like take a public key.",
    }),
    key: Type.String({ minLength: 32, description: "The secret, at least 32 characters, or the public key (PEM); key_file names a file that holds it." }),
    issuer: Type.Optional(Type.String({ minLength: 1, description: "Whose tokens count (iss). Absent: not checked." })),
    audiences: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "For whom tokens have to be (aud). Empty: not checked." }),
    subject: Type.String({ minLength: 1, default: "sub", description: "The claim that holds the user name." }),
    display_name: Type.Optional(Type.String({ minLength: 1, description: "The claim that holds the display name of a new account." })),
    create_accounts: Type.Boolean({ default: true, description: "false: only those whose account is there can log in." }),
  },
  { additionalProperties: false, description: "Users log in with a JSON Web Token that another system has signed (org.matrix.login.jwt)." },
);

const Ldap = Type.Object(
  {
    name: Type.String({ minLength: 1, default: "The directory", description: "What users are told of it." }),
    url: Type.String({ format: "ldap-url", description: "ldap://HOST:389 or ldaps://HOST:636." }),
    start_tls: Type.Boolean({ default: true, description: "Whether ldap:// goes on with TLS. false sends passwords in the clear." }),
    ca: Type.Optional(Type.String({ minLength: 1, description: "Certificates (PEM) to trust instead of the usual ones; ca_file names a file that holds them." })),
    timeout_seconds: Type.Integer({ minimum: 1, maximum: 60, default: 5, description: "A login that the directory does not answer within is refused with status 503." }),
    bind_dn: Type.Optional(Type.String({ minLength: 1, description: "Who looks users up. Absent: anonymous." })),
    bind_password: Type.Optional(Type.String({ minLength: 1, description: "bind_password_file names a file that holds it." })),
    base_dn: Type.Optional(Type.String({ minLength: 1, description: "Below which users are looked up." })),
    filter: Type.String({ pattern: "\\{login\\}", default: "(&(objectClass=person)(uid={login}))", description: "What finds a user; {login} is the user name that was typed." }),
    user_dn: Type.Optional(Type.String({ pattern: "\\{login\\}", description: "Instead of looking users up, the name of each: uid={login},ou=people,dc=example,dc=org. Nobody can open an account with a password and a name of their own then: it cannot be known whose name it is." })),
    subject_attribute: Type.Optional(
      Type.String({ pattern: "^[A-Za-z0-9.-]{1,100}$", description: "What names a user for good, as entryUUID or objectGUID: accounts are found by it. Absent: the distinguished name." }),
    ),
    localpart: claimTemplate("{uid}", "The user name of a new account, from attributes. It has to be what users log in with."),
    display_name: claimTemplate("{cn}", "Its display name."),
    email: claimTemplate("{mail}", "Its mail address, which counts as proved."),
    create_accounts: Type.Boolean({ default: true, description: "false: only those whose account is there can log in." }),
    allow_existing_users: Type.Boolean({ default: false, description: "Whether a user of the directory takes over an account of the same name that is there." }),
    check_minutes: Type.Number({
      minimum: 0,
      maximum: 10_080,
      default: 60,
      description: "How often it is looked who is still found by the filter: the sessions of who is not are ended, unless the account has a password here. 0: never. Needs base_dn.",
    }),
    update_users: Type.Boolean({ default: false, description: "Whether display names become those of the directory again at each of these looks, and mail addresses that are new there are added." }),
  },
  { additionalProperties: false, description: "Users log in with their password of a directory (LDAP). Accounts that have a password here keep it." },
);

const Voip = Type.Object(
  {
    turn_uris: Type.Array(Type.String({ pattern: "^turns?:" }), {
      default: [],
      description: "TURN servers that calls may go through, as turn:turn.example.org:3478?transport=udp.",
    }),
    turn_shared_secret: Type.Optional(
      Type.String({ minLength: 1, description: "What the TURN servers share with this one, so that each user gets a password that expires." }),
    ),
    turn_username: Type.Optional(Type.String({ minLength: 1, description: "Instead of a shared secret: one name and password for all users." })),
    turn_password: Type.Optional(Type.String({ minLength: 1 })),
    turn_seconds: Type.Integer({ minimum: 60, maximum: 2_592_000, default: 86_400, description: "How long a user's password for TURN lasts." }),
    turn_guests: Type.Boolean({ default: true, description: "Whether guests get passwords for TURN." }),
    rtc_transports: Type.Array(Type.Object({ type: Type.String({ minLength: 1 }) }, { additionalProperties: true }), {
      default: [],
      description: "What group calls go through, as clients take it: {type: livekit, livekit_service_url: https://...}.",
    }),
    livekit: Type.Optional(
      Type.Object(
        {
          url: Type.String({ format: "ws-url", description: "Where clients reach it: wss://..." }),
          internal_url: Type.Optional(Type.String({ format: "ws-url", description: "Where this server reaches it, if that is elsewhere." })),
          api_key: Type.String({ minLength: 1 }),
          api_secret: Type.String({ minLength: 1, description: "api_secret_file names a file that holds it." }),
          token_seconds: Type.Integer({ minimum: 60, maximum: 86_400, default: 3600, description: "How long a client has to come into the call." }),
        },
        {
          additionalProperties: false,
          description: "A LiveKit server for group calls, to which this server lets the members of rooms in. It is announced to clients, at PUBLIC_BASE_URL/livekit/jwt.",
        },
      ),
    ),
  },
  { ...closed, description: "Calls." },
);

const Outgoing = Type.Object(
  {
    allowed_addresses: Type.Array(Type.String({ format: "ip-range" }), {
      default: [],
      description: "Private addresses or ranges that may be asked all the same. Without them only the public Internet is.",
    }),
    denied_addresses: Type.Array(Type.String({ format: "ip-range" }), {
      default: [],
      description: "Addresses or ranges that are never asked, also where they are allowed above.",
    }),
    connect_seconds: Type.Integer({ minimum: 1, maximum: 120, default: 10, description: "For a connection to come about." }),
    idle_seconds: Type.Integer({ minimum: 1, maximum: 600, default: 15, description: "A server that sends nothing for so long is given up." }),
    ca: Type.Optional(
      Type.String({ minLength: 1, description: "Certificates (PEM) to trust besides the usual ones; ca_file names a file that holds them." }),
    ),
  },
  { ...closed, description: "Requests that this server makes." },
);

export const ConfigSchema = Type.Object(
  {
    servers: Type.Array(
      Type.Object(
        {
          name: Type.String({ format: "mx-server-name", description: "The part of user ids after the colon." }),
          federation_address: Type.Optional(
            Type.String({
              format: "mx-server-name",
              description: "host:port where other servers reach this one; published in the well-known document.",
            }),
          ),
          public_base_url: Type.Optional(
            Type.String({
              format: "http-url",
              description: "Where clients reach this server; published in the well-known document.",
            }),
          ),
          policy_server_key: Type.Optional(
            Type.String({
              pattern: "^[A-Za-z0-9+/]{43}$",
              description: "The Ed25519 key, unpadded base64, of a policy server of this name that is not Hansa; published for who sets it in a room.",
            }),
          ),
          support_page: Type.Optional(Type.String({ format: "http-url", description: "Help for users of this server." })),
          contacts: Type.Optional(
            Type.Array(
              Type.Object(
                {
                  role: Type.String({ minLength: 1, description: "m.role.admin or m.role.security." }),
                  matrix_id: Type.Optional(Type.String({ format: "mx-user-id" })),
                  email_address: Type.Optional(Type.String({ minLength: 3 })),
                },
                { additionalProperties: false },
              ),
              { description: "Whom to ask or warn; published in the support document." },
            ),
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
        trusted_proxies: Type.Array(Type.String({ format: "ip-range" }), {
          default: [],
          description: "Addresses or ranges (10.0.0.0/8) of reverse proxies whose X-Forwarded-For is believed.",
        }),
      },
      closed,
    ),
    data_folder: Type.String({ minLength: 1, default: "./data", description: "Embedded database, generated secrets, media." }),
    secret_key: Type.Optional(
      Type.String({
        format: "base64-32-bytes",
        description:
          "Seals signing keys in the database: 32 random bytes in base64. Absent: made at first start in the data folder. " +
          "Processes on several machines need the same.",
      }),
    ),
    database: Type.Object(
      {
        url: Type.Optional(
          Type.String({
            format: "postgres-url",
            description: "postgres://... of PostgreSQL 15 or newer; absent: one of our own in the data folder.",
          }),
        ),
        pool_size: Type.Integer({ minimum: 2, maximum: 200, default: 10, description: "Connections of one process." }),
      },
      closed,
    ),
    redis: Type.Object(
      {
        url: Type.Optional(
          Type.String({ format: "redis-url", description: "redis://...; optional, shortens wake-ups between processes." }),
        ),
      },
      closed,
    ),
    internal: Type.Object(
      {
        address: Type.String({
          default: "127.0.0.1",
          description: "Where this process listens for the other processes of the deployment.",
        }),
        port: Type.Integer({ minimum: 0, maximum: 65535, default: 0, description: "0 takes a free port." }),
        advertise: Type.Optional(
          Type.String({ description: "host:port under which the other processes reach it, if that is another one." }),
        ),
      },
      closed,
    ),
    registration: Type.Object(
      {
        open: Type.Optional(
          Type.Boolean({
            description: "Whether anybody may register. Absent: only on a server whose name is localhost.",
          }),
        ),
        require_token: Type.Boolean({
          default: false,
          description: "New users need a token; `hansa registration-token create` makes one.",
        }),
        require_email: Type.Boolean({ default: false, description: "New users need an e-mail address; it takes `mail`." }),
        captcha: Type.Optional(
          Type.Object(
            {
              site_key: Type.String({ minLength: 1, maxLength: 255 }),
              secret: Type.String({ minLength: 1 }),
              script_url: Type.String({ format: "http-url", default: "https://www.google.com/recaptcha/api.js" }),
              verify_url: Type.String({ format: "http-url", default: "https://www.google.com/recaptcha/api/siteverify" }),
              sources: Type.Array(Type.String({ pattern: "^https?://[a-z0-9.:-]+$" }), {
                default: ["https://www.google.com", "https://www.gstatic.com", "https://recaptcha.google.com"],
                description: "The origins from which the provider's script loads what it shows.",
              }),
            },
            { additionalProperties: false, description: "New users solve a captcha: reCAPTCHA 2, or another that speaks as it does." },
          ),
        ),
        guests: Type.Boolean({ default: false, description: "Whether anybody may use the server as a guest, in rooms that allow it." }),
        terms: Type.Optional(
          Type.Object(
            {
              version: Type.String({ minLength: 1 }),
              name: Type.String({ minLength: 1 }),
              url: Type.String({ format: "http-url" }),
              language: Type.String({ pattern: LANGUAGE_TAG, default: "en" }),
              translations: Type.Array(
                Type.Object(
                  {
                    language: Type.String({ pattern: LANGUAGE_TAG }),
                    name: Type.String({ minLength: 1 }),
                    url: Type.String({ format: "http-url" }),
                  },
                  { additionalProperties: false },
                ),
                { default: [] },
              ),
            },
            { additionalProperties: false, description: "A document that new users have to accept, and its translations." },
          ),
        ),
        renewal_days: Type.Integer({
          minimum: 1,
          maximum: 36_500,
          default: 365,
          description: "Days for which an administrator renews an account that may be used only for a time.",
        }),
        shared_secret: Type.Optional(
          Type.String({
            minLength: 8,
            description: "Lets tools that know it create users and administrators at /_synapse/admin/v1/register.",
          }),
        ),
      },
      closed,
    ),
    third_party_ids: Type.Object(
      {
        validation_lifetime: Type.Integer({
          minimum: 60,
          maximum: 604_800,
          default: 3600,
          description: "Seconds for which a link or code proves an address.",
        }),
        hide_registered: Type.Boolean({
          default: false,
          description: "Answers alike whether an address belongs to an account or not; its owner is told by mail.",
        }),
        allowed: Type.Optional(
          Type.Array(Type.String({ minLength: 1 }), {
            description: "Addresses that users may have, with * for any characters: *@example.org. Absent: all.",
          }),
        ),
        next_link_hosts: Type.Array(Type.String({ minLength: 1 }), {
          default: [],
          description: "Hosts of web clients to which the page that proves an address may lead back.",
        }),
        language: Language,
      },
      closed,
    ),
    mail: Type.Object(
      {
        host: Type.Optional(Type.String({ minLength: 1, description: "The SMTP server that takes our mails. Absent: none are sent." })),
        port: Type.Integer({ minimum: 1, maximum: 65535, default: 587 }),
        security: Type.Union([Type.Literal("starttls"), Type.Literal("tls"), Type.Literal("none")], {
          default: "starttls",
          description: "starttls (usually port 587), tls (usually 465), or none.",
        }),
        user: Type.Optional(Type.String({ minLength: 1 })),
        password: Type.Optional(Type.String({ minLength: 1 })),
        from: Type.String({ minLength: 3, default: "Matrix <noreply@localhost>", description: "The sender of our mails." }),
      },
      closed,
    ),
    sms: Type.Object(
      {
        url: Type.Optional(
          Type.String({ format: "http-url", description: "The gateway to which text messages are POSTed as JSON, also at a private address. Absent: none are sent." }),
        ),
        authorization: Type.Optional(
          Type.String({ minLength: 1, description: "The Authorization header that the gateway asks for." }),
        ),
        body: Type.Record(Type.String(), Type.String(), {
          default: { to: "{to}", text: "{text}" },
          description: "The fields of the JSON; {to} is the number with its plus sign, {text} the message.",
        }),
      },
      closed,
    ),
    passwords: Type.Object(
      {
        enabled: Type.Boolean({ default: true, description: "false: nobody logs in with a password, nor registers with one on our pages." }),
        min_length: Type.Integer({ minimum: 1, maximum: 128, default: 8, description: "In characters." }),
        memory_kib: Type.Integer({ minimum: 8, maximum: 1_048_576, default: 19_456, description: "Cost of argon2id: memory." }),
        iterations: Type.Integer({ minimum: 1, maximum: 20, default: 2, description: "Cost of argon2id: rounds." }),
      },
      closed,
    ),
    tokens: Type.Object(
      {
        access_lifetime: Type.Integer({
          minimum: 10,
          maximum: 31_536_000,
          default: 3600,
          description: "Seconds an access token lasts for clients that can refresh it. Others get tokens that do not expire.",
        }),
        refresh_lifetime: Type.Integer({
          minimum: 60,
          maximum: 315_360_000,
          default: 15_552_000,
          description: "Seconds after which a refresh token that was not used is void.",
        }),
        unused_session_lifetime: Type.Optional(
          Type.Integer({
            minimum: 86_400,
            maximum: 315_360_000,
            description: "Seconds after which a device that was not used is logged out. Absent: never.",
          }),
        ),
        login_tokens: Type.Boolean({
          default: true,
          description: "Users may let a further client in with a token that a client of theirs asks for.",
        }),
        login_token_lifetime: Type.Integer({
          minimum: 10,
          maximum: 3600,
          default: 120,
          description: "Seconds for which such a token can be used.",
        }),
        authentication_session_lifetime: Type.Integer({
          minimum: 30,
          maximum: 86_400,
          default: 900,
          description: "Seconds a user has for all stages of user-interactive authentication.",
        }),
      },
      closed,
    ),
    limits: Type.Object(
      {
        body_bytes: Type.Integer({
          minimum: 1024,
          maximum: 67_108_864,
          default: 1_048_576,
          description: "Largest JSON body, in bytes.",
        }),
        json_depth: Type.Integer({ minimum: 10, maximum: 1000, default: 100, description: "Deepest nesting of a JSON body." }),
        body_seconds: Type.Integer({
          minimum: 1,
          maximum: 600,
          default: 30,
          description: "A JSON body that takes longer to arrive is refused.",
        }),
        transaction_bytes: Type.Integer({
          minimum: 1_048_576,
          maximum: 268_435_456,
          default: 16_777_216,
          description: "Largest JSON body of another server's request, in bytes.",
        }),
        connections_per_address: Type.Integer({
          minimum: 1,
          maximum: 1_000_000,
          default: 5000,
          description: "Open connections of one network address; trusted proxies are not counted.",
        }),
        syncs_per_device: Type.Integer({
          minimum: 1,
          maximum: 100_000,
          default: 20,
          description: "Requests to /sync that a device may have open at one process.",
        }),
        syncs_per_user: Type.Integer({
          minimum: 1,
          maximum: 100_000,
          default: 200,
          description: "The same for all devices of a user together.",
        }),
        sockets_per_user: Type.Integer({
          minimum: 0,
          maximum: 100_000,
          default: 50,
          description: "WebSockets that a user may have open at one process; 0 switches them off.",
        }),
        socket_idle_seconds: Type.Integer({
          minimum: 2,
          maximum: 3600,
          default: 60,
          description: "A WebSocket that answers no ping for so long is cut off.",
        }),
      },
      closed,
    ),
    rooms: Type.Object(
      {
        default_version: Type.String({
          format: "room-version",
          default: "12",
          description: "The version of new rooms whose creator does not choose one: 1 to 12.",
        }),
        forget_on_leave: Type.Boolean({
          default: false,
          description: "Whether users forget a room as soon as they leave it or are removed from it.",
        }),
        redacted_content_days: Type.Union([Type.Number({ minimum: 0, maximum: 36_500 }), Type.Null()], {
          default: 7,
          description: "After how many days what was removed from an event is overwritten in the database; null: never.",
        }),
      },
      closed,
    ),
    server_notices: Type.Object(
      {
        localpart: Type.String({
          pattern: "^_[a-z0-9._=/+-]{0,100}$",
          default: "_server",
          description: "The localpart of the user in whose name the server tells its users something. It begins with _, so that nobody can register it.",
        }),
        display_name: Type.String({ minLength: 1, default: "Server Alert" }),
        avatar_url: Type.Optional(Type.String({ pattern: "^mxc://", description: "The picture of that user and of the rooms." })),
        room_name: Type.String({ minLength: 1, default: "Server Alert", description: "The name of the room in which a user hears from the server." }),
      },
      closed,
    ),
    federation: Type.Object(
      {
        enabled: Type.Boolean({ default: true, description: "false: no other server is asked or answered." }),
        listen: Type.Object(
          {
            address: Type.String({ default: "0.0.0.0", description: "Where the TLS listener for other servers listens." }),
            port: Type.Integer({ minimum: 0, maximum: 65535, default: 8448 }),
            certificate_path: Type.Optional(
              Type.String({
                minLength: 1,
                description:
                  "Certificate chain in PEM. Absent: no TLS listener; other servers come through a reverse proxy to the main one.",
              }),
            ),
            key_path: Type.Optional(Type.String({ minLength: 1, description: "Private key of the certificate in PEM." })),
          },
          closed,
        ),
        allowed_servers: Type.Optional(
          Type.Array(Type.String({ minLength: 1 }), {
            description: "Names (with * and ?) of the servers to federate with. Absent: all.",
          }),
        ),
        denied_servers: Type.Array(Type.String({ minLength: 1 }), {
          default: [],
          description: "Names (with * and ?) of servers not to federate with.",
        }),
        device_names: Type.Boolean({ default: false, description: "Whether other servers are told the names that users give their devices." }),
        trusted_key_servers: Type.Array(Type.String({ format: "mx-server-name" }), {
          default: [],
          description: "Servers whose word is taken for the keys of servers that cannot be reached.",
        }),
        refused_keys: Type.Array(Type.String({ minLength: 43, maxLength: 44 }), {
          default: [],
          description: "Public keys (base64) that are believed of no server, because others than their owners know them.",
        }),
      },
      closed,
    ),
    app_services: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: "Registration files of application services (bridges, bots), or folders that hold nothing else.",
    }),
    caches: Type.Object(
      {
        events_bytes: Type.Integer({
          minimum: 1_048_576,
          maximum: 68_719_476_736,
          default: 67_108_864,
          description: "Memory for events that were read lately, in bytes. Left out, it is at most a sixteenth of the heap that Node.js may have.",
        }),
        rooms_bytes: Type.Integer({
          minimum: 1_048_576,
          maximum: 68_719_476_736,
          default: 134_217_728,
          description: "Memory for the rooms that are written to, in bytes. Left out, it is at most an eighth of the heap that Node.js may have.",
        }),
      },
      closed,
    ),
    presence: Type.Object(
      { enabled: Type.Boolean({ default: true, description: "Tells users who of those they share a room with is online." }) },
      closed,
    ),
    user_directory: Type.Object(
      {
        search_all_users: Type.Boolean({
          default: false,
          description: "Whether users find everyone on their server, not only those with whom they share a room or who are in a public one.",
        }),
        show_guests: Type.Boolean({ default: false, description: "Whether guests are found." }),
      },
      { ...closed, description: "Finding users by their names." },
    ),
    media: Media,
    url_previews: UrlPreviews,
    push: Push,
    delayed_events: DelayedEvents,
    oauth: Oauth,
    identity_providers: IdentityProviders,
    saml_providers: SamlProviders,
    jwt_login: Type.Optional(JwtLogin),
    ldap: Type.Optional(Ldap),
    voip: Voip,
    outgoing: Outgoing,
    rate_limits: RateLimits,
    metrics: Type.Object(
      {
        enabled: Type.Boolean({ default: false, description: "Serves /metrics in the format of Prometheus." }),
        address: Type.String({ default: "127.0.0.1", description: "Where the listener of its own listens." }),
        port: Type.Optional(
          Type.Integer({
            minimum: 0,
            maximum: 65535,
            description: "Port of a listener of its own. Absent: the main listener serves /metrics, to everybody who reaches it.",
          }),
        ),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.Union(
          [Type.Literal("trace"), Type.Literal("debug"), Type.Literal("info"), Type.Literal("warn"), Type.Literal("error"), Type.Literal("silent")],
          { default: "info" },
        ),
        requests: Type.Boolean({ default: true, description: "One line per request: method, path, status, time, who." }),
      },
      closed,
    ),
  },
  { additionalProperties: false },
);

export type Config = Static<typeof ConfigSchema>;

/** Names of the rate limits that an operation can have. */
export type RateLimit = Exclude<keyof Config["rate_limits"], "enabled">;
