// Hashes and signatures: the vectors of the specification (appendices, "Cryptographic Test Vectors"), tweetnacl as oracle.
import { expect } from "chai";
import nacl from "tweetnacl";
import { decodeBase64, encodeBase64, encodeBase64Url } from "../../src/protocol/base64.js";
import { contentHash, essentialText } from "../../src/protocol/event-hash.js";
import { V1 } from "../../src/protocol/room-version.js";
import { signJson, signText, signingKey, verifyJson, verifyText, verifyTextAsync } from "../../src/protocol/signing.js";

const seed = decodeBase64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1");
if (seed === undefined) throw new Error("the seed is base64");
const key = signingKey("ed25519:1", seed);

describe("base64", () => {
  it("the vectors of the specification", () => {
    const vectors = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
    const encoded = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"];
    expect(vectors.map((text) => encodeBase64(Buffer.from(text)))).to.deep.equal(encoded);
    expect(encoded.map((text) => Buffer.from(decodeBase64(text) ?? []).toString())).to.deep.equal(vectors);
    expect(encodeBase64Url(Buffer.from([0xfb, 0xff]))).to.equal("-_8");
  });

  it("reads padded and unpadded, and nothing else", () => {
    for (const text of ["Zg==", "Zg", "-_8", "+/8="]) expect(decodeBase64(text), text).to.not.equal(undefined);
    for (const text of ["Z", "Zg===", "Z g", "+_8", "Zg=a", "é"]) expect(decodeBase64(text), text).to.equal(undefined);
  });
});

describe("signing", () => {
  it("signs the specification's JSON objects as it does", () => {
    expect(signJson({}, "domain", key)).to.deep.equal({
      signatures: {
        domain: {
          "ed25519:1": "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        },
      },
    });
    const signed = signJson({ one: 1, two: "Two", unsigned: { age: 1 } }, "domain", key);
    expect(signed.signatures).to.deep.equal({
      domain: {
        "ed25519:1": "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
      },
    });
    expect(verifyJson(signed, "domain", "ed25519:1", key.publicKey)).to.equal(true);
    expect(verifyJson({ ...signed, one: 2 }, "domain", "ed25519:1", key.publicKey)).to.equal(false);
    expect(verifyJson(signed, "other", "ed25519:1", key.publicKey)).to.equal(false);
  });

  it("hashes and signs the specification's events as it does", () => {
    const minimal = {
      room_id: "!x:domain",
      sender: "@a:domain",
      origin: "domain",
      origin_server_ts: 1000000,
      signatures: {},
      hashes: {},
      type: "X",
      content: {},
      prev_events: [],
      auth_events: [],
      depth: 3,
      unsigned: { age_ts: 1000000 },
    };
    const hash = contentHash(V1, minimal);
    expect(hash).to.equal("5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos");
    expect(signText(key, essentialText(V1, { ...minimal, hashes: { sha256: hash } }))).to.equal(
      "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
    );
    const message = {
      content: { body: "Here is the message content" },
      event_id: "$0:domain",
      origin: "domain",
      origin_server_ts: 1000000,
      type: "m.room.message",
      room_id: "!r:domain",
      sender: "@u:domain",
      signatures: {},
      unsigned: { age_ts: 1000000 },
    };
    const messageHash = contentHash(V1, message);
    expect(messageHash).to.equal("onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g");
    expect(signText(key, essentialText(V1, { ...message, hashes: { sha256: messageHash } }))).to.equal(
      "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
    );
  });

  it("agrees with tweetnacl", async () => {
    const pair = nacl.sign.keyPair.fromSeed(seed);
    expect(key.publicKey).to.equal(encodeBase64(pair.publicKey));
    for (const text of ["", "a", "é\u0000", "x".repeat(1000)]) {
      const signature = signText(key, text);
      expect(signature).to.equal(encodeBase64(nacl.sign.detached(Buffer.from(text), pair.secretKey)));
      expect(verifyText(key.publicKey, signature, text)).to.equal(true);
      expect(verifyText(key.publicKey, signature, `${text}.`)).to.equal(false);
      expect(await verifyTextAsync(key.publicKey, signature, text)).to.equal(true);
      expect(await verifyTextAsync(key.publicKey, signature, `${text}.`)).to.equal(false);
    }
  });

  it("refuses malformed keys and signatures", async () => {
    const signature = signText(key, "text");
    for (const publicKey of ["", "x", "AAAA", `${key.publicKey}AA`]) {
      expect(verifyText(publicKey, signature, "text"), publicKey).to.equal(false);
      expect(await verifyTextAsync(publicKey, signature, "text")).to.equal(false);
    }
    for (const bad of ["", "!", signature.slice(4), `${signature}AAAA`]) {
      expect(verifyText(key.publicKey, bad, "text"), bad).to.equal(false);
    }
    expect(() => signingKey("rsa:1", seed)).to.throw(RangeError);
    expect(() => signingKey("ed25519:1", seed.subarray(1))).to.throw(RangeError);
  });
});
