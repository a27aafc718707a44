// A client of the WebSocket transport, which keeps what it was sent and checks each frame against the contract.
import { Ajv } from "ajv";
import { WebSocket, type ClientOptions } from "ws";
import { ServerFrame } from "../../spec/types/websocket.js";
import { isObject, type JsonObject } from "./json-path.js";
import { eventually } from "./eventually.js";
import type { TestClient } from "./server.js";

export const SOCKET_PATH = "/_matrix/client/unstable/org.hansa.websocket/sync";

const isServerFrame = new Ajv({ strictTypes: false }).compile(ServerFrame);

export class SocketClient {
  readonly websocket: WebSocket;
  readonly frames: JsonObject[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  #requests = 0;
  #taken = 0;

  /** Connects as a device, or as nobody who has said yet who they are. */
  constructor(url: string, client?: Pick<TestClient, "access_token">, query: Record<string, string> = {}, options: ClientOptions = {}) {
    const headers = client === undefined ? {} : { authorization: `Bearer ${client.access_token}` };
    const search = new URLSearchParams(query).toString();
    this.websocket = new WebSocket(`${url.replace(/^http/, "ws")}${SOCKET_PATH}${search && `?${search}`}`, { headers, ...options });
    this.websocket.on("message", (data) => {
      const frame: unknown = JSON.parse(Buffer.isBuffer(data) ? data.toString() : "");
      if (!isObject(frame) || !isServerFrame(frame)) throw new Error(`not a frame of the contract: ${JSON.stringify(frame)}`);
      this.frames.push(frame);
    });
    this.websocket.on("close", (code, reason) => (this.closed = { code, reason: reason.toString() }));
    this.websocket.on("error", () => undefined); // what follows is a close
  }

  send(frame: unknown): void {
    this.websocket.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  /** Waits until the server knows who this is. */
  async ready(): Promise<this> {
    await this.frame("authenticated");
    return this;
  }

  /** Waits for a frame of a type, with given members. */
  frame(type: string, members: JsonObject = {}): Promise<JsonObject> {
    return eventually(`a frame ${type} ${JSON.stringify(members)}`, () => {
      const found = this.frames.find((frame) => frame["type"] === type && Object.entries(members).every(([name, value]) => frame[name] === value));
      if (found === undefined && this.closed !== undefined) throw new Error(`closed: ${JSON.stringify(this.closed)}`);
      return found;
    });
  }

  /** The next sync that was not taken yet; acknowledged unless told otherwise. */
  async sync(acknowledge = true): Promise<{ readonly position: string; readonly response: JsonObject }> {
    const frame = await eventually("a sync", () => this.frames.filter(({ type }) => type === "sync")[this.#taken]);
    this.#taken += 1;
    const { position, response } = frame;
    if (acknowledge) this.send({ type: "ack", position });
    return { position: String(position), response: isObject(response) ? response : {} };
  }

  /** Calls an operation. */
  async request(operation: string, params: JsonObject, body?: unknown): Promise<{ readonly status: unknown; readonly body: JsonObject }> {
    const id = String((this.#requests += 1));
    this.send({ type: "request", id, operation, params, ...(body !== undefined && { body }) });
    const { status, body: answer } = await this.frame("response", { id });
    return { status, body: isObject(answer) ? answer : {} };
  }

  /** The code and reason with which the server closes. */
  closing(): Promise<{ readonly code: number; readonly reason: string }> {
    return eventually("the socket is closed", () => this.closed);
  }

  /** Ends the connection without a word. */
  kill(): void {
    this.websocket.terminate();
  }
}
