// What we say of the keys of others ("Querying Keys Through Another Server").
import { expect } from "chai";
import { keyDocument } from "../../src/protocol/server-keys.js";
import { signingKey } from "../../src/protocol/signing.js";
import { eventually } from "../support/eventually.js";
import { startFederatingServer, type FederatingServer } from "../support/federation.js";
import { objectAt, objectsAt, type JsonObject } from "../support/json-path.js";
import { startPeer, type Peer } from "../support/peer.js";

const QUERY = "/_matrix/key/v2/query";
const HOUR = 3_600_000;
const [next, third] = [signingKey("ed25519:next", Buffer.alloc(32, 5)), signingKey("ed25519:third", Buffer.alloc(32, 6))];

describe("a notary", () => {
  let server: FederatingServer;
  let peer: Peer;
  before(async () => {
    [server, peer] = await Promise.all([startFederatingServer(), startPeer()]);
  });
  after(async () => {
    for (const part of [server, peer]) await part[Symbol.asyncDispose]();
  });

  const asked = (): number => peer.asked.filter((line) => line === "GET /_matrix/key/v2/server").length;
  /** The ids of the keys that each statement of an answer names as current. */
  const idsIn = (body: unknown): string[][] => objectsAt(body, "server_keys").map((one) => Object.keys(objectAt(one, "verify_keys")));
  async function query(keys: Record<string, { minimum_valid_until_ts?: number }>): Promise<JsonObject> {
    const { status, body } = await server.anonymous.post(QUERY, { server_keys: { [peer.name]: keys } });
    expect(status).to.equal(200);
    return body;
  }

  it("asks again only for what does not last as long as is wanted", async () => {
    const lasts = Date.now() + HOUR;
    peer.answer("/_matrix/key/v2/server", () => ({ status: 200, body: keyDocument(peer.name, peer.key, [], lasts) }));
    expect(idsIn(await query({ [peer.key.id]: {} }))).to.deep.equal([[peer.key.id]]);
    for (const minimum_valid_until_ts of [0, lasts - HOUR / 2, lasts]) await query({ [peer.key.id]: { minimum_valid_until_ts } });
    await server.anonymous.get(`${QUERY}/${peer.name}?minimum_valid_until_ts=${lasts}`);
    expect(asked()).to.equal(1);
    peer.answer("/_matrix/key/v2/server", () => ({ status: 200, body: keyDocument(peer.name, next, [], lasts + HOUR) }));
    // It was asked a moment ago: until it is again, what is known has to do.
    await eventually("it is asked again", async () => {
      const ids = idsIn((await server.anonymous.get(`${QUERY}/${peer.name}?minimum_valid_until_ts=${lasts + 1}`)).body);
      expect(ids).to.have.lengthOf.at.least(1);
      return ids.flat().includes(next.id);
    });
    expect(asked()).to.equal(2);
  });

  it("answers for each key that a server ever had", async () => {
    expect(idsIn(await query({ [next.id]: {} }))).to.deep.equal([[next.id]]);
    expect(idsIn(await query({}))).to.have.deep.members([[next.id], [peer.key.id]]);
    const old = await query({ [peer.key.id]: { minimum_valid_until_ts: 0 } });
    expect(idsIn(old)).to.have.deep.members([[next.id], [peer.key.id]]);
    const statement = objectsAt(old, "server_keys").find((one) => peer.key.id in objectAt(one, "verify_keys"));
    expect(objectAt(statement, "signatures", peer.name)).to.have.all.keys(peer.key.id);
    expect(objectAt(statement, "signatures")).to.have.all.keys(peer.name, server.name);
    expect(idsIn((await server.anonymous.get(`${QUERY}/${peer.name}/${peer.key.id}`)).body)).to.deep.include([peer.key.id]);
  });

  it("does not keep what it can say with the newest statement", async () => {
    const retired = [{ id: next.id, publicKey: next.publicKey, expired_ts: 5 }, { id: peer.key.id, publicKey: peer.key.publicKey, expired_ts: 4 }];
    peer.answer("/_matrix/key/v2/server", () => ({ status: 200, body: keyDocument(peer.name, third, retired, Date.now() + HOUR) }));
    await eventually("the third key is known", async () => idsIn(await query({ [third.id]: {} })).flat().includes(third.id));
    for (const id of [next.id, peer.key.id]) expect(idsIn(await query({ [id]: { minimum_valid_until_ts: 0 } }))).to.deep.equal([[third.id]]);
  });
});
