#!/usr/bin/env python3
"""Makes differential vectors with matrix-synapse 1.157 as the oracle: see README.md beside this file.

Usage: synapse_oracle.py rooms VERSION FIRST_SEED COUNT MAX_EVENTS
       synapse_oracle.py json FIRST_SEED COUNT
       synapse_oracle.py redaction FIRST_SEED COUNT

Writes one JSON object per line to stdout. The same arguments give the same output.
"""

import asyncio
import json
import random
import sys

from canonicaljson import encode_canonical_json
from synapse import event_auth
from synapse.api.constants import JoinRules
from synapse.api.errors import AuthError, SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import compute_content_hash
from synapse.events import make_event_from_dict
from synapse.events.utils import prune_event
from synapse.state import v1, v2
from synapse.storage.databases.main.event_federation import StateDifference
from synapse.synapse_rust.events import redact_event_dict

SERVERS = ["a.example", "b.example", "c.example"]
LEVELS = [0, 0, 25, 50, 50, 75, 99, 100]


class NoSleep:
    """The clock that Synapse yields to now and then."""

    async def sleep(self, _duration):
        return None


class Room:
    """A simulated room: branches that fork and meet, with people who invite, ban, promote and quarrel."""

    def __init__(self, version, seed, size):
        self.version = KNOWN_ROOM_VERSIONS[version]
        self.rng = random.Random(f"{version}/{seed}/{size}")
        self.size = size
        self.events = {}  # id -> Event
        self.rejected = set()
        self.index = {}  # id -> position
        self.auth_checks = []
        self.reference_checks = []
        self.resolutions = []
        self.chosen_ids = version in ("1", "2")
        self.hashed = self.version.msc4291_room_ids_as_hashes
        self.room_id = "!room:a.example"
        people = self.rng.choice([3, 5, 8, 20])
        self.users = [f"@u{i}:{self.rng.choice(SERVERS)}" for i in range(people)]
        self.creator = "@creator:a.example"
        self.users.append(self.creator)
        self.clock = self.rng.choice([1, 10, 1000])  # small: many equal timestamps

    # events

    def make(self, kind, sender, content, state_key, auth_ids, prevs, depth):
        fields = {
            "type": kind,
            "sender": sender,
            "content": content,
            "depth": depth,
            "origin_server_ts": 1_600_000_000_000 + (self.rng.randrange(self.clock) if self.clock > 1 else 0),
            "hashes": {"sha256": "n" + str(len(self.events))},
            "signatures": {},
        }
        if state_key is not None:
            fields["state_key"] = state_key
        create = kind == "m.room.create"
        if not (self.hashed and create):
            fields["room_id"] = self.room_id
        if self.hashed:
            auth_ids = [a for a in auth_ids if a != self.create_id] if not create else []
        if self.chosen_ids:
            fields["event_id"] = f"${len(self.events)}-{self.rng.randrange(10**6)}:{sender.split(':', 1)[1]}"
            fields["auth_events"] = [[a, {}] for a in auth_ids]
            fields["prev_events"] = [[p, {}] for p in prevs]
        else:
            fields["auth_events"] = list(auth_ids)
            fields["prev_events"] = list(prevs)
        event = make_event_from_dict(fields, self.version)
        event.get_dict()
        return event, fields

    def add(self, event, fields, rejected=False):
        if event.event_id in self.index:
            return
        if rejected:
            self.rejected.add(event.event_id)
            event = make_event_from_dict(fields, self.version, rejected_reason="oracle")
        self.index[event.event_id] = len(self.events)
        self.events[event.event_id] = (event, fields)

    def event(self, event_id):
        return self.events[event_id][0]

    # the people

    def membership(self, state, user):
        event_id = state.get(("m.room.member", user))
        return self.event(event_id).content.get("membership") if event_id else None

    def action(self, state):
        """Something that somebody tries: (type, state key, sender, content)."""
        rng = self.rng
        joined = [u for u in self.users if self.membership(state, u) == "join"] or [self.creator]
        sender = rng.choice(joined) if rng.random() < 0.9 else rng.choice(self.users)
        target = rng.choice(self.users)
        roll = rng.random()
        member = lambda user, membership, **more: ("m.room.member", user, sender, {"membership": membership, **more})
        if roll < 0.12:
            return member(target, "invite")
        if roll < 0.30:
            sender = target
            more = {}
            if rng.random() < 0.3:
                more["join_authorised_via_users_server"] = rng.choice(joined)
            return member(target, "join", **more)
        if roll < 0.36:
            sender = target
            return member(target, rng.choice(["leave", "leave", "knock"]))
        if roll < 0.46:
            return member(target, rng.choice(["ban", "leave"]))
        if roll < 0.66:
            return ("m.room.power_levels", "", sender, self.new_levels(state, sender))
        if roll < 0.76:
            rules = [JoinRules.PUBLIC, JoinRules.INVITE, JoinRules.KNOCK, JoinRules.RESTRICTED, JoinRules.KNOCK_RESTRICTED, "private"]
            return ("m.room.join_rules", "", sender, {"join_rule": rng.choice(rules)})
        if roll < 0.80:
            return ("org.example.own", rng.choice([sender, sender, target]), sender, {"n": rng.randrange(9)})
        if roll < 0.83:
            return ("m.room.aliases", rng.choice(SERVERS), sender, {"aliases": []})
        if roll < 0.85:
            return ("m.room.third_party_invite", "t", sender, {"display_name": "x"})
        return (rng.choice(["m.room.name", "m.room.topic", "org.example.high"]), rng.choice(["", "", "k"]), sender, {"n": rng.randrange(9)})

    def new_levels(self, state, sender):
        rng = self.rng
        event_id = state.get(("m.room.power_levels", ""))
        content = json.loads(json.dumps(self.event(event_id).get_dict()["content"])) if event_id else {"users": {}}
        content.setdefault("users", {})
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            roll = rng.random()
            if roll < 0.6:
                user = rng.choice(self.users)
                if rng.random() < 0.2:
                    content["users"].pop(user, None)
                elif not (self.hashed and user == self.creator and rng.random() < 0.95):
                    content["users"][user] = self.level()
            elif roll < 0.75:
                content.setdefault("events", {})[rng.choice(["m.room.name", "org.example.high", "m.room.power_levels"])] = self.level()
            elif roll < 0.85:
                content.setdefault("notifications", {})["room"] = self.level()
            else:
                content[rng.choice(["ban", "kick", "invite", "redact", "users_default", "events_default", "state_default"])] = self.level()
        return content

    def level(self):
        level = self.rng.choice(LEVELS)
        if not self.version.enforce_int_power_levels and self.rng.random() < 0.1:
            return self.rng.choice([str(level), f" +{level} ", f"0{level}"])
        if self.version.enforce_int_power_levels and self.rng.random() < 0.03:
            return str(level)
        return level

    # rules

    def allows(self, event, state_events):
        try:
            event_auth.check_state_dependent_auth_rules(event, state_events)
            return True
        except (AuthError, SynapseError):
            return False

    def selection(self, event, state):
        keys = sorted(event_auth.auth_types_for_event(self.version, event))
        return [state[k] for k in keys if k in state]

    async def references_allow(self, event):
        room = self

        class Store:
            async def get_events(self, event_ids, redact_behaviour, get_prev_content=False, allow_rejected=False):
                return {i: room.event(i) for i in event_ids if i in room.events}

        try:
            await event_auth.check_state_independent_auth_rules(Store(), event)
            return True
        except (AuthError, SynapseError):
            return False

    # resolution

    def chain(self, ids):
        seen = set()
        stack = list(ids)
        while stack:
            event_id = stack.pop()
            if event_id not in seen:
                seen.add(event_id)
                stack.extend(self.event(event_id).auth_event_ids())
        return seen

    async def get_events(self, event_ids, allow_rejected=False):
        return {i: self.event(i) for i in event_ids if i in self.events}

    async def get_auth_chain_difference(self, room_id, state_sets, conflicted_state, additional):
        chains = [self.chain(s) for s in state_sets]
        difference = set().union(*chains) - set.intersection(*chains) if chains else set()
        subgraph = None
        if conflicted_state is not None:
            below = self.chain(conflicted_state)
            above = set()
            for event_id in sorted(below, key=self.index.__getitem__):  # ancestors first
                if event_id in conflicted_state or any(a in above for a in self.event(event_id).auth_event_ids()):
                    above.add(event_id)
            subgraph = below & above
        return StateDifference(auth_difference=difference, conflicted_subgraph=subgraph)

    async def resolve(self, sets):
        if self.version.state_res == 1:
            result = await v1.resolve_events_with_store(self.room_id, self.version, sets, None, self.get_events)
        else:
            # In small rooms all events count as not stored yet, so that Synapse's own code finds the chains.
            in_flight = {i: e for i, (e, _) in self.events.items()} if len(self.events) <= 25 and self.rng.random() < 0.5 else None
            result = await v2.resolve_events_with_store(NoSleep(), self.room_id, self.version, sets, in_flight, self)
        self.resolutions.append((sets, dict(result)))
        return dict(result)

    # the story

    async def run(self):
        rng = self.rng
        creator = {} if self.version.implicit_room_creator else {"creator": self.creator}
        if rng.random() < 0.1:
            creator["m.federate"] = rng.choice([False, True])
        if rng.random() < 0.3:
            creator["additional_creators"] = [rng.choice(self.users)]
        self.federates = creator.get("m.federate", True)
        event, fields = self.make("m.room.create", self.creator, {"room_version": self.version.identifier, **creator}, "", [], [], 1)
        self.create_id = event.event_id
        if self.hashed:
            self.room_id = "!" + event.event_id[1:]
        self.add(event, fields)
        state = {("m.room.create", ""): event.event_id}
        branches = [{"state": state, "tip": event.event_id, "depth": 1}]
        old_states = [dict(state)]
        await self.try_event(branches[0], ("m.room.member", self.creator, self.creator, {"membership": "join"}), old_states)
        if rng.random() < 0.9:
            users = {} if self.hashed else {self.creator: 100}
            await self.try_event(branches[0], ("m.room.power_levels", "", self.creator, {"users": users}), old_states)
        if rng.random() < 0.7:
            await self.try_event(branches[0], ("m.room.join_rules", "", self.creator, {"join_rule": "public"}), old_states)
        forks = rng.choice([2, 2, 3, 5, 20])
        attempts = 0
        while len(self.events) < self.size and attempts < self.size * 6:
            attempts += 1
            branch = rng.choice(branches)
            await self.try_event(branch, self.action(branch["state"]), old_states)
            if len(branches) < forks and rng.random() < 0.15:
                source = rng.choice(branches)
                branches.append({**source, "state": dict(source["state"])})
            if rng.random() < 0.02:
                old_states.append(dict(rng.choice(branches)["state"]))
                del old_states[:-10]
            if len(branches) > 1 and rng.random() < 0.5 / max(self.size / 20, 1):
                await self.meet(branches)
        await self.meet(branches, everyone=True)
        if rng.random() < 0.2:
            await self.meet([{"state": s} for s in old_states] + branches, everyone=True)
        if rng.random() < 0.15:
            await self.reject_afterwards()

    async def reject_afterwards(self):
        """Resolves again what met, as a server would that rejected some of the events which others build on."""
        rng = self.rng
        for event_id in rng.sample(sorted(self.index), len(self.index) // rng.choice([5, 10, 20])):
            if event_id != self.create_id:
                _, fields = self.events[event_id]
                self.rejected.add(event_id)
                self.events[event_id] = (make_event_from_dict(fields, self.version, rejected_reason="oracle"), fields)
        met = self.resolutions[-20:]
        self.resolutions = []
        self.reference_checks = []
        for sets, _ in met:
            try:
                await self.resolve(sets)
            except AssertionError:
                continue

    async def try_event(self, branch, action, old_states):
        rng = self.rng
        kind, state_key, sender, content = action
        if not self.federates and kind == "m.room.member" and state_key.split(":")[1] != sender.split(":")[1]:
            return  # Synapse also looks at the target's server here, which the specification does not ask for
        state = branch["state"]
        cited = rng.choice(old_states) if rng.random() < 0.08 else state  # some cite stale state
        draft, _ = self.make(kind, sender, content, state_key, [], [branch["tip"]], 2)
        auth_ids = self.selection(draft, cited)
        if rng.random() < 0.03:  # and some cite what they must not
            auth_ids = rng.choice(
                [auth_ids[:-1], auth_ids + [rng.choice(list(self.events))], auth_ids + auth_ids[:1], auth_ids[1:]]
            )
            auth_ids = auth_ids if len(auth_ids) <= 10 else auth_ids[:10]
        depth = branch["depth"] + 1 if rng.random() < 0.95 else rng.randrange(1, 1000)
        event, fields = self.make(kind, sender, content, state_key, auth_ids, [branch["tip"]], depth)
        if event.event_id in self.index:
            return
        references_ok = await self.references_allow(event)
        own_ok = references_ok and self.allows(event, [self.event(a) for a in event.auth_event_ids()])
        here = self.selection(event, state)
        here_ok = self.allows(event, [self.event(a) for a in here])
        ok = own_ok and here_ok
        if not ok and rng.random() < 0.25:
            # keep it as a rejected event, which others may cite by mistake
            self.add(event, fields, rejected=True)
            self.reference_checks.append((event.event_id, references_ok))
            self.auth_checks.append((event.event_id, here, here_ok))
            return
        if not ok:
            return
        rejected = rng.random() < 0.01  # as if judged differently elsewhere
        self.add(event, fields, rejected)
        self.reference_checks.append((event.event_id, references_ok))
        self.auth_checks.append((event.event_id, here, here_ok))
        if not rejected or rng.random() < 0.5:
            branch["state"] = {**state, (kind, state_key): event.event_id}
        branch["tip"] = event.event_id
        branch["depth"] = depth

    async def meet(self, branches, everyone=False):
        chosen = branches if everyone else self.rng.sample(branches, self.rng.randint(2, len(branches)))
        sets = [dict(b["state"]) for b in chosen]
        if all(s == sets[0] for s in sets):
            return
        if self.rng.random() < 0.05:  # a state that somebody sent us incomplete
            for key in self.rng.sample(sorted(sets[0]), min(3, len(sets[0]))):
                if key[0] != "m.room.create":
                    del sets[0][key]
        try:
            result = await self.resolve(sets)
        except AssertionError:
            return  # Synapse gives up where no create event is cited
        if not everyone:
            chosen[0]["state"] = result

    def vector(self):
        ids = lambda values: [self.index[i] for i in values]
        return {
            "version": self.version.identifier,
            "events": [
                {"id": i, **({"rejected": True} if i in self.rejected else {}), "json": fields}
                for i, (_, fields) in self.events.items()
            ],
            "auth": [[self.index[e], ids(state), ok] for e, state, ok in self.auth_checks],
            "references": [[self.index[e], ok] for e, ok in self.reference_checks],
            "resolutions": [
                {"sets": [ids(s.values()) for s in sets], "result": sorted(ids(result.values()))}
                for sets, result in self.resolutions
            ],
        }


async def rooms(version, first, count, most):
    for seed in range(first, first + count):
        rng = random.Random(seed)
        size = int(10 * (most / 10) ** (rng.random() ** (5 if most > 500 else 2)))
        room = Room(version, seed, size)
        await room.run()
        print(json.dumps({"seed": seed, **room.vector()}, separators=(",", ":"), ensure_ascii=True))


# canonical JSON


def text(rng):
    parts = ["a", "b", "Z", "0", "é", "日", "\u0000", "\n", "\t", "\\", '"', "/", "\u007f", "\u2028", "\uffff", "\ue000", "😀", "\U0010ffff", "__proto__", "constructor"]
    return "".join(rng.choice(parts) for _ in range(rng.choice([0, 1, 1, 2, 3, 6])))


def number(rng, legacy):
    if not legacy:
        return str(rng.choice([0, -1, rng.randrange(-(2**53) + 1, 2**53), rng.randrange(1000)]))
    return rng.choice(
        [
            str(rng.randrange(-(10**25), 10**25)),
            repr(rng.uniform(-1000, 1000)),
            repr(rng.uniform(-1, 1) * 10 ** rng.randrange(-300, 300)),
            f"{rng.randrange(1000)}.{rng.randrange(1000)}0",
            f"{rng.randrange(-50, 50)}e{rng.randrange(-20, 25)}",
            f"{rng.randrange(100)}E+{rng.randrange(20)}",
            "-0",
            "-0.0",
            "1.0",
        ]
    )


def value(rng, depth, legacy):
    """A random value as JSON text, in any spelling."""
    roll = rng.random()
    space = lambda: rng.choice(["", "", " ", "\n"])
    if depth > 0 and roll < 0.3:
        names = {text(rng) for _ in range(rng.randrange(6))}
        return "{" + ",".join(f"{space()}{json.dumps(n, ensure_ascii=rng.random() < 0.5)}{space()}:{value(rng, depth - 1, legacy)}" for n in sorted(names, key=lambda _: rng.random())) + "}"
    if depth > 0 and roll < 0.45:
        return "[" + ",".join(space() + value(rng, depth - 1, legacy) for _ in range(rng.randrange(5))) + "]"
    if roll < 0.7:
        return json.dumps(text(rng), ensure_ascii=rng.random() < 0.5)
    if roll < 0.95:
        return number(rng, legacy and rng.random() < 0.7)
    return rng.choice(["true", "false", "null"])


def canonical(first, count):
    for seed in range(first, first + count):
        rng = random.Random(seed)
        legacy = rng.random() < 0.3
        source = value(rng, 4, legacy)
        try:
            expected = encode_canonical_json(json.loads(source)).decode()
        except ValueError:
            continue  # infinite
        print(json.dumps([source, legacy, expected]))


# redaction, hashes and ids


def redaction(first, count):
    kinds = ["m.room.member", "m.room.create", "m.room.join_rules", "m.room.power_levels", "m.room.aliases", "m.room.history_visibility", "m.room.redaction", "m.room.message"]
    names = ["membership", "join_authorised_via_users_server", "creator", "room_version", "join_rule", "allow", "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default", "invite", "notifications", "aliases", "history_visibility", "redacts", "body", "third_party_invite"]
    tops = ["origin", "membership", "prev_state", "redacts", "org.example.more"]
    for seed in range(first, first + count):
        rng = random.Random(seed)
        version = KNOWN_ROOM_VERSIONS[str(rng.randrange(1, 13))]
        content = {n: rng.choice([{}, [], "x", 7]) for n in rng.sample(names, rng.randrange(len(names)))}
        if "third_party_invite" in content and rng.random() < 0.7:
            content["third_party_invite"] = rng.choice([{"signed": {"mxid": "@a:b"}, "display_name": "x"}, {"display_name": "x"}, {"signed": None}])
        kind = rng.choice(kinds)
        fields = {
            "type": kind,
            "sender": "@a:a.example",
            "content": content,
            "depth": 3,
            "origin_server_ts": 5,
            "hashes": {"sha256": "x"},
            "signatures": {"a.example": {"ed25519:1": "x"}},
            "auth_events": [],
            "prev_events": [],
            "unsigned": {"age": 4},
            **{n: rng.choice([[], "x", 7]) for n in rng.sample(tops, rng.randrange(len(tops)))},
        }
        if kind != "m.room.message":
            fields["state_key"] = ""
        if not (version.msc4291_room_ids_as_hashes and kind == "m.room.create"):
            fields["room_id"] = "!r:a.example"
        if version.identifier in ("1", "2"):
            fields["event_id"] = "$e:a.example"
        event = make_event_from_dict(fields, version)
        pruned = redact_event_dict(version, fields)
        pruned.pop("unsigned", None)
        import hashlib
        from unpaddedbase64 import encode_base64

        _, digest = compute_content_hash(fields, hashlib.sha256)
        print(json.dumps([version.identifier, fields, pruned, event.event_id, encode_base64(digest)]))


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "rooms":
        asyncio.run(rooms(rest[0], *map(int, rest[1:])))
    elif command == "json":
        canonical(*map(int, rest))
    else:
        redaction(*map(int, rest))
