// How processes wake each other. A message is a hint and may be lost: whoever needs the truth reads it from PostgreSQL.
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { Client, type ClientConfig } from "pg";
import { logger } from "../log.js";
import { parseJson } from "../protocol/json.js";

const log = logger("bus");

type Subscriber = (message: string) => void;

export interface Bus extends AsyncDisposable {
  /** Sends a small message to all subscribers of a channel, in every process, this one included. Never throws. */
  publish(channel: string, message: string): void;
  /** Calls `handler` for each message of a channel until the returned function is called. */
  subscribe(channel: string, handler: Subscriber): () => void;
}

/** The bus of a single process; the others build on it for what happens inside one. */
export class MemoryBus implements Bus {
  private readonly channels = new Map<string, Set<Subscriber>>();

  publish(channel: string, message: string): void {
    this.deliver(channel, message);
  }

  subscribe(channel: string, handler: Subscriber): () => void {
    let subscribers = this.channels.get(channel);
    if (subscribers === undefined) this.channels.set(channel, (subscribers = new Set()));
    subscribers.add(handler);
    return () => {
      subscribers.delete(handler);
      if (subscribers.size === 0 && this.channels.get(channel) === subscribers) this.channels.delete(channel);
    };
  }

  protected deliver(channel: string, message: string): void {
    for (const handler of this.channels.get(channel) ?? []) {
      try {
        handler(message);
      } catch (error) {
        log.error({ err: error, channel }, "a subscriber failed");
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.channels.clear();
    return Promise.resolve();
  }
}

/**
 * A bus over several processes: delivers at once inside this one, and sends `sender channel message` to the others, who
 * leave out what they sent themselves.
 */
abstract class SharedBus extends MemoryBus {
  private readonly sender = randomBytes(8).toString("hex");

  override publish(channel: string, message: string): void {
    this.deliver(channel, message);
    this.send(`${this.sender} ${channel} ${message}`);
  }

  protected abstract send(packet: string): void;

  protected receive(packet: string): void {
    const first = packet.indexOf(" ");
    const second = packet.indexOf(" ", first + 1);
    if (first < 0 || second < 0 || packet.slice(0, first) === this.sender) return;
    this.deliver(packet.slice(first + 1, second), packet.slice(second + 1));
  }
}

const REDIS_CHANNEL = "hansa";
/** A Redis that does not answer for so long is away. */
const PUBLISH_MS = 1_000;

/** Over Redis publish/subscribe, and over another bus for as long as Redis is away; connections come back by themselves. */
export class RedisBus extends SharedBus {
  private readonly fallback: Bus;
  private readonly publisher: Redis;
  private readonly subscriber: Redis;
  private connected = true;

  /** Owns the bus that it falls back to. */
  constructor(url: string, fallback: Bus) {
    super();
    this.fallback = fallback;
    fallback.subscribe(REDIS_CHANNEL, (packet) => this.receive(packet));
    const options = { enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: (tries: number) => Math.min(tries * 50, 1_000) };
    this.publisher = new Redis(url, { ...options, commandTimeout: PUBLISH_MS });
    this.subscriber = new Redis(url, { ...options, enableOfflineQueue: true, maxRetriesPerRequest: null });
    for (const connection of [this.publisher, this.subscriber]) connection.on("error", (error) => this.lost(error));
    this.publisher.on("ready", () => {
      if (!this.connected) log.info("Redis is back");
      this.connected = true;
    });
    this.subscriber.on("message", (_channel, packet) => this.receive(packet));
    // ioredis subscribes again after each reconnection.
    this.subscriber.subscribe(REDIS_CHANNEL).catch((error: unknown) => this.lost(error));
  }

  protected override send(packet: string): void {
    if (this.publisher.status !== "ready") {
      this.fallback.publish(REDIS_CHANNEL, packet);
      return;
    }
    this.publisher.publish(REDIS_CHANNEL, packet).catch((error: unknown) => {
      this.lost(error);
      this.fallback.publish(REDIS_CHANNEL, packet);
    });
  }

  private lost(error: unknown): void {
    if (this.connected) log.warn({ err: error }, "Redis is out of reach: PostgreSQL carries the wake-ups meanwhile");
    this.connected = false;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.publisher.disconnect();
    this.subscriber.disconnect();
    await this.fallback[Symbol.asyncDispose]();
  }
}

const NOTIFY_CHANNEL = "hansa";
/** PostgreSQL refuses larger payloads (8,000 bytes); packets are joined up to this. */
const NOTIFY_BYTES = 7_000;
const WAITING_PACKETS = 10_000;

/**
 * Over LISTEN and NOTIFY on a connection of its own, never inside a writing transaction (which would make all commits wait
 * for each other). Packets that come while one is on its way leave together in the next.
 */
export class PostgresBus extends SharedBus {
  private readonly config: ClientConfig;
  private client: Client | undefined;
  /** Packets as JSON strings. */
  private waiting: string[] = [];
  private sending = false;
  private stopped = false;
  private retry: NodeJS.Timeout | undefined;

  constructor(config: ClientConfig) {
    super();
    this.config = config;
    void this.connect();
  }

  private async connect(): Promise<void> {
    const client = new Client(this.config);
    client.on("notification", ({ payload }) => {
      for (const packet of packetsOf(payload ?? "")) this.receive(packet);
    });
    let lost = false;
    const onLost = (error?: unknown): void => {
      if (lost || this.stopped) return;
      lost = true;
      this.client = undefined;
      log.warn({ err: error }, "the connection for wake-ups is lost; trying again");
      client.end().catch((cause: unknown) => log.debug({ err: cause }, "closing the lost connection failed"));
      this.retry = setTimeout(() => void this.connect(), 500);
    };
    client.on("error", onLost);
    client.on("end", () => onLost());
    try {
      await client.connect();
      await client.query(`LISTEN ${NOTIFY_CHANNEL}`);
      if (this.stopped) return await client.end();
      this.client = client;
      await this.flush();
    } catch (error) {
      onLost(error);
    }
  }

  protected override send(packet: string): void {
    const text = JSON.stringify(packet);
    if (this.waiting.length >= WAITING_PACKETS || Buffer.byteLength(text) > NOTIFY_BYTES) return;
    this.waiting.push(text);
    void this.flush();
  }

  private async flush(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.waiting.length > 0 && this.client !== undefined) {
        let bytes = 0;
        const size = this.waiting.findIndex((packet) => (bytes += Buffer.byteLength(packet) + 1) > NOTIFY_BYTES);
        const packets = this.waiting.splice(0, size < 0 ? this.waiting.length : Math.max(size, 1));
        await this.client.query("SELECT pg_notify($1, $2)", [NOTIFY_CHANNEL, `[${packets.join(",")}]`]);
      }
    } catch (error) {
      log.debug({ err: error }, "a wake-up was lost");
    } finally {
      this.sending = false;
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.stopped = true;
    clearTimeout(this.retry);
    await super[Symbol.asyncDispose]();
    await this.client?.end();
  }
}

/** The packets of a notification; none if it is not ours: whoever may connect to the database may notify here. */
function packetsOf(payload: string): string[] {
  try {
    const packets = parseJson(payload);
    return Array.isArray(packets) ? packets.filter((packet) => typeof packet === "string") : [];
  } catch (error) {
    log.debug({ err: error }, "a notification is not ours");
    return [];
  }
}
