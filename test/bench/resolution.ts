// Measures what the meeting of two branches of a large room costs, and how long others wait for an answer meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import type { RoomEvent } from "../../src/protocol/event.js";
import { type EventId, parseUserId } from "../../src/protocol/identifiers.js";
import type { JsonObject } from "../../src/protocol/json.js";
import { objectsAt, stringAt } from "../support/json-path.js";
import { residentRoom } from "../support/resident-room.js";
import { WrongAnswer } from "./client.js";
import { latencyOf } from "./measure.js";
import type { Setting } from "./outbound.js";
import type { Numbers } from "./scenarios.js";
import type { Target } from "./target.js";

const IN_TRANSACTION = 50;

/**
 * In a room of another server with many members some of them change their names on one branch, or somebody new comes, and on another
 * branch the owner does something: then both branches are ends, and their states are resolved.
 */
export async function fork(target: Target, { server, withPeers }: Setting, members: number, changes: number): Promise<Numbers> {
  const [joins, waits] = await target.users(2);
  if (joins === undefined || waits === undefined) throw new Error("no users");
  return await withPeers(1, async ([peer]) => {
    if (peer === undefined) throw new Error("no server");
    const room = residentRoom(peer, members);
    await target.client.request("POST", `/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}?server_name=${encodeURIComponent(peer.name)}`, joins.token, {});
    const created = room.state.get("m.room.create");
    const levels = room.state.get("m.room.power_levels");
    const rules = room.state.get("m.room.join_rules");
    const owner = room.state.get(`m.room.member${created?.sender ?? ""}`);
    if (created === undefined || levels === undefined || rules === undefined || owner === undefined) throw new Error("no room");
    // Our user's join is the end of the room's history.
    const ours = await target.client.request("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/messages?dir=b&limit=1`, joins.token);
    const last = stringAt(objectsAt(ours, "chunk")[0], "event_id");
    if (last === undefined) throw new Error("no end");
    const end = last as EventId;
    const first: RoomEvent[] = [];
    for (const join of room.joins.slice(0, changes)) {
      const content = { membership: "join", displayname: `changed ${first.length}` };
      first.push(room.event({ type: "m.room.member", state_key: join.sender, sender: join.sender, content }, [first.at(-1)?.event_id ?? end], [created, levels, rules, join]));
    }
    if (changes === 0) {
      // Somebody new: the invitation is in the state of neither branch.
      const user = parseUserId(`@newcomer:${peer.name}`);
      if (user === undefined) throw new Error("no user");
      const invited = room.event({ type: "m.room.member", state_key: user, sender: created.sender, content: { membership: "invite" } }, [end], [created, levels, rules, owner]);
      first.push(invited, room.event({ type: "m.room.member", state_key: user, sender: user, content: { membership: "join" } }, [invited.event_id], [created, levels, rules, invited]));
    }
    const topic = room.event({ type: "m.room.topic", state_key: "", sender: created.sender, content: { topic: "other" } }, [end], [created, levels, owner]);
    let serial = 0;
    const send = async (events: readonly RoomEvent[]): Promise<void> => {
      const body = { origin: peer.name, origin_server_ts: Date.now(), pdus: events.map(({ json }) => JSON.parse(json) as JsonObject), edus: [] };
      const answer = await peer.request(server.federationUrl, server.name, "PUT", `/_matrix/federation/v1/send/fork${Date.now()}${(serial += 1)}`, body);
      if (answer.status !== 200) throw new WrongAnswer(`a transaction was answered with ${answer.status}`);
    };
    for (let start = 0; start < first.length; start += IN_TRANSACTION) await send(first.slice(start, start + IN_TRANSACTION));
    const shown = async (id: string): Promise<boolean> => {
      const path = `${target.url}/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/event/${encodeURIComponent(id)}`;
      return (await fetch(path, { headers: { authorization: `Bearer ${joins.token}` } })).status === 200;
    };
    while (!(await shown(first.at(-1)?.event_id ?? ""))) await sleep(50);
    const used = target.processes?.usage();
    const begun = performance.now();
    let met: number | undefined;
    const meeting = (async () => {
      await send([topic]);
      while (!(await shown(topic.event_id))) await sleep(20);
      met = performance.now() - begun;
    })();
    const others: number[] = [];
    while (met === undefined) {
      const asked = performance.now();
      await target.client.request("GET", "/_matrix/client/v3/account/whoami", waits.token);
      others.push(performance.now() - asked);
      await Promise.race([meeting, sleep(2)]);
    }
    await meeting;
    const cpu = (target.processes?.usage().cpu_seconds ?? Number.NaN) - (used?.cpu_seconds ?? Number.NaN);
    return { meeting_ms: met, cpu_seconds: cpu, ...latencyOf(others) };
  });
}
