// Client-server API, "Push Rules: API".
import type * as spec from "../../../spec/client/push-rules.js";
import { changeRule, putRule, readRule, readRules, removeRule } from "../../push/rules.js";
import { Reply, type Handler } from "../handler.js";

export const getPushRules: Handler<typeof spec.getPushRules> = async ({ database }, { auth }) =>
  new Reply(200, { global: await readRules(database, auth) });

export const getPushRulesGlobal: Handler<typeof spec.getPushRulesGlobal> = async ({ database }, { auth }) =>
  new Reply(200, { ...(await readRules(database, auth)) });

export const getPushRulesOfKind: Handler<typeof spec.getPushRulesOfKind> = async ({ database }, { auth, params }) =>
  new Reply(200, JSON.stringify((await readRules(database, auth))[params.kind]));

export const getPushRule: Handler<typeof spec.getPushRule> = async ({ database }, { auth, params }) =>
  new Reply(200, { ...(await readRule(database, auth, params.kind, params.ruleId)) });

export const setPushRule: Handler<typeof spec.setPushRule> = async (services, { auth, params, query, body }) => {
  await putRule(services, auth, params.kind, params.ruleId, body, query);
  return {};
};

export const deletePushRule: Handler<typeof spec.deletePushRule> = async (services, { auth, params }) => {
  await removeRule(services, auth, params.kind, params.ruleId);
  return {};
};

export const isPushRuleEnabled: Handler<typeof spec.isPushRuleEnabled> = async ({ database }, { auth, params }) => ({
  enabled: (await readRule(database, auth, params.kind, params.ruleId)).enabled,
});

export const setPushRuleEnabled: Handler<typeof spec.setPushRuleEnabled> = async (services, { auth, params, body }) => {
  await changeRule(services, auth, params.kind, params.ruleId, { enabled: body.enabled });
  return {};
};

export const getPushRuleActions: Handler<typeof spec.getPushRuleActions> = async ({ database }, { auth, params }) =>
  new Reply(200, { actions: (await readRule(database, auth, params.kind, params.ruleId)).actions });

export const setPushRuleActions: Handler<typeof spec.setPushRuleActions> = async (services, { auth, params, body }) => {
  await changeRule(services, auth, params.kind, params.ruleId, { actions: body.actions });
  return {};
};
