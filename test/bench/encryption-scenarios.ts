// What encryption asks of a server: keys of many devices uploaded, asked for and claimed, and messages from device to device.
import { setTimeout as sleep } from "node:timers/promises";
import { deviceOf } from "../support/device-keys.js";
import { type JsonObject, objectAt, objectsAt, stringAt } from "../support/json-path.js";
import { WrongAnswer, type User } from "./client.js";
import { closedLoop, inParallel, latencyOf, openLoop } from "./measure.js";
import type { Scenario } from "./scenarios.js";
import type { Target } from "./target.js";

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

export const ENCRYPTION_SCENARIOS: readonly Scenario[] = [keyStorm(64), toDevice(1_000, 1, 50), toDevice(1_000, 20, 50)];
