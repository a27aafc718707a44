// Cases of operations on keys, their backups and messages to devices.
import { deviceOf, newKey, ownKey } from "../../support/device-keys.js";
import { stringAt, type JsonObject } from "../../support/json-path.js";
import type { Answer, TestClient } from "../../support/server.js";
import { type Case, type Cases, enc, next, ok, V3, type World } from "./case.js";

const KEYS = `${V3}/room_keys/keys`;
const VERSION = `${V3}/room_keys/version`;
const BACKUP = { algorithm: "m.megolm_backup.v1.curve25519-aes-sha2", auth_data: { public_key: "abc" } };
const KEY = { first_message_index: 1, forwarded_count: 0, is_verified: false, session_data: { x: "x" } };
const ROOM = enc("!room:example.org");

async function newVersion(user: TestClient): Promise<string> {
  return stringAt(ok(await user.post(VERSION, BACKUP)), "version") ?? "";
}

/** An operation on keys of a backup: of all, of a room, of a session. */
function backedUp(method: "GET" | "PUT" | "DELETE", rest: string, body: JsonObject): Readonly<Record<string, Case>> {
  const ask = (user: TestClient, version: string): Promise<Answer> => user.request(method, `${KEYS}${rest}?version=${version}`, method === "PUT" ? body : undefined);
  return {
    "200": async (w) => {
      const { user } = await w.someone();
      const version = await newVersion(user);
      ok(await user.put(`${KEYS}/${ROOM}/session?version=${version}`, KEY));
      return await ask(user, version);
    },
    // Old versions can be read and emptied.
    ...(method === "PUT" && {
      "403 M_WRONG_ROOM_KEYS_VERSION": async (w: World) => {
        const { user } = await w.someone();
        const old = await newVersion(user);
        await newVersion(user);
        return await ask(user, old);
      },
    }),
    "404 M_NOT_FOUND": async (w) => await ask((await w.someone()).user, "1"),
  };
}

const ofVersion = (method: "GET" | "PUT" | "DELETE"): Readonly<Record<string, Case>> => ({
  "200": async (w) => {
    const { user } = await w.someone();
    return await user.request(method, `${VERSION}/${await newVersion(user)}`, method === "PUT" ? BACKUP : undefined);
  },
  "404 M_NOT_FOUND": async ({ alice }) => await alice.request(method, `${VERSION}/999`, method === "PUT" ? BACKUP : undefined),
});

const upload = (user: TestClient, body: JsonObject): Promise<Answer> => user.post(`${V3}/keys/device_signing/upload`, body);

async function signingKeys(w: World, sign: boolean): Promise<Answer> {
  const { user } = await w.someone();
  const master = newKey();
  return await upload(user, { master_key: ownKey(user, "master", master), self_signing_key: ownKey(user, "self_signing", newKey(), sign ? master : newKey()) });
}

export const encryptionCases: Cases = {
  uploadKeys: { "200": async ({ alice }) => await alice.post(`${V3}/keys/upload`, {}) },
  queryKeys: { "200": async ({ alice, bob }) => await alice.post(`${V3}/keys/query`, { device_keys: { [bob.user_id]: [] } }) },
  claimKeys: { "200": async ({ alice, bob }) => await alice.post(`${V3}/keys/claim`, { one_time_keys: { [bob.user_id]: { [bob.device_id]: "signed_curve25519" } } }) },
  getKeysChanges: {
    "200": async ({ alice }) => {
      const token = stringAt(ok(await alice.get(`${V3}/sync`)), "next_batch") ?? "";
      return await alice.get(`${V3}/keys/changes?from=${token}&to=${token}`);
    },
  },
  uploadCrossSigningKeys: {
    "200": async (w) => await signingKeys(w, true),
    "400 M_INVALID_SIGNATURE": async (w) => await signingKeys(w, false),
    "400 M_MISSING_PARAM": async (w) => {
      const { user } = await w.someone();
      return await upload(user, { self_signing_key: ownKey(user, "self_signing", newKey(), newKey()) });
    },
    "403 M_FORBIDDEN": async (w) => {
      const master = newKey();
      const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "" }, device_id: master.publicKey };
      const { user, name } = await w.someone();
      ok(await w.server.anonymous.post(`${V3}/login`, { ...login, identifier: { type: "m.id.user", user: name }, password: `secret of ${name}` }));
      return await upload(user, { master_key: ownKey(user, "master", master) });
    },
  },
  uploadCrossSigningSignatures: { "200": async ({ alice }) => await alice.post(`${V3}/keys/signatures/upload`, { [alice.user_id]: { [alice.device_id]: deviceOf(alice).device_keys } }) },
  sendToDevice: { "200": async ({ alice, bob }) => await alice.put(`${V3}/sendToDevice/org.example/n${next()}`, { messages: { [bob.user_id]: { "*": {} } } }) },
  postRoomKeysVersion: { "200": async ({ alice }) => await alice.post(VERSION, BACKUP) },
  getRoomKeysVersionCurrent: {
    "200": async (w) => {
      const { user } = await w.someone();
      await newVersion(user);
      return await user.get(VERSION);
    },
    "404 M_NOT_FOUND": async (w) => await (await w.someone()).user.get(VERSION),
  },
  getRoomKeysVersion: ofVersion("GET"),
  putRoomKeysVersion: {
    ...ofVersion("PUT"),
    "400 M_INVALID_PARAM": async (w) => {
      const { user } = await w.someone();
      return await user.put(`${VERSION}/${await newVersion(user)}`, { ...BACKUP, algorithm: "org.example.other" });
    },
  },
  deleteRoomKeysVersion: ofVersion("DELETE"),
  putRoomKeyBySessionId: backedUp("PUT", `/${ROOM}/session`, KEY),
  getRoomKeyBySessionId: backedUp("GET", `/${ROOM}/session`, KEY),
  deleteRoomKeyBySessionId: backedUp("DELETE", `/${ROOM}/session`, KEY),
  putRoomKeysByRoomId: backedUp("PUT", `/${ROOM}`, { sessions: { session: KEY } }),
  getRoomKeysByRoomId: backedUp("GET", `/${ROOM}`, {}),
  deleteRoomKeysByRoomId: backedUp("DELETE", `/${ROOM}`, {}),
  putRoomKeys: backedUp("PUT", "", { rooms: { "!room:example.org": { sessions: { session: KEY } } } }),
  getRoomKeys: backedUp("GET", "", {}),
  deleteRoomKeys: backedUp("DELETE", "", {}),
};
