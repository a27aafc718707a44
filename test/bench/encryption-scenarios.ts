// What modern clients ask of a server: keys of many devices uploaded, asked for and claimed, messages from device to device,
// and sliding sync.
import { setTimeout as sleep } from "node:timers/promises";
import { deviceOf } from "../support/device-keys.js";
import { type JsonObject, objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { WrongAnswer, type User } from "./client.js";
import { closedLoop, inParallel, latencyOf, openLoop } from "./measure.js";
import type { Scenario } from "./scenarios.js";
import { PASSWORD, type Target } from "./target.js";

const V3 = "/_matrix/client/v3";
const WIDTH = 32;

interface Device extends User {
  readonly deviceId: string;
}

async function devicesOf(target: Target, count: number): Promise<Device[]> {
  const users = await target.users(count);
  return await inParallel(count, 16, async (number) => {
    const user = users[number];
    const deviceId = user === undefined ? undefined : stringAt(await target.client.request("GET", `${V3}/account/whoami`, user.token), "device_id");
    if (user === undefined || deviceId === undefined) throw new WrongAnswer("an answer without device_id");
    return { ...user, deviceId };
  });
}

/** Uploads the keys of a device; gives a one-time key that it signed, to be uploaded under many names. */
async function uploadDevice(target: Target, { userId, deviceId, token }: Device): Promise<JsonObject> {
  const device = deviceOf({ user_id: userId, device_id: deviceId });
  await target.client.request("POST", `${V3}/keys/upload`, token, { device_keys: device.device_keys });
  return device.oneTimeKey();
}

function pick(devices: readonly Device[], number: number): Device {
  const device = devices[number % devices.length];
  if (device === undefined) throw new Error("no device");
  return device;
}

const KEYS_AT_ONCE = 20;
const ASKED_USERS = 20;

/** Everybody uploads one-time keys, asks for the devices of others and claims a key of each of them. */
function keyStorm(count: number): Scenario {
  return {
    name: `key storm, ${count} devices`,
    async run(target, seconds) {
      const devices = await devicesOf(target, count);
      const signed = await inParallel(count, 16, (number) => uploadDevice(target, pick(devices, number)));
      const upload = async (number: number): Promise<void> => {
        const device = pick(devices, number);
        const keys = Array.from({ length: KEYS_AT_ONCE }, () => [`signed_curve25519:${target.freshName()}`, signed[number % count]]);
        await target.client.request("POST", `${V3}/keys/upload`, device.token, { one_time_keys: Object.fromEntries(keys) });
      };
      const uploads = await closedLoop(WIDTH, seconds, upload);
      const queries = await closedLoop(WIDTH, seconds, async (number) => {
        const asked = Array.from({ length: Math.min(ASKED_USERS, count) }, (_, index) => pick(devices, number + index));
        const device_keys = Object.fromEntries(asked.map(({ userId }) => [userId, []]));
        const answer = objectAt(await target.client.request("POST", `${V3}/keys/query`, pick(devices, number).token, { device_keys }), "device_keys");
        for (const { userId, deviceId } of asked) if (objectAt(answer, userId, deviceId)["keys"] === undefined) throw new WrongAnswer(`no keys of ${userId}`);
      });
      const claimed = new Set<string>();
      const claims = await closedLoop(WIDTH, seconds, async (number) => {
        const { userId, deviceId } = pick(devices, number + 1);
        const one_time_keys = { [userId]: { [deviceId]: "signed_curve25519" } };
        const answer = await target.client.request("POST", `${V3}/keys/claim`, pick(devices, number).token, { one_time_keys });
        const [id] = Object.keys(objectAt(answer, "one_time_keys", userId, deviceId));
        if (id === undefined) return; // None is left: that is an answer too.
        if (claimed.has(id)) throw new WrongAnswer(`the one-time key ${id} was given twice`);
        claimed.add(id);
      });
      return {
        uploads_per_second: uploads.per_second,
        upload_p99_ms: uploads.p99_ms,
        queries_per_second: queries.per_second,
        query_p99_ms: queries.p99_ms,
        claims_per_second: claims.per_second,
        claim_p99_ms: claims.p99_ms,
        claimed: claimed.size,
      };
    },
  };
}

/** What has not arrived this long after the last was sent counts as missed. */
const DELIVERY_MS = 30_000;

/** One device that is always in /sync, and when it got which message. */
async function receive(target: Target, device: Device, arrivals: Map<string, number>, signal: AbortSignal): Promise<void> {
  const filter = JSON.stringify({ presence: { types: [] }, room: { rooms: [] } });
  let since: string | undefined;
  while (!signal.aborted) {
    const answer = await target.client.sync(device, { timeoutMs: since === undefined ? 0 : 5_000, filter, ...(since === undefined ? {} : { since }) });
    since = stringAt(answer, "next_batch");
    for (const event of objectsAt(answer, "to_device", "events")) {
      const id = stringAt(event, "content", "id");
      if (id === undefined) continue;
      if (arrivals.has(id)) throw new WrongAnswer(`the message ${id} came twice`);
      arrivals.set(id, performance.now());
    }
  }
}

/** `rate` messages a second to devices that wait for them, `together` with each call: how long until they have them. */
function toDevice(rate: number, together: number, count: number): Scenario {
  return {
    name: `to-device, ${rate} messages/s, ${together} a call`,
    async run(target, seconds) {
      const devices = await devicesOf(target, count);
      const arrivals = new Map<string, number>();
      const closing = new AbortController();
      const receiving = Promise.all(devices.map(async (device) => await receive(target, device, arrivals, closing.signal)));
      // Its failure is seen below.
      receiving.catch(() => {});
      await sleep(1_000);
      const started = new Map<string, number>();
      const run = target.freshName();
      const load = await target.costOf(() =>
        openLoop(rate / together, seconds, async (number) => {
          const messages: Record<string, JsonObject> = {};
          const intended = performance.now();
          for (let index = 0; index < together; index++) {
            const device = pick(devices, number * together + index);
            const id = `${run} ${number} ${index}`;
            started.set(id, intended);
            // As long as the message that carries a room's key.
            messages[device.userId] = { [device.deviceId]: { id, ciphertext: "x".repeat(900) } };
          }
          const sender = pick(devices, number);
          await target.client.request("PUT", `${V3}/sendToDevice/m.room.encrypted/${run}-${number}`, sender.token, { messages });
        }),
      );
      const deadline = performance.now() + DELIVERY_MS;
      while (performance.now() < deadline && arrivals.size < started.size) await sleep(50);
      closing.abort();
      await receiving;
      const delays = [...started].flatMap(([id, begin]) => {
        const arrival = arrivals.get(id);
        return arrival === undefined ? [] : [arrival - begin];
      });
      if (delays.length < started.size) throw new WrongAnswer(`${started.size - delays.length} messages did not arrive`);
      const { median_ms, p99_ms } = latencyOf(delays);
      return { ...load, messages: started.size, delivery_median_ms: median_ms, delivery_p99_ms: p99_ms };
    },
  };
}

const SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const WINDOWS = 10;

/** A user of many rooms: the first window of a list as clients ask for it, and what is new where one room has a message. */
function slidingWindow(count: number): Scenario {
  return {
    name: `sliding sync, ${count} rooms`,
    async run(target, seconds) {
      const user = await target.client.register(target.freshName(), PASSWORD);
      const rooms = await inParallel(count, 16, () => target.client.createRoom(user, "private_chat"));
      const enabled = { enabled: true };
      const ask = async (conn_id: string, pos?: string, since?: string): Promise<JsonObject> =>
        await target.client.request("POST", `${SLIDING}?timeout=0${pos === undefined ? "" : `&pos=${encodeURIComponent(pos)}`}`, user.token, {
          conn_id,
          lists: { all: { ranges: [[0, 99]], timeline_limit: 1, required_state: [["m.room.name", ""], ["m.room.encryption", ""], ["m.room.member", "$LAZY"]], filters: { not_room_types: ["m.space"] } } },
          extensions: { e2ee: enabled, account_data: enabled, receipts: enabled, typing: enabled, to_device: { ...enabled, ...(since !== undefined && { since }) } },
        });
      const samples: number[] = [];
      let answer: JsonObject = {};
      for (let n = 0; n < WINDOWS; n++) {
        const begin = performance.now();
        answer = await ask(`c${n}`);
        samples.push(performance.now() - begin);
        if (Object.keys(objectAt(answer, "rooms")).length !== Math.min(count, 100)) throw new WrongAnswer("not as many rooms as were asked for");
      }
      const quiet = await target.costOf(() =>
        closedLoop(1, seconds, async () => {
          answer = await ask(`c${WINDOWS - 1}`, stringAt(answer, "pos"), stringAt(answer, "extensions", "to_device", "next_batch"));
        }),
      );
      const busy = await closedLoop(1, seconds, async (number) => {
        const room = rooms[(number * 7) % count] ?? "";
        await target.client.send(user, room, target.freshName(), "news");
        answer = await ask(`c${WINDOWS - 1}`, stringAt(answer, "pos"), stringAt(answer, "extensions", "to_device", "next_batch"));
        if (!(room in objectAt(answer, "rooms"))) throw new WrongAnswer("a message that was not told");
      });
      const first = latencyOf(samples);
      return {
        first_median_ms: first.median_ms,
        first_max_ms: first.max_ms,
        quiet_median_ms: quiet.median_ms,
        quiet_p99_ms: quiet.p99_ms,
        ...(quiet.cpu_seconds !== undefined && { quiet_cpu_seconds: quiet.cpu_seconds }),
        send_and_told_median_ms: busy.median_ms,
        send_and_told_p99_ms: busy.p99_ms,
      };
    },
  };
}

export const ENCRYPTION_SCENARIOS: readonly Scenario[] = [slidingWindow(50), slidingWindow(500), slidingWindow(2_000), keyStorm(64), toDevice(1_000, 1, 50), toDevice(1_000, 20, 50)];
