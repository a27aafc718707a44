// Wires everything together; the only file that knows all parts.
import { setMaxListeners } from "node:events";
import { AccessTokens } from "./accounts/access-tokens.js";
import { LastSeen } from "./accounts/last-seen.js";
import { checkDirectory } from "./accounts/directory-check.js";
import { wholeBody } from "./accounts/interactive-authentication.js";
import { Directory } from "./accounts/ldap.js";
import { Outbox } from "./accounts/outbox.js";
import { Passwords } from "./accounts/passwords.js";
import { RemoteProfiles } from "./accounts/remote-profiles.js";
import { keepSessions } from "./accounts/session-upkeep.js";
import { certificateOf } from "./api/certificate.js";
import type { Answerer, Edge } from "./api/call.js";
import { createApp } from "./api/dispatch.js";
import { internalCaller, listenInternally, type InternalMethod } from "./api/internal.js";
import { answerProbe, listen, publicLimits } from "./api/listener.js";
import { RateLimiter } from "./api/rate-limit.js";
import { routes } from "./api/routes.js";
import type { Services } from "./api/services.js";
import { WebSockets } from "./api/websockets.js";
import { actingUser, registerSenders, requireUserFree } from "./appservice/acting.js";
import { AppServiceClient } from "./appservice/client.js";
import { deliverToAppServices } from "./appservice/deliveries.js";
import { loadAppServices } from "./appservice/registration.js";
import { systemClock } from "./clock.js";
import { localServers, type Config } from "./config.js";
import { unknownError } from "./errors.js";
import { takeEdus } from "./ephemeral/inbound-edus.js";
import { DeviceListResync } from "./encryption/remote-device-lists.js";
import { missedDeviceLists } from "./encryption/device-list-edus.js";
import { owedEdus } from "./ephemeral/outbound-edus.js";
import { Presence } from "./ephemeral/presence.js";
import { type FederationOptions, openFederation } from "./federation/federation.js";
import { Outgoing, outgoingToServices } from "./federation/outgoing.js";
import { FederationSender } from "./federation/sender.js";
import { authenticateServer } from "./federation/remote-server.js";
import { unreadKey } from "./ephemeral/side-streams.js";
import { Typing } from "./ephemeral/typing.js";
import { logger, setLogLevel } from "./log.js";
import { cacheReported } from "./metrics.js";
import { remoteMedia } from "./media/fetch-remote.js";
import { openMedia } from "./media/parts.js";
import { MediaUpkeep } from "./media/upkeep.js";
import { IdentityProviders } from "./oauth/identity-providers.js";
import { jwtKey } from "./oauth/jwt-login.js";
import { SamlProviders } from "./oauth/saml.js";
import { PushDelivery } from "./push/delivery.js";
import { sideStreams } from "./push/side-streams.js";
import { AdminTasks } from "./rooms/administration/admin-tasks.js";
import { DelayedEvents } from "./rooms/delayed-events.js";
import { followErasedUsers } from "./rooms/views/erased-users.js";
import { Backfills } from "./rooms/remote/backfills.js";
import { EventCache } from "./rooms/views/event-cache.js";
import { hierarchyCache } from "./rooms/directory/hierarchy-cache.js";
import { GuestUpkeep } from "./rooms/membership/guest-upkeep.js";
import { MembershipUpkeep } from "./rooms/membership/membership-upkeep.js";
import { MergeBranches } from "./rooms/remote/merge-branches.js";
import { PolicyServers } from "./rooms/remote/policy-server.js";
import type { UserId } from "./protocol/identifiers.js";
import { RoomOwners } from "./rooms/owner/owner.js";
import { PartialJoins } from "./rooms/remote/partial-joins.js";
import type { RoomServices } from "./rooms/owner/room-services.js";
import { RepeatedWork } from "./repeated-work.js";
import { RuleChanges } from "./rooms/owner/rule-changes.js";
import { SearchIndex } from "./rooms/views/search-index.js";
import { JoinsUnderWay } from "./rooms/remote/joins-under-way.js";
import { InboundTransactions } from "./rooms/remote/transactions.js";
import { MemoryBus, PostgresBus, RedisBus, type Bus } from "./storage/bus.js";
import { Committer } from "./storage/committer.js";
import type { Database } from "./storage/database.js";
import { Interning } from "./storage/interning.js";
import { LOG_CHANNEL, LogFollower } from "./storage/log.js";
import { Numbers } from "./storage/numbers.js";
import { ClockSteps } from "./storage/clock-steps.js";
import { openDatabase, type OpenDatabase, type Progress } from "./storage/open.js";
import { ProcessRegistration } from "./storage/processes.js";
import { derivedSecret, loadSecretKey, type SecretKey } from "./storage/sealing.js";
import { policyKeys, SigningKeys } from "./storage/signing-keys.js";
import { SharedBuckets } from "./storage/shared-buckets.js";
import { holdAlone } from "./storage/sole-process.js";
import { devicesLoader } from "./storage/to-device.js";
import { TurnLoader } from "./storage/turn-loader.js";
import { keepHouse } from "./storage/upkeep.js";
import { KeysLeft } from "./sync/device-lists.js";
import { CurrentMembers } from "./sync/current-members.js";
import { SentMembers } from "./sync/sent-members.js";
import { BegunSessions } from "./sync/sliding/begun-sessions.js";
import { Connections } from "./sync/sliding/connection.js";
import { KnownRoomLists, roomTypes } from "./sync/sliding/room-list.js";
import type { SlidingDependencies } from "./sync/sliding/sliding-sync.js";
import { Acknowledgements, inboxLoader } from "./sync/to-device.js";
import { WatchedUsers } from "./sync/watched-users.js";
import { LargeAnswers } from "./sync/large-answers.js";

const log = logger("server");

const UPKEEP_MS = 10 * 60_000;
/** How often it is looked whether a server was given a new signing key. */
const SIGNING_KEYS_MS = 2_000;
const CLOCK_MS = 5_000;

export interface RunningServer extends AsyncDisposable {
  /** Where it listens, as http://host:port. */
  readonly url: string;
  /** Where the data is, for a person to read. */
  readonly where: string;
}

export interface StartOptions {
  /** Checks every answer against the contract: for tests. */
  readonly validateAnswers?: boolean;
  /** How long, when it stops, connections that are open may each ask once more, in milliseconds. */
  readonly farewellMs?: number;
  /** Told each step that takes a moment. */
  readonly progress?: Progress;
}

/** Starts a server. Throws ConfigError for what its configuration or surroundings do not allow. */
export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const started: AsyncDisposable[] = [];
  try {
    return await start(config, options, started);
  } catch (error) {
    await disposeAll(started);
    throw error;
  }
}

/** Disposes in the reverse order of starting. */
async function disposeAll(started: AsyncDisposable[]): Promise<void> {
  for (const part of started.splice(0).toReversed()) await part[Symbol.asyncDispose]();
}

type Engine = RoomServices &
  Pick<Services, "devicesOf" | "bus" | "follower" | "owners" | "events" | "backfills" | "joins" | "hierarchies" | "sync" | "typing" | "presence"> & { readonly registration: ProcessRegistration };

/** What the rooms use and what itself stands on them. What happens before it is there, it finds by itself. */
interface Later {
  delivery?: PushDelivery;
  policyServers?: PolicyServers;
  branches?: MergeBranches;
}

/** The log, the rooms and what they stand on. */
async function startEngine(
  config: Config,
  { database, isEmbedded }: OpenDatabase,
  secret: SecretKey,
  signingKeys: SigningKeys,
  later: Later,
  started: AsyncDisposable[],
): Promise<Engine> {
  const clock = systemClock;
  const servers = localServers(config);
  const bus = openBus(config, database, isEmbedded);
  started.push(bus);
  const follower = await LogFollower.start(database, bus, clock);
  started.push(follower);
  const committer = new Committer(database, (position, entries, pushed) => {
    follower.committed(position, entries);
    if (pushed.length > 0) later.delivery?.hurry(pushed);
    bus.publish(LOG_CHANNEL, String(position));
  });
  const services: RoomServices = {
    database,
    committer,
    interning: new Interning(database),
    numbers: new Numbers(database),
    clock,
    ruleChanges: new RuleChanges(),
    askPolicyServer: async (question) => {
      if (later.policyServers === undefined) throw unknownError(503, "This server is starting: try again.");
      return await later.policyServers.sign(question);
    },
    noteElsewhere: (position) => follower.tell(position),
    noteEnds: (roomId, ends) => later.branches?.note(roomId, ends),
    signingKey: (server) => (servers.isLocal(server) ? signingKeys.current(server) : undefined),
  };
  const internalSecret = derivedSecret(secret, "internal");
  const caller = internalCaller(internalSecret);
  const methods = new Map<string, InternalMethod>();
  const { address: host, port, advertise } = config.internal;
  const internal = await listenInternally({ host, port, advertise }, internalSecret, methods);
  started.push(internal);
  const registration = await ProcessRegistration.open(database, clock, internal.address);
  const owners = new RoomOwners(services, registration, caller, config.caches.rooms_bytes);
  cacheReported("rooms", () => owners.bytes);
  for (const [name, method] of owners.methods) methods.set(name, method);
  const upkeep = setInterval(() => {
    keepHouse(database, clock, { redactedContentDays: config.rooms.redacted_content_days ?? undefined }).catch((error: unknown) => log.warn({ err: error }, "the upkeep of the database failed"));
  }, UPKEEP_MS).unref();
  started.push({
    async [Symbol.asyncDispose]() {
      clearInterval(upkeep);
      await owners.close();
      await committer.drain();
      await registration.close();
      caller[Symbol.dispose]();
    },
  });
  const events = new EventCache(config.caches.events_bytes);
  cacheReported("events", () => events.bytes);
  const users = new WatchedUsers(database, follower);
  started.push({ [Symbol.asyncDispose]: () => Promise.resolve(users[Symbol.dispose]()) });
  const typing = new Typing(bus, clock, (room) => users.wakeRoom(room));
  started.push({ [Symbol.asyncDispose]: () => Promise.resolve(typing[Symbol.dispose]()) });
  const presence = await Presence.start({ database, bus, clock, enabled: config.presence.enabled });
  started.push(presence);
  const streams = sideStreams({ typing, presence, interning: services.interning });
  const connections = new Connections(database, clock);
  const types = roomTypes();
  const roomLists = new KnownRoomLists(follower);
  const unsubscribe = follower.onNewEpoch(() => {
    for (const memory of [services.interning, services.numbers, owners, connections, roomLists]) memory.forgetAll();
    types.clear();
  });
  started.push({ [Symbol.asyncDispose]: () => Promise.resolve(unsubscribe()) });
  const { syncs_per_device, syncs_per_user } = config.limits;
  const sync: SlidingDependencies = {
    ...services,
    limits: { perDevice: syncs_per_device, perUser: syncs_per_user },
    events,
    follower,
    users,
    streams,
    sentMembers: new SentMembers(),
    connections,
    begunSessions: new BegunSessions(database, events),
    roomTypes: types,
    roomLists,
    keysLeft: new KeysLeft(database),
    acknowledgements: new Acknowledgements(database, follower),
    largeAnswers: new LargeAnswers(),
    inboxes: inboxLoader(database),
    members: new CurrentMembers(database),
    unread: {
      whole: new TurnLoader(unreadKey, (pairs) => streams.unread(database, pairs, false)),
      parted: new TurnLoader(unreadKey, (pairs) => streams.unread(database, pairs, true)),
    },
    presences: new TurnLoader((userNid) => userNid, (userNids) => streams.presenceOf(database, userNids)),
  };
  return { ...services, devicesOf: devicesLoader(database), registration, bus, follower, owners, events, backfills: new Backfills(), joins: new JoinsUnderWay(), hierarchies: hierarchyCache(), sync, typing, presence };
}

/** Forgets what the log says has changed: events that were redacted, members, push rules. */
function forgetChanged({
  follower,
  events,
  ruleChanges,
  sync: { members, keysLeft },
}: Pick<Services, "follower" | "events" | "ruleChanges" | "sync">): AsyncDisposable {
  const unsubscribe = follower.subscribeToEntries((entries) => {
    if (entries === undefined) {
      events.forgetAll();
      members.forgetAll();
      keysLeft.forgetAll();
      ruleChanges.noteAll();
      ruleChanges.threads.noteAll();
      return;
    }
    for (const { kind, room_nid, user_nid, device, reference } of entries) {
      if (kind === "key" && user_nid !== undefined && device !== undefined) keysLeft.forget(user_nid, device);
      if (kind === "state_change" && room_nid !== undefined && user_nid !== undefined) members.forget(room_nid, user_nid);
      if (kind === "push_rule" && user_nid !== undefined) ruleChanges.note(user_nid);
      if (kind === "thread_subscription" && reference !== undefined) ruleChanges.threads.note(reference);
      if (kind === "invalidation" && room_nid !== undefined && reference !== undefined) events.forget(reference);
    }
  });
  return { [Symbol.asyncDispose]: () => Promise.resolve(unsubscribe()) };
}

function openBus(config: Config, database: Database, isEmbedded: boolean): Bus {
  // Our own PostgreSQL serves this process alone.
  const bus = isEmbedded ? new MemoryBus() : new PostgresBus(database.connectionConfig());
  return config.redis.url === undefined ? bus : new RedisBus(config.redis.url, bus);
}

async function start(config: Config, options: StartOptions, started: AsyncDisposable[]): Promise<RunningServer> {
  setLogLevel(config.log.level);
  const clock = systemClock;
  const servers = localServers(config);
  const appservices = loadAppServices(config, servers);
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  if (config.jwt_login !== undefined) jwtKey(config.jwt_login);
  const secret = loadSecretKey(config);
  const opened = await openDatabase(config, options.progress);
  started.push(opened);
  if (opened.isEmbedded) started.push(await holdAlone(opened.database, config.data_folder));
  const { database, where } = opened;
  const signingKeys = await SigningKeys.load(database, secret, servers.names, clock.now());
  started.push(
    new RepeatedWork(SIGNING_KEYS_MS, () => signingKeys.refresh(), (error) => log.warn({ err: error }, "the signing keys could not be read again")),
  );
  const clockSteps = new ClockSteps(database, clock);
  const lookAtClock = async (): Promise<void> => {
    const back = await clockSteps.look();
    if (Number.isFinite(back) && back > 0) log.warn({ seconds: Math.round(back / 1000) }, "the clock was put back");
  };
  started.push(new RepeatedWork(CLOCK_MS, lookAtClock, (error) => log.warn({ err: error }, "what waits for a time could not be looked at")));
  const later: Later = {};
  const engine = await startEngine(config, opened, secret, signingKeys, later, started);
  const outgoing = new Outgoing(config.outgoing);
  started.push(outgoing);
  const { signingKey } = engine;
  const ownKeys: FederationOptions["ownKeys"] = (server) => signingKeys.all(server);
  const federation = openFederation({ config, servers, database, clock, outgoing, signingKey, policyKeys: policyKeys(secret, config.servers), ownKeys });
  const tokens = new AccessTokens(database, clock);
  const lastSeen = new LastSeen(database, clock);
  started.push(lastSeen);
  started.push(forgetChanged(engine));
  started.push(await followErasedUsers(database, engine.follower, engine.events));
  const searchIndex = new SearchIndex(engine, engine.follower);
  started.push(searchIndex);
  const context = { ...engine, config, clock, servers, federation };
  later.policyServers = new PolicyServers(context);
  later.branches = new MergeBranches(context);
  started.push(later.branches);
  started.push(new MembershipUpkeep(context));
  const adminTasks = new AdminTasks({ ...context, outgoing });
  started.push(adminTasks);
  started.push(new GuestUpkeep(context));
  const buckets = config.redis.url === undefined ? undefined : new SharedBuckets(config.redis.url);
  started.push({ [Symbol.asyncDispose]: () => Promise.resolve(buckets?.[Symbol.dispose]()) });
  const limiter = new RateLimiter(config.rate_limits, clock, buckets);
  const delayedEvents = new DelayedEvents({ ...context, limits: config.delayed_events });
  started.push(delayedEvents);
  const passwords = new Passwords(config.passwords);
  tokens.follow(engine.follower);
  const toServices = outgoingToServices(config.outgoing);
  started.push(toServices);
  const outbox = new Outbox({ config, clock, database, secret, outgoing: toServices });
  started.push(outbox);
  later.delivery = new PushDelivery({ ...engine, config, secret, outbox, outgoing });
  started.push(later.delivery);
  const media = await openMedia(config, remoteMedia({ federation, outgoing, asker: servers.names[0] }));
  started.push({ [Symbol.asyncDispose]: () => Promise.resolve(media.store[Symbol.dispose]()) });
  const appserviceClient = new AppServiceClient(toServices);
  await registerSenders(database, clock, appservices);
  const transactions = new InboundTransactions(context, takeEdus(context));
  started.push(transactions);
  cacheReported("inbound_events", () => transactions.bytes);
  started.push(new DeviceListResync(context));
  const { follower, registration } = engine;
  started.push(new PartialJoins(context));
  const sender = new FederationSender({
    database,
    follower,
    federation,
    servers,
    clock,
    process: () => registration.nid,
    edusOf: owedEdus({ ...engine, config, servers, federation }),
    missedEdus: (tx, server, after) => missedDeviceLists({ ...engine, config, servers }, tx, server, after),
  });
  started.push(sender);
  const requireFree = (user: UserId): void => requireUserFree(appservices, user);
  const directory = config.ldap === undefined ? undefined : new Directory(config.ldap, requireFree);
  const accounts = { ...engine, config, clock, servers, secret, passwords, directory, tokens, limiter, outbox };
  const services: Services = {
    ...accounts,
    identityProviders: new IdentityProviders(accounts, outgoing, requireFree),
    samlProviders: new SamlProviders(accounts, requireFree),
    adminTasks,
    delayedEvents,
    appservices,
    appserviceClient,
    signingKeys,
    outgoing,
    federation,
    remoteProfiles: new RemoteProfiles({ federation, servers }),
    sender,
    searchIndex,
    transactions,
    media,
  };
  const delivery = { ...engine, client: appserviceClient, streams: engine.sync.streams };
  started.push(await deliverToAppServices(delivery, appservices.all));
  started.push(new MediaUpkeep(services));
  started.push(keepSessions(services));
  started.push(checkDirectory(services));
  const edge: Edge = {
    config,
    servers,
    limiter,
    authenticate: (token, asserted) => {
      const appservice = appservices.ofToken(token);
      return appservice === undefined ? tokens.authenticate(token) : actingUser(database, appservice, asserted);
    },
    wholeBody: (operation, asker, body) => wholeBody(accounts, operation, asker, body),
    isAppService: (token) => appservices.ofToken(token) !== undefined,
    authenticateServer: async (request, addressed) => {
      const remote = await authenticateServer({ ...federation, servers }, request, addressed);
      sender.alive(remote.origin);
      return remote;
    },
    seen: (requester, address, userAgent) => lastSeen.note(requester, address, userAgent),
    validateAnswers: options.validateAnswers ?? false,
    stopping: stopping.signal,
  };
  const answerers = routes.map(({ operation, handler }): Answerer => ({ operation, answer: (request) => handler(services, request) }));
  const app = createApp(edge, answerers);
  const answer = app.callback();
  const trouble = async (): Promise<string | undefined> => {
    if (stopping.signal.aborted) return "the server is stopping";
    return (await database.takesWrites()) ? undefined : "the database takes no writes";
  };
  const { metrics } = config;
  if (metrics.enabled && metrics.port !== undefined) {
    started.push(
      await listen(
        { address: metrics.address, port: metrics.port, setting: "metrics.address or metrics.port" },
        publicLimits(config),
        (request, response) => {
          if (!answerProbe({ trouble, metrics: true }, request, response)) response.writeHead(404).end();
        },
      ),
    );
  }
  const { farewellMs = 0 } = options;
  const certificate = certificateOf(config.federation.listen);
  if (config.federation.enabled && certificate !== undefined) {
    const { address, port } = config.federation.listen;
    started.push(
      await listen(
        { address, port, setting: "federation.listen.address or federation.listen.port", certificate, farewellMs },
        publicLimits(config),
        (request, response) => void answer(request, response),
      ),
    );
  }
  const websockets = new WebSockets(edge, answerers, engine.follower);
  const main = await listen(
    { address: config.listen.address, port: config.listen.port, setting: "listen.address or listen.port", farewellMs },
    publicLimits(config),
    (request, response) => {
      const probes = { trouble, metrics: metrics.enabled && metrics.port === undefined };
      if (!answerProbe(probes, request, response)) void answer(request, response);
    },
    websockets,
  );
  started.push(main, websockets);
  return {
    url: main.url,
    where,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await disposeAll(started);
    },
  };
}
