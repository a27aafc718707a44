// Client-server API, "Push Rules: API".
import { Type } from "typebox";
import { clientPaths, operation } from "../operation.js";
import { JsonObject } from "../types/json.js";

const PushRuleKind = Type.Union([
  Type.Literal("override"),
  Type.Literal("underride"),
  Type.Literal("sender"),
  Type.Literal("room"),
  Type.Literal("content"),
  // Rules about threads that are followed, of the server alone (MSC4306).
  Type.Literal("postcontent"),
]);

const Action = Type.Union([Type.String(), JsonObject]);
const PushCondition = Type.Object({
  kind: Type.String(),
  key: Type.Optional(Type.String()),
  pattern: Type.Optional(Type.String()),
  is: Type.Optional(Type.String()),
  value: Type.Optional(Type.Union([Type.String(), Type.Integer(), Type.Boolean(), Type.Null()])),
  subscribed: Type.Optional(Type.Boolean()),
});
const PushRule = Type.Object({
  rule_id: Type.String(),
  default: Type.Boolean(),
  enabled: Type.Boolean(),
  actions: Type.Array(Action),
  conditions: Type.Optional(Type.Array(PushCondition)),
  pattern: Type.Optional(Type.String()),
});
const Ruleset = Type.Object({
  override: Type.Optional(Type.Array(PushRule)),
  underride: Type.Optional(Type.Array(PushRule)),
  sender: Type.Optional(Type.Array(PushRule)),
  room: Type.Optional(Type.Array(PushRule)),
  content: Type.Optional(Type.Array(PushRule)),
  postcontent: Type.Optional(Type.Array(PushRule)),
});

const rule = Type.Object({ kind: PushRuleKind, ruleId: Type.String({ minLength: 1 }) });
const rulePath = clientPaths("/pushrules/global/{kind}/{ruleId}");
const nothing = Type.Object({});

export const getPushRules = operation({
  operationId: "getPushRules",
  method: "GET",
  paths: [
    ...clientPaths("/pushrules"),
    // Older clients ask with a slash at the end.
    ...clientPaths("/pushrules/"),
  ],
  auth: "user",
  summary: "All push rules of the caller.",
  response: Type.Object({ global: Ruleset }),
});

export const getPushRulesGlobal = operation({
  operationId: "getPushRulesGlobal",
  method: "GET",
  paths: [...clientPaths("/pushrules/global"), ...clientPaths("/pushrules/global/")],
  auth: "user",
  summary: "All push rules of the caller, without the wrapper.",
  response: Ruleset,
});

// Not specified any more: all rules of a kind.
export const getPushRulesOfKind = operation({
  operationId: "getPushRulesOfKind",
  method: "GET",
  paths: clientPaths("/pushrules/global/{kind}/"),
  auth: "user",
  summary: "The push rules of one kind.",
  params: Type.Object({ kind: rule.properties.kind }),
  response: Type.Array(PushRule),
});

export const getPushRule = operation({
  operationId: "getPushRule",
  method: "GET",
  paths: rulePath,
  auth: "user",
  summary: "One push rule.",
  // Of a kind that there is not no rule exists: clients ask so whether there are rules of a later kind.
  params: Type.Object({ ...rule.properties, kind: Type.String() }),
  response: PushRule,
});

export const setPushRule = operation({
  operationId: "setPushRule",
  method: "PUT",
  paths: rulePath,
  auth: "user",
  limit: "account",
  summary: "Adds a push rule, or changes one.",
  params: rule,
  query: Type.Object({ before: Type.Optional(Type.String()), after: Type.Optional(Type.String()) }),
  body: Type.Object({
    actions: Type.Array(Action),
    conditions: Type.Optional(Type.Array(PushCondition)),
    pattern: Type.Optional(Type.String()),
  }),
  response: nothing,
});

export const deletePushRule = operation({
  operationId: "deletePushRule",
  method: "DELETE",
  paths: rulePath,
  auth: "user",
  limit: "account",
  summary: "Removes a push rule.",
  params: rule,
  response: nothing,
});

export const isPushRuleEnabled = operation({
  operationId: "isPushRuleEnabled",
  method: "GET",
  paths: clientPaths("/pushrules/global/{kind}/{ruleId}/enabled"),
  auth: "user",
  summary: "Whether a push rule is in force.",
  params: rule,
  response: Type.Object({ enabled: Type.Boolean() }),
});

export const setPushRuleEnabled = operation({
  operationId: "setPushRuleEnabled",
  method: "PUT",
  paths: clientPaths("/pushrules/global/{kind}/{ruleId}/enabled"),
  auth: "user",
  limit: "account",
  summary: "Puts a push rule in force, or out of it.",
  params: rule,
  body: Type.Object({ enabled: Type.Boolean() }),
  response: nothing,
});

export const getPushRuleActions = operation({
  operationId: "getPushRuleActions",
  method: "GET",
  paths: clientPaths("/pushrules/global/{kind}/{ruleId}/actions"),
  auth: "user",
  summary: "What a push rule does.",
  params: rule,
  response: Type.Object({ actions: Type.Array(Action) }),
});

export const setPushRuleActions = operation({
  operationId: "setPushRuleActions",
  method: "PUT",
  paths: clientPaths("/pushrules/global/{kind}/{ruleId}/actions"),
  auth: "user",
  limit: "account",
  summary: "Changes what a push rule does.",
  params: rule,
  body: Type.Object({ actions: Type.Array(Action) }),
  response: nothing,
});
