// The numbers under which each room version's text lists the authorisation rules that refuse an event.

export type RuleName =
  | "create.prevEvents"
  | "create.roomId"
  | "create.roomVersion"
  | "create.creator"
  | "room.create"
  | "authEvents.duplicate"
  | "authEvents.unexpected"
  | "authEvents.rejected"
  | "authEvents.noCreate"
  | "authEvents.otherRoom"
  | "federate"
  | "aliases.noStateKey"
  | "aliases.domain"
  | "member.malformed"
  | "member.authoriserSignature"
  | "join.sender"
  | "join.banned"
  | "join.authoriser"
  | "join.otherwise"
  | "invite.thirdParty.banned"
  | "invite.thirdParty.noSigned"
  | "invite.thirdParty.malformed"
  | "invite.thirdParty.mxid"
  | "invite.thirdParty.unknown"
  | "invite.thirdParty.sender"
  | "invite.thirdParty.signature"
  | "invite.notJoined"
  | "invite.target"
  | "invite.level"
  | "leave.self"
  | "leave.notJoined"
  | "leave.banned"
  | "leave.level"
  | "ban.notJoined"
  | "ban.level"
  | "knock.joinRule"
  | "knock.sender"
  | "knock.membership"
  | "member.unknown"
  | "sender.notJoined"
  | "thirdPartyInvite.level"
  | "event.level"
  | "event.stateKey"
  | "powerLevels.integers"
  | "powerLevels.maps"
  | "powerLevels.users"
  | "powerLevels.creators"
  | "powerLevels.namedOld"
  | "powerLevels.namedNew"
  | "powerLevels.entriesOld"
  | "powerLevels.entriesNew"
  | "powerLevels.usersOld"
  | "powerLevels.usersNew"
  | "redaction.level";

/** Rules that a version does not have are absent. */
export type RuleNumbers = Readonly<Partial<Record<RuleName, string>>>;

/** What moves the numbers. */
interface Layout {
  readonly aliases?: boolean;
  readonly redaction?: boolean;
  readonly knocking?: boolean;
  readonly restrictedJoins?: boolean;
  readonly integerLevels?: boolean;
  readonly privilegedCreators?: boolean;
}

function number(layout: Layout): RuleNumbers {
  const authEvents = layout.privilegedCreators ? 3 : 2;
  const federate = authEvents + 1;
  const aliases = federate + 1;
  const member = layout.aliases ? aliases + 1 : aliases;
  const levels = member + 5;
  const join = `${member}.${layout.restrictedJoins ? 3 : 2}`;
  const after = (steps: number): string => `${member}.${(layout.restrictedJoins ? 3 : 2) + steps}`;
  const [invite, leave, ban, knock] = [after(1), after(2), after(3), after(4)];
  const users = layout.integerLevels ? 3 : 1;
  const first = layout.privilegedCreators ? users + 2 : users + 1; // "If there is no previous m.room.power_levels event"
  return {
    "create.prevEvents": "1.1",
    "create.roomId": "1.2",
    "create.roomVersion": "1.3",
    "create.creator": "1.4", // up to version 10 the property `creator`, from version 12 on `additional_creators`
    ...(layout.privilegedCreators && { "room.create": "2" }),
    "authEvents.duplicate": `${authEvents}.1`,
    "authEvents.unexpected": `${authEvents}.2`,
    "authEvents.rejected": `${authEvents}.3`,
    ...(!layout.privilegedCreators && { "authEvents.noCreate": `${authEvents}.4` }),
    "authEvents.otherRoom": `${authEvents}.5`,
    federate: `${federate}`,
    ...(layout.aliases && { "aliases.noStateKey": `${aliases}.1`, "aliases.domain": `${aliases}.2` }),
    "member.malformed": `${member}.1`,
    ...(layout.restrictedJoins && { "member.authoriserSignature": `${member}.2.1`, "join.authoriser": `${join}.5.2` }),
    "join.sender": `${join}.2`,
    "join.banned": `${join}.3`,
    "join.otherwise": `${join}.${layout.restrictedJoins ? 7 : 6}`,
    "invite.thirdParty.banned": `${invite}.1.1`,
    "invite.thirdParty.noSigned": `${invite}.1.2`,
    "invite.thirdParty.malformed": `${invite}.1.3`,
    "invite.thirdParty.mxid": `${invite}.1.4`,
    "invite.thirdParty.unknown": `${invite}.1.5`,
    "invite.thirdParty.sender": `${invite}.1.6`,
    "invite.thirdParty.signature": `${invite}.1.8`,
    "invite.notJoined": `${invite}.2`,
    "invite.target": `${invite}.3`,
    "invite.level": `${invite}.5`,
    "leave.self": `${leave}.1`,
    "leave.notJoined": `${leave}.2`,
    "leave.banned": `${leave}.3`,
    "leave.level": `${leave}.5`,
    "ban.notJoined": `${ban}.1`,
    "ban.level": `${ban}.3`,
    ...(layout.knocking && {
      "knock.joinRule": `${knock}.1`,
      "knock.sender": `${knock}.2`,
      "knock.membership": `${knock}.4`,
    }),
    "member.unknown": after(layout.knocking ? 5 : 4),
    "sender.notJoined": `${member + 1}`,
    "thirdPartyInvite.level": `${member + 2}.1`,
    "event.level": `${member + 3}`,
    "event.stateKey": `${member + 4}`,
    ...(layout.integerLevels && { "powerLevels.integers": `${levels}.1`, "powerLevels.maps": `${levels}.2` }),
    "powerLevels.users": `${levels}.${users}`,
    ...(layout.privilegedCreators && { "powerLevels.creators": `${levels}.${users + 1}` }),
    "powerLevels.namedOld": `${levels}.${first + 1}.1`,
    "powerLevels.namedNew": `${levels}.${first + 1}.2`,
    "powerLevels.entriesOld": `${levels}.${first + 2}.1`,
    "powerLevels.entriesNew": `${levels}.${first + 3}.1`,
    "powerLevels.usersOld": `${levels}.${first + 4}.1`,
    "powerLevels.usersNew": `${levels}.${first + 5}.1`,
    ...(layout.redaction && { "redaction.level": `${levels + 1}.3` }),
  };
}

export const RULES_V1 = number({ aliases: true, redaction: true });
export const RULES_V3 = number({ aliases: true });
export const RULES_V6 = number({});
export const RULES_V7 = number({ knocking: true });
export const RULES_V8 = number({ knocking: true, restrictedJoins: true });
export const RULES_V10 = number({ knocking: true, restrictedJoins: true, integerLevels: true });
export const RULES_V12 = number({
  knocking: true,
  restrictedJoins: true,
  integerLevels: true,
  privilegedCreators: true,
});
