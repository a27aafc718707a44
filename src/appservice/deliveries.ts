// Tells application services what concerns them: in order, at least once, without gaps, each by one process of the
// deployment and none held up by another (application service API, "Pushing events").
import { setTimeout as sleep } from "node:timers/promises";
import { sendTransaction } from "../../spec/appservice/transactions.js";
import { isDue } from "../clock.js";
import type { Typing } from "../ephemeral/typing.js";
import { logger } from "../log.js";
import {
  claimAppService,
  cursorOf,
  findMembers,
  holdAppService,
  keepOnlyAppServices,
  nextTransaction,
  noteFailure,
  type PendingTransaction,
  putTransactions,
  retryNow,
  startAtHead,
  transactionDone,
} from "../storage/appservices.js";
import type { Bus } from "../storage/bus.js";
import { advanceReader, type LogFollower } from "../storage/log.js";
import type { ProcessRegistration } from "../storage/processes.js";
import { type AppServiceClient, reasonOf } from "./client.js";
import { type InterestContext, transactionsOf, typingTransactions } from "./interest.js";
import { type AppService, coversUser } from "./registration.js";

const log = logger("appservice");

/** Says that an application service has shown itself: the message is its id. */
const CHANNEL = "appservice";
/** How often is looked whether a retry is due, or another process has died. */
const LOOK_EVERY_MS = 1_000;
const SEND_MS = 60_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 5 * 60_000;
/** Rooms where someone types that are remembered until the next transaction. */
const MAX_TYPING = 1_000;

export interface DeliveryContext extends InterestContext {
  readonly bus: Bus;
  readonly follower: LogFollower;
  readonly client: AppServiceClient;
  readonly typing: Typing;
  readonly registration: Pick<ProcessRegistration, "nid" | "isValid">;
}

/** Begins to tell application services; those without URL are told nothing. */
export async function deliverToAppServices(context: DeliveryContext, all: readonly AppService[]): Promise<AsyncDisposable> {
  const told = all.filter(({ url }) => url !== undefined);
  // Before the first request is taken: whatever comes of that, they are told.
  await keepOnlyAppServices(
    context.database,
    told.map(({ id }) => id),
  );
  const deliveries = told.map((appservice) => new Delivery(context, appservice));
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(deliveries.map((delivery) => delivery[Symbol.asyncDispose]()));
    },
  };
}

/** Lets what waits for an application service be sent at once: it has shown that it is there. */
export async function appServiceIsThere({ database, bus }: Pick<DeliveryContext, "database" | "bus">, { id }: AppService): Promise<void> {
  await retryNow(database, id);
  bus.publish(CHANNEL, id);
}

/** This process is not the one that tells the application service, or no longer. */
class NotOwnerError extends Error {
  override name = "NotOwnerError";
}

/** Tells one application service, while this process is the one that does. */
class Delivery implements AsyncDisposable {
  readonly #context: DeliveryContext;
  readonly #appservice: AppService;
  readonly #stops: (() => void)[];
  readonly #typing = new Set<number>();
  readonly #stopping = new AbortController();
  /** The number under which this process owns it. */
  #owner: number | undefined;
  #failures = 0;
  #retryTs = 0;
  #running: Promise<void> | undefined;
  #again = false;
  /** Whether transactions may wait to be sent. */
  #mayWait = true;

  constructor(context: DeliveryContext, appservice: AppService) {
    this.#context = context;
    this.#appservice = appservice;
    const timer = setInterval(() => this.#wake(), LOOK_EVERY_MS).unref();
    this.#stops = [
      () => clearInterval(timer),
      context.follower.subscribeToAll(() => this.#wake()),
      context.bus.subscribe(CHANNEL, (id) => {
        if (id !== appservice.id) return;
        this.#failures = this.#retryTs = 0;
        this.#wake();
      }),
      context.typing.subscribe((room) => {
        if (!appservice.ephemeral || this.#owner === undefined || this.#typing.size >= MAX_TYPING) return;
        this.#typing.add(room);
        this.#wake();
      }),
    ];
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#stopping.abort();
    await this.#running;
  }

  #wake(): void {
    this.#again = true;
    if (this.#stopping.signal.aborted) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.#wake();
    });
  }

  async #run(): Promise<void> {
    const { clock } = this.#context;
    try {
      while (this.#again && !this.#stopping.signal.aborted) {
        this.#again = false;
        if (!isDue(clock, this.#retryTs, LAST_RETRY_MS) || !(await this.#isOwner())) return;
        while (!this.#stopping.signal.aborted && (await this.#step()));
      }
    } catch (error) {
      if (error instanceof NotOwnerError) this.#owner = undefined;
      else log.warn({ appservice: this.#appservice.id, err: error }, "an application service could not be told what happened");
      // The database may be what fails: whoever wakes us next should not come at once.
      await sleep(LOOK_EVERY_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  /** Whether this process tells it; takes it over from a process that has died. */
  async #isOwner(): Promise<boolean> {
    const { database, registration } = this.#context;
    if (!registration.isValid()) return false;
    if (this.#owner === registration.nid) return true;
    const owner = registration.nid;
    const claimed = await claimAppService(database, this.#appservice.id, owner);
    if (claimed === undefined) {
      // The next look comes with the timer: whoever owns it is alive.
      this.#retryTs = this.#context.clock.now() + LOOK_EVERY_MS;
      return false;
    }
    await this.#prepare(owner);
    this.#owner = owner;
    this.#mayWait = true;
    this.#failures = claimed.failures;
    this.#retryTs = claimed.retry_ts;
    return isDue(this.#context.clock, this.#retryTs, LAST_RETRY_MS);
  }

  async #prepare(owner: number): Promise<void> {
    const { id, users_digest } = this.#appservice;
    await this.#context.database.transaction(async (tx) => {
      const held = await holdAppService(tx, id, owner);
      if (held === undefined) throw new NotOwnerError();
      await startAtHead(tx, [id]);
      if (held.users_digest === users_digest) return;
      await findMembers(tx, id, users_digest, (user) => coversUser(this.#appservice, user));
    });
  }

  /** Does one thing; false if there is nothing to do now. */
  async #step(): Promise<boolean> {
    const { database } = this.#context;
    const { id } = this.#appservice;
    const next = this.#mayWait ? await nextTransaction(database, id) : undefined;
    if (next !== undefined) return await this.#send(next);
    this.#mayWait = false;
    const { applied } = await advanceReader(database, {
      name: cursorOf(id),
      apply: async (tx, entries) => {
        await this.#hold(tx);
        const transactions = await transactionsOf(this.#context, this.#appservice, tx, entries);
        this.#mayWait ||= transactions.length > 0;
        await putTransactions(tx, id, transactions);
      },
    });
    // Who is where is known only when the log has been read.
    if (applied > 0 || this.#typing.size === 0) return applied > 0;
    await this.#tellTyping();
    return true;
  }

  async #tellTyping(): Promise<void> {
    const { database, typing } = this.#context;
    const rooms = [...this.#typing];
    this.#typing.clear();
    await database.transaction(async (tx) => {
      await this.#hold(tx);
      const told = await typingTransactions(this.#appservice, tx, rooms, (room) => typing.content(room));
      this.#mayWait = true;
      await putTransactions(tx, this.#appservice.id, told);
    });
  }

  /** Throws NotOwnerError if another process has taken over, and lets none do it before the transaction ends. */
  async #hold(tx: Parameters<typeof holdAppService>[0]): Promise<void> {
    const { id } = this.#appservice;
    if (this.#owner === undefined || (await holdAppService(tx, id, this.#owner)) === undefined) throw new NotOwnerError();
  }

  /** Sends a transaction; false if it has to be sent again later. */
  async #send({ nid, txn_id, body }: PendingTransaction): Promise<boolean> {
    const { client, clock, database } = this.#context;
    const { id } = this.#appservice;
    let trouble: string;
    try {
      const { status } = await client.request(this.#appservice, sendTransaction, {
        params: { txnId: txn_id },
        body,
        milliseconds: SEND_MS,
        signal: this.#stopping.signal,
      });
      if (status === 200) {
        await transactionDone(database, id, nid);
        if (this.#failures > 0) log.info({ appservice: id }, "an application service takes transactions again");
        this.#failures = 0;
        return true;
      }
      trouble = String(status);
    } catch (error) {
      if (this.#stopping.signal.aborted) return false;
      trouble = reasonOf(error);
    }
    this.#failures += 1;
    this.#retryTs = clock.now() + Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(20, this.#failures - 1));
    if (this.#failures === 1) log.warn({ appservice: id, trouble }, "an application service does not take a transaction; it is tried again");
    if (this.#owner !== undefined) await noteFailure(database, id, this.#owner, this.#failures, this.#retryTs);
    return false;
  }
}
