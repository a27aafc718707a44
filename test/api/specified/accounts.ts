// Cases of operations on accounts: sessions, devices, profiles, settings, addresses, administration.
import { passwordOf, type Answer } from "../../support/server.js";
import { stringAt, type JsonObject } from "../../support/json-path.js";
import { SERVER, bodies, type Case, type Cases, elsewhere, enc, next, never, ok, own, roomOf, V1, V3, type World } from "./case.js";

const OURS = "addresses are proved by this server itself: an identity server that is named is ignored, as the specification allows";
const OLD_API = "this server always has the older API too";
const MAY_HIDE = "profiles are shown to everybody: there is no setting to hide them";

const confirmed = (name: string): JsonObject => ({ auth: { type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: passwordOf(name) } });

/** A call of somebody new, confirmed by the password, or by nothing. */
const asking = (path: (device: string) => string, body: JsonObject = {}, method = "POST"): Readonly<Record<string, Case>> => ({
  "200": async (w) => {
    const { user, name } = await w.someone();
    return await user.request(method, path(user.device_id), { ...body, ...confirmed(name) });
  },
  "401": async (w) => {
    const { user } = await w.someone();
    return await user.request(method, path(user.device_id), body);
  },
});

const newEmail = (): JsonObject => ({ email: `n${next()}@example.org` });
const newPhone = (): JsonObject => ({ country: "GB", phone_number: `077009${String(next()).padStart(5, "0")}` });
const request = (address: JsonObject): JsonObject => ({ client_secret: `secret${next()}`, send_attempt: 1, ...address });

/** An address that an account has, given by an administrator. */
async function owned(world: World, medium: "email" | "msisdn"): Promise<JsonObject> {
  const number = String(next()).padStart(5, "0");
  const address = medium === "email" ? `owned${number}@example.org` : `4477008${number}`;
  ok(await world.admin.put(`/_synapse/admin/v2/users/${enc((await world.someone()).user.user_id)}`, { threepids: [{ medium, address }] }));
  return medium === "email" ? { email: address } : { country: "GB", phone_number: `077008${number}` };
}

/** A session in which an address was proved, as if the message had come. */
async function proved({ server }: World): Promise<JsonObject> {
  const body = request(newEmail());
  const { sid } = ok(await server.anonymous.post(`${V3}/account/3pid/email/requestToken`, body));
  await server.database.write({ name: "test_prove", text: "UPDATE validation_sessions SET validated_ts = 1 WHERE sid = $1" }, [sid]);
  return { sid: String(sid), client_secret: String(body["client_secret"]) };
}

function requestToken(path: string, medium: "email" | "msisdn"): Readonly<Record<string, Case>> {
  const fresh = medium === "email" ? newEmail : newPhone;
  const ask = ({ server }: World, address: JsonObject): Promise<Answer> => server.anonymous.post(V3 + path, request(address));
  return {
    "200": async (w) => await ask(w, fresh()),
    "400 M_INVALID_PARAM": async (w) => await ask(w, medium === "email" ? { email: "nonsense" } : { country: "GB", phone_number: "nonsense" }),
    "400 M_SERVER_NOT_TRUSTED": never(OURS),
    "400 M_THREEPID_IN_USE": async (w) => await ask(w, await owned(w, medium)),
    // Elsewhere it is not named.
    ...(path.startsWith("/account") && { "400 M_THREEPID_MEDIUM_NOT_SUPPORTED": async ({ bare }: World) => await bare.anonymous.post(V3 + path, request(fresh())) }),
    "403 M_THREEPID_DENIED": async (w) => await ask(w, medium === "email" ? { email: "x@elsewhere.example" } : { country: "DE", phone_number: "0301234567" }),
  };
}

function requestReset(medium: "email" | "msisdn"): Readonly<Record<string, Case>> {
  const path = `${V3}/account/password/${medium}/requestToken`;
  return {
    "200": async (w) => await w.server.anonymous.post(path, request(await owned(w, medium))),
    "400 M_SERVER_NOT_TRUSTED": never(OURS),
    "400 M_THREEPID_NOT_FOUND": async ({ server }) => await server.anonymous.post(path, request(medium === "email" ? newEmail() : newPhone())),
    "403 M_THREEPID_DENIED": never("who has an address resets the password by it, whatever addresses are allowed by now"),
  };
}

const PUSH_RULE = (kind: string, rule: string): string => `${V3}/pushrules/global/${kind}/${rule}`;
const pushRule = (rest: string, body?: JsonObject): Readonly<Record<string, Case>> => {
  const ask = ({ alice }: World, rule: string): Promise<Answer> => alice.request(body === undefined ? "GET" : "PUT", PUSH_RULE("override", rule) + rest, body);
  return { "200": async (w) => await ask(w, ".m.rule.master"), "404 M_NOT_FOUND": async (w) => await ask(w, "none") };
};

function moderated(what: "suspend" | "lock", put: boolean): Readonly<Record<string, Case>> {
  const ask = ({ admin }: World, user: string, by = admin): Promise<Answer> =>
    by.request(put ? "PUT" : "GET", `${V1}/admin/${what}/${enc(user)}`, put ? { [what === "lock" ? "locked" : "suspended"]: true } : undefined);
  return {
    "200": async (w) => await ask(w, (await w.someone()).user.user_id),
    "400 M_INVALID_PARAM": async (w) => await ask(w, "@a:elsewhere.example"),
    "403 M_FORBIDDEN": async (w) => await ask(w, w.bob.user_id, w.alice),
    "404 M_NOT_FOUND": async (w) => await ask(w, `@nobody:${SERVER}`),
  };
}

function accountData(path: (w: World) => string | Promise<string>, perRoom: boolean, put: boolean): Readonly<Record<string, Case>> {
  const type = "org.example.data";
  const own404 = async (w: World): Promise<Answer> => await w.alice.get(`${await path(w)}/account_data/org.example.none`);
  return {
    "200": async (w) => {
      const target = `${await path(w)}/account_data/${type}`;
      const set = await w.alice.put(target, { x: 1 });
      return put ? set : await w.alice.get(target);
    },
    "403 M_FORBIDDEN": async (w) => await w.bob.request(put ? "PUT" : "GET", `${await path(w)}/account_data/${type}`, put ? {} : undefined),
    ...(perRoom && { "400 M_INVALID_PARAM": async ({ alice }: World) => await alice.request(put ? "PUT" : "GET", own(alice, `rooms/nonsense/account_data/${type}`), put ? {} : undefined) }),
    ...(put
      ? {
          ...bodies("PUT", async (w) => `${await path(w)}/account_data/${type}`),
          "405 M_BAD_JSON": async (w: World) => await w.alice.put(`${await path(w)}/account_data/${perRoom ? "m.fully_read" : "m.push_rules"}`, {}),
        }
      : { "404 M_NOT_FOUND": own404 }),
  };
}

const ownPath = ({ alice }: World): string => `${V3}/user/${enc(alice.user_id)}`;
const roomPath = async ({ alice }: World): Promise<string> => own(alice, `rooms/${enc(await roomOf(alice))}`);
const field = ({ alice }: World, name: string): string => `${V3}/profile/${enc(alice.user_id)}/${enc(name)}`;
const PUSHER = { app_id: "org.example", pushkey: "key", kind: "http", app_display_name: "x", device_display_name: "x", lang: "en", data: { url: "https://push.example.org/_matrix/push/v1/notify" } };
const thirdParty = (path: string, unknown: string): Readonly<Record<string, Case>> => ({
  "200": async ({ alice }) => await alice.get(`${V3}/thirdparty/${path}`),
  "404 M_NOT_FOUND": async ({ alice }) => await alice.get(`${V3}/thirdparty/${unknown}`),
});
const ping = ({ server }: World, who: World["bridge"], id: string): Promise<Answer> => who.request(server, "POST", `${V1}/appservice/${id}/ping`, {});
const register = (body: JsonObject): Case => async ({ server }) => await server.anonymous.post(`${V3}/register`, { password: "long enough", auth: { type: "m.login.dummy" }, ...body });
const available = (name: string): Case => async ({ server }) => await server.anonymous.get(`${V3}/register/available?username=${enc(name)}`);
const redirect = (path: string): Case => async ({ server }) => {
  const answer = await fetch(`${server.url}${V3}/login/sso/redirect${path}?redirectUrl=${enc("https://app.example.org/")}`, { redirect: "manual" });
  await answer.arrayBuffer();
  return { status: answer.status, body: {} };
};

export const accountCases: Cases = {
  register: {
    "200": async ({ server }) => await server.anonymous.post(`${V3}/register`, { username: `reg${next()}`, password: "long enough", auth: { type: "m.login.dummy" } }),
    "400 M_APPSERVICE_LOGIN_UNSUPPORTED": never(OLD_API),
    "400 M_EXCLUSIVE": register({ username: "_bridge_x" }),
    "400 M_INVALID_USERNAME": register({ username: "no spaces" }),
    "400 M_USER_IN_USE": register({ username: "alice" }),
    "401": async ({ server }) => await server.anonymous.post(`${V3}/register`, { username: `reg${next()}`, password: "long enough" }),
    "403 M_FORBIDDEN": async ({ bare }) => await bare.anonymous.post(`${V3}/register`, { username: "x", password: "long enough" }),
  },
  checkUsernameAvailability: {
    "200": available("nobody_yet"),
    "400 M_EXCLUSIVE": available("_bridge_x"),
    "400 M_INVALID_USERNAME": available("no spaces"),
    "400 M_USER_IN_USE": available("alice"),
  },
  registrationTokenValidity: {
    "200": async ({ server }) => await server.anonymous.get(`${V1}/register/m.login.registration_token/validity?token=x`),
    "403 M_FORBIDDEN": async ({ bare }) => await bare.anonymous.get(`${V1}/register/m.login.registration_token/validity?token=x`),
  },
  getLoginFlows: { "200": async ({ server }) => await server.anonymous.get(`${V3}/login`), "404 M_UNRECOGNIZED": never(OLD_API) },
  login: {
    "200": async ({ server }) => await server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: passwordOf("alice") }),
    "400 M_APPSERVICE_LOGIN_UNSUPPORTED": never(OLD_API),
    "400 M_UNKNOWN": async ({ server }) => await server.anonymous.post(`${V3}/login`, { type: "org.example.unknown" }),
    "403 M_FORBIDDEN": async ({ server }) => await server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: "wrong" }),
    "403 M_USER_DEACTIVATED": async (w) => {
      const { user, name } = await w.someone();
      // An account that was ended elsewhere, and whose password was kept.
      await w.server.database.write({ name: "test_end", text: "UPDATE accounts SET deactivated_ts = 1 FROM users WHERE nid = user_nid AND user_id = $1" }, [user.user_id]);
      return await w.server.anonymous.post(`${V3}/login`, { type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: passwordOf(name) });
    },
  },
  generateLoginToken: {
    ...asking(() => `${V1}/login/get_token`),
    "400": async ({ alice }) => await alice.post(`${V1}/login/get_token`, { auth: "nonsense" }),
  },
  refresh: {
    "200": async ({ server }) => {
      const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password: passwordOf("alice"), refresh_token: true };
      return await server.anonymous.post(`${V3}/refresh`, { refresh_token: stringAt(ok(await server.anonymous.post(`${V3}/login`, login)), "refresh_token") });
    },
    "401 M_UNKNOWN_TOKEN": async ({ server }) => await server.anonymous.post(`${V3}/refresh`, { refresh_token: "nonsense" }),
  },
  logout: { "200": async (w) => await (await w.someone()).user.post(`${V3}/logout`) },
  logout_all: { "200": async (w) => await (await w.someone()).user.post(`${V3}/logout/all`) },
  redirectToSSO: { "302": redirect("") },
  redirectToIdP: { "302": elsewhere("api/identity-providers", "open an account for who is new, and know them again"), "404": redirect("/none") },
  getAuthMetadata: {
    "200": async ({ server }) => await server.anonymous.get(`${V1}/auth_metadata`),
    "404 M_UNRECOGNIZED": async ({ bare }) => await bare.anonymous.get(`${V1}/auth_metadata`),
  },
  getTokenOwner: {
    "200": async ({ alice }) => await alice.get(`${V3}/account/whoami`),
    "401 M_UNKNOWN_TOKEN": async ({ server }) => await server.client({ access_token: "nonsense" }).get(`${V3}/account/whoami`),
    "403 M_FORBIDDEN": async ({ alice, bridge, server }) => await bridge.request(server, "GET", `${V3}/account/whoami`, undefined, alice.user_id),
  },
  deactivateAccount: asking(() => `${V3}/account/deactivate`),
  changePassword: asking(() => `${V3}/account/password`, { new_password: "another one" }),
  getAccount3PIDs: { "200": async ({ alice }) => await alice.get(`${V3}/account/3pid`) },
  post3PIDs: {
    "200": async (w) => {
      const { user, name } = await w.someone();
      return await user.post(`${V3}/account/3pid`, { three_pid_creds: await proved(w), ...confirmed(name) });
    },
    "403 M_THREEPID_AUTH_FAILED": async ({ alice }) => await alice.post(`${V3}/account/3pid`, { three_pid_creds: { sid: "none", client_secret: "none" } }),
  },
  add3PID: {
    "200": async (w) => {
      const { user, name } = await w.someone();
      return await user.post(`${V3}/account/3pid/add`, { ...(await proved(w)), ...confirmed(name) });
    },
    "401": async (w) => await w.alice.post(`${V3}/account/3pid/add`, await proved(w)),
  },
  bind3PID: { "200": never("this server trusts no identity server, and says so with M_SERVER_NOT_TRUSTED") },
  unbind3pidFromAccount: { "200": async ({ alice }) => await alice.post(`${V3}/account/3pid/unbind`, { medium: "email", address: "x@example.org" }) },
  delete3pidFromAccount: { "200": async ({ alice }) => await alice.post(`${V3}/account/3pid/delete`, { medium: "email", address: "x@example.org" }) },
  requestTokenTo3PIDEmail: requestToken("/account/3pid/email/requestToken", "email"),
  requestTokenTo3PIDMSISDN: requestToken("/account/3pid/msisdn/requestToken", "msisdn"),
  requestTokenToRegisterEmail: requestToken("/register/email/requestToken", "email"),
  requestTokenToRegisterMSISDN: requestToken("/register/msisdn/requestToken", "msisdn"),
  requestTokenToResetPasswordEmail: requestReset("email"),
  requestTokenToResetPasswordMSISDN: requestReset("msisdn"),
  requestOpenIdToken: { "200": async ({ alice }) => await alice.post(own(alice, "openid/request_token")) },
  getDevices: { "200": async ({ alice }) => await alice.get(`${V3}/devices`) },
  getDevice: {
    "200": async ({ alice }) => await alice.get(`${V3}/devices/${alice.device_id}`),
    "404": async ({ alice }) => await alice.get(`${V3}/devices/NONE`),
  },
  updateDevice: {
    "200": async ({ alice }) => await alice.put(`${V3}/devices/${alice.device_id}`, { display_name: "x" }),
    "201": async ({ bridge, server }) => await bridge.request(server, "PUT", `${V3}/devices/NEW${next()}`, {}),
    "404": async ({ alice }) => await alice.put(`${V3}/devices/NONE`, { display_name: "x" }),
  },
  deleteDevice: asking((device) => `${V3}/devices/${device}`, {}, "DELETE"),
  deleteDevices: asking(() => `${V3}/delete_devices`, { devices: ["NONE"] }),
  getCapabilities: { "200": async ({ alice }) => await alice.get(`${V3}/capabilities`) },
  getUserProfile: {
    "200": async ({ alice, bob }) => await alice.get(`${V3}/profile/${enc(bob.user_id)}`),
    "403 M_FORBIDDEN": never(MAY_HIDE),
    "404 M_NOT_FOUND": async ({ alice }) => await alice.get(`${V3}/profile/${enc(`@nobody:${SERVER}`)}`),
  },
  getProfileField: {
    "200": async (w) => {
      ok(await w.alice.put(field(w, "displayname"), { displayname: "Alice" }));
      return await w.bob.get(field(w, "displayname"));
    },
    "403 M_FORBIDDEN": never(MAY_HIDE),
    "404": async (w) => await w.bob.get(field(w, "org.example.none")),
  },
  setProfileField: {
    "200": async (w) => await w.alice.put(field(w, "m.tz"), { "m.tz": "Europe/Berlin" }),
    "400 M_BAD_JSON": async (w) => await w.alice.put(field(w, "displayname"), { displayname: 7 }),
    "400 M_INVALID_PARAM": async (w) => await w.alice.put(field(w, "No Name"), { "No Name": 1 }),
    "400 M_KEY_TOO_LARGE": async (w) => await w.alice.put(field(w, `org.${"x".repeat(300)}`), { x: 1 }),
    "400 M_MISSING_PARAM": async (w) => await w.alice.put(field(w, "displayname"), {}),
    "400 M_PROFILE_TOO_LARGE": async (w) => await w.alice.put(field(w, "org.example.large"), { "org.example.large": "x".repeat(70_000) }),
    "403 M_FORBIDDEN": async (w) => await w.bob.put(field(w, "displayname"), { displayname: "x" }),
  },
  deleteProfileField: {
    "200": async (w) => await w.alice.delete(field(w, "org.example.gone")),
    "400 M_BAD_JSON": never("it has no body"),
    "400 M_INVALID_PARAM": async (w) => await w.alice.delete(field(w, "No Name")),
    "403 M_FORBIDDEN": async (w) => await w.bob.delete(field(w, "displayname")),
  },
  searchUserDirectory: { "200": async ({ alice }) => await alice.post(`${V3}/user_directory/search`, { search_term: "bob" }) },
  setPresence: { "200": async ({ alice }) => await alice.put(`${V3}/presence/${enc(alice.user_id)}/status`, { presence: "online" }) },
  getPresence: {
    "200": async ({ alice }) => await alice.get(`${V3}/presence/${enc(alice.user_id)}/status`),
    "403 M_FORBIDDEN": async ({ alice, bob }) => await bob.get(`${V3}/presence/${enc(alice.user_id)}/status`),
    "404": never("whom one shares no room with, there or not, is answered with M_FORBIDDEN, so that nobody learns who exists"),
  },
  setAccountData: accountData(ownPath, false, true),
  getAccountData: accountData(ownPath, false, false),
  setAccountDataPerRoom: accountData(roomPath, true, true),
  getAccountDataPerRoom: accountData(roomPath, true, false),
  getPushers: { "200": async ({ alice }) => await alice.get(`${V3}/pushers`) },
  postPusher: {
    "200": async ({ alice }) => await alice.post(`${V3}/pushers/set`, PUSHER),
    "400 M_MISSING_PARAM": async ({ alice }) => await alice.post(`${V3}/pushers/set`, { ...PUSHER, data: {} }),
  },
  getPushRules: { "200": async ({ alice }) => await alice.get(`${V3}/pushrules/`) },
  getPushRulesGlobal: { "200": async ({ alice }) => await alice.get(`${V3}/pushrules/global/`) },
  getPushRule: pushRule(""),
  deletePushRule: {
    "200": async ({ alice }) => {
      const rule = PUSH_RULE("content", `r${next()}`);
      ok(await alice.put(rule, { pattern: "x", actions: [] }));
      return await alice.delete(rule);
    },
    "404 M_NOT_FOUND": async ({ alice }) => await alice.delete(PUSH_RULE("content", "none")),
  },
  setPushRule: {
    "200": async ({ alice }) => await alice.put(PUSH_RULE("content", "kept"), { pattern: "x", actions: [] }),
    "400 M_UNKNOWN": async ({ alice }) => await alice.put(`${PUSH_RULE("content", "new")}?before=none`, { pattern: "x", actions: [] }),
    "404 M_NOT_FOUND": never("a rule that is not there is made"),
  },
  isPushRuleEnabled: pushRule("/enabled"),
  setPushRuleEnabled: pushRule("/enabled", { enabled: false }),
  getPushRuleActions: pushRule("/actions"),
  setPushRuleActions: pushRule("/actions", { actions: [] }),
  getWhoIs: { "200": async ({ admin, bob }) => await admin.get(`${V3}/admin/whois/${enc(bob.user_id)}`) },
  getAdminSuspendUser: moderated("suspend", false),
  setAdminSuspendUser: moderated("suspend", true),
  getAdminLockUser: moderated("lock", false),
  setAdminLockUser: moderated("lock", true),
  pingAppservice: {
    "200": async (w) => await ping(w, w.bridge, "bridge"),
    "400 M_URL_NOT_SET": async (w) => await ping(w, w.silent, "silent"),
    "403 M_FORBIDDEN": async (w) => await ping(w, w.bridge, "silent"),
    "502 M_BAD_STATUS": elsewhere("appservice/queries", "pings"),
    "502 M_CONNECTION_FAILED": async (w) => await ping(w, w.dead, "dead"),
    "504 M_CONNECTION_TIMEOUT": elsewhere("appservice/queries", "gives up a ping that is not answered"),
  },
  getProtocols: { "200": async ({ alice }) => await alice.get(`${V3}/thirdparty/protocols`) },
  getProtocolMetadata: thirdParty("protocol/irc", "protocol/none"),
  queryLocationByProtocol: thirdParty("location/irc?channel=x", "location/irc?channel=none"),
  queryUserByProtocol: thirdParty("user/irc?nick=x", "user/irc?nick=none"),
  queryLocationByAlias: thirdParty(`location?alias=${enc("#_bridge_known:localhost")}`, `location?alias=${enc("#none:localhost")}`),
  queryUserByID: thirdParty(`user?userid=${enc("@_bridge_known:localhost")}`, `user?userid=${enc("@none:localhost")}`),
  getTurnServer: { "200": async ({ alice }) => await alice.get(`${V3}/voip/turnServer`) },
};
