// The checker of sync chains, checked: it finds each kind of fault in a server that is made to have it.
import { expect } from "chai";
import type { JsonObject } from "./json-path.js";
import type { MatrixRequest } from "./matrix-request.js";
import { SyncChain } from "./sync-chain.js";

const ROOM = "!room:example.org";

function text(number: number): JsonObject {
  return { event_id: `$${number}`, type: "m.room.message", content: { body: String(number) } };
}

function topic(number: number): JsonObject {
  return { ...text(number), type: "m.room.topic", state_key: "" };
}

interface Timeline {
  readonly events: readonly JsonObject[];
  readonly gap?: boolean;
}

/** A server that holds `held`, the oldest first, and answers the given timelines in turn. */
function server(held: readonly JsonObject[], timelines: readonly Timeline[]): MatrixRequest {
  return (_method, path) => {
    const url = new URL(path, "http://example.org");
    const answer = (body: unknown): ReturnType<MatrixRequest> => Promise.resolve({ status: 200, body });
    if (url.pathname.endsWith("/sync")) {
      const step = Number((url.searchParams.get("since") ?? "s0").slice(1));
      const timeline = timelines[step];
      const next_batch = `s${step + 1}`;
      if (timeline === undefined) return answer({ next_batch });
      const first = held.findIndex((event) => event === timeline.events[0]);
      const room = { timeline: { events: timeline.events, limited: timeline.gap ?? false, prev_batch: `t${first}` } };
      return answer({ next_batch, rooms: { join: { [ROOM]: room } } });
    }
    if (url.pathname.endsWith("/state")) {
      const current = new Map(held.filter((event) => event["state_key"] !== undefined).map((event) => [event["type"], event]));
      return answer([...current.values()]);
    }
    // /messages backwards, two at a time
    const end = Number((url.searchParams.get("from") ?? `t${held.length}`).slice(1));
    const start = Math.max(0, end - 2);
    return answer({ chunk: held.slice(start, end).toReversed(), ...(start > 0 ? { end: `t${start}` } : {}) });
  };
}

async function faultsOf(request: MatrixRequest): Promise<string[]> {
  const chain = new SyncChain(request);
  await chain.catchUp();
  return chain.check();
}

describe("sync chain checker", () => {
  const events = [topic(0), text(1), text(2), text(3), topic(4), text(5), text(6)];

  it("finds nothing in a complete chain, and fills gaps from /messages", async () => {
    const request = server(events, [{ events: events.slice(0, 2) }, { events: events.slice(4, 6), gap: true }, { events: events.slice(6) }]);
    const chain = new SyncChain(request);
    await chain.catchUp();
    expect(chain.timeline(ROOM).map((event) => event["event_id"])).to.deep.equal(events.map((event) => event["event_id"]));
    expect(await chain.check()).to.deep.equal([]);
  });

  it("finds a missed event", async () => {
    const request = server(events, [{ events: events.slice(0, 3) }, { events: events.slice(4) }]);
    expect(await faultsOf(request)).to.deep.equal([`${ROOM}: $3 was missed`]);
  });

  it("finds an event that came twice", async () => {
    const request = server(events, [{ events: events.slice(0, 4) }, { events: events.slice(3) }]);
    expect(await faultsOf(request)).to.deep.equal([`${ROOM}: $3 came twice`]);
  });

  it("finds an event that the server does not hold", async () => {
    const request = server(events.slice(0, 6), [{ events }]);
    expect(await faultsOf(request)).to.deep.equal([`${ROOM}: $6 is not in /messages`]);
  });

  it("finds state that a limited timeline has swallowed", async () => {
    const request = server(events, [{ events: events.slice(0, 3) }, { events: events.slice(5), gap: true }]);
    expect(await faultsOf(request)).to.deep.equal([`${ROOM}: state ["m.room.topic",""] is $4, the chain has $0`]);
  });

  it("finds a step that gives less when it is made again", async () => {
    const honest = server(events, [{ events: events.slice(0, 3) }, { events: events.slice(3) }]);
    let asked = 0;
    const forgetful: MatrixRequest = (method, path) =>
      path.includes("since=s1") && ++asked > 1 ? Promise.resolve({ status: 200, body: { next_batch: "s2" } }) : honest(method, path);
    expect(await faultsOf(forgetful)).to.deep.equal([3, 4, 5, 6].map((number) => `${ROOM}: $${number} does not come again from s1`));
  });

  it("finds a prev_batch that does not lie before the timeline", async () => {
    const honest = server(events, [{ events: events.slice(4), gap: true }]);
    const overlapping: MatrixRequest = async (method, path) => {
      const { status, body } = await honest(method, path);
      return { status, body: JSON.parse(JSON.stringify(body).replace('"t4"', '"t5"')) };
    };
    expect(await faultsOf(overlapping)).to.deep.equal([`${ROOM}: $4 is on both sides of prev_batch`]);
  });
});
