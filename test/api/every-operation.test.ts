// What holds for every operation of clients and administrators: who may call it, and what is said of bodies that are none.
import { expect } from "chai";
import type { TObject, TSchema } from "typebox";
import type { Operation } from "../../spec/operation.js";
import { operations } from "../../spec/operations.js";
import { stringAt } from "../support/json-path.js";
import { startTestServer, type Answer, type TestClient, type TestServer } from "../support/server.js";

const V3 = "/_matrix/client/v3";
const forPeople = operations.filter(({ auth, operationId }) => auth !== "server" && operationId !== "websocketSync");
const withToken = forPeople.filter(({ auth }) => auth === "user" || auth === "admin");

/** A value of another type than a schema wants, if there is one that is certain to be. */
function wrongValue(schema: TSchema & { readonly type?: unknown }): unknown {
  switch (schema.type) {
    case "string":
    case "array":
      return { not: "this" };
    case "object":
    case "integer":
    case "number":
    case "boolean":
      return ["not this"];
    default:
      return undefined;
  }
}

const isObjectSchema = (schema: Operation["body"]): schema is TObject => typeof schema === "object" && "properties" in schema;

/** Bodies of which at least one property has the wrong type, by its name. */
function wrongBodies({ body }: Operation): [string, unknown][] {
  if (!isObjectSchema(body)) return [];
  return Object.entries(body.properties).flatMap(([name, schema]): [string, unknown][] => {
    const value = wrongValue(schema);
    return value === undefined ? [] : [[name, { [name]: value }]];
  });
}

describe("every operation", () => {
  let server: TestServer;
  let owner: TestClient;
  let stranger: TestClient;
  let places: Readonly<Record<string, string>>;
  before(async () => {
    server = await startTestServer();
    [owner, stranger] = [await server.register("owner"), await server.register("stranger")];
    const roomId = stringAt((await owner.post(`${V3}/createRoom`, { preset: "private_chat" })).body, "room_id") ?? "";
    const sent = await owner.put(`${V3}/rooms/${encodeURIComponent(roomId)}/send/m.room.message/t`, { msgtype: "m.text", body: "x" });
    const eventId = stringAt(sent.body, "event_id") ?? "";
    const userId = owner.user_id;
    places = { roomId, roomIdOrAlias: roomId, roomAlias: "#none:localhost", eventId, userId, serverName: "localhost", kind: "override", receiptType: "m.read" };
  });
  after(() => server[Symbol.asyncDispose]());

  function pathOf({ paths: [path], query }: Operation): string {
    const needed = (query?.required ?? []).map((name) => `${name}=1`).join("&");
    return `${path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(places[name] ?? "none"))}?${needed}`;
  }
  /** With an empty body, where there can be one. */
  const ask = (client: TestClient, operation: Operation): Promise<Answer> =>
    client.request(operation.method, pathOf(operation), operation.method === "GET" ? undefined : {});
  const json = { "content-type": "application/json" };
  const told = ({ status, body }: Answer): string => `${status} ${String(body["errcode"])}`;

  /** What each operation answers, where that is not what is expected of it. */
  async function others(list: readonly Operation[], expected: readonly string[], call: (operation: Operation) => Promise<Answer>): Promise<string[]> {
    const answers = await Promise.all(list.map(async (operation) => [operation.operationId, told(await call(operation))] as const));
    return answers.filter(([, answer]) => !expected.includes(answer)).map(([name, answer]) => `${name}: ${answer}`);
  }

  it("asks for a token where it needs one, and for one that it knows", async () => {
    const nobody = server.client({ access_token: "nonsense" });
    expect(await others(withToken, ["401 M_MISSING_TOKEN"], (operation) => server.anonymous.request(operation.method, pathOf(operation)))).to.deep.equal([]);
    expect(await others(withToken, ["401 M_UNKNOWN_TOKEN"], (operation) => nobody.request(operation.method, pathOf(operation)))).to.deep.equal([]);
  });

  it("is for administrators where it says so", async () => {
    const list = forPeople.filter(({ auth }) => auth === "admin");
    expect(list).to.not.have.length(0);
    expect(await others(list, ["403 M_FORBIDDEN"], (operation) => ask(stranger, operation))).to.deep.equal([]);
  });

  it("refuses bodies that are no JSON, and JSON that is no object", async () => {
    const list = withToken.filter(({ auth, body }) => auth === "user" && isObjectSchema(body));
    expect(await others(list, ["400 M_NOT_JSON"], (operation) => stranger.request(operation.method, pathOf(operation), "{", json))).to.deep.equal([]);
    expect(await others(list, ["400 M_BAD_JSON"], (operation) => stranger.request(operation.method, pathOf(operation), [1]))).to.deep.equal([]);
  });

  it("refuses properties of the wrong type", async () => {
    const wrong: string[] = [];
    for (const operation of forPeople) {
      if (operation.auth === "admin") continue;
      for (const [name, body] of wrongBodies(operation)) {
        const answer = told(await stranger.request(operation.method, pathOf(operation), body));
        if (operation.oauthError !== undefined && answer === "400 undefined") continue;
        if (!/^400 M_(?:BAD_JSON|MISSING_PARAM|INVALID_PARAM)$/.test(answer)) wrong.push(`${operation.operationId} ${name}: ${answer}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it("shows a stranger nothing of a room, and lets them change nothing in it", async () => {
    // A report is answered alike whether there is such an event or not.
    const list = withToken.filter(({ auth, operationId, paths: [path] }) => auth === "user" && path.includes("{roomId}") && operationId !== "reportEvent");
    const answers = await Promise.all(list.map(async (operation) => [operation, await ask(stranger, operation)] as const));
    const open = answers.filter(([, { status }]) => status === 200 || status >= 500).map(([{ operationId }, answer]) => `${operationId}: ${told(answer)}`);
    expect(open).to.deep.equal([]);
  });
});
