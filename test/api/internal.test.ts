import { expect } from "chai";
import { internalCaller, listenInternally } from "../../src/api/internal.js";
import { MatrixError, forbidden } from "../../src/errors.js";

describe("internal calls", () => {
  const methods = new Map([
    ["echo", (payload: unknown) => Promise.resolve({ payload })],
    ["refuse", () => Promise.reject(forbidden("Not you."))],
    ["break", () => Promise.reject(new Error("secret detail"))],
  ]);
  const at = { host: "127.0.0.1", port: 0, advertise: undefined };

  it("carries payloads, answers and refusals", async () => {
    await using listener = await listenInternally(at, "s3cret", methods);
    using caller = internalCaller("s3cret");
    expect(await caller.call(listener.address, "echo", { text: "ü" })).to.deep.equal({ payload: { text: "ü" } });
    const refused = await caller.call(listener.address, "refuse", {}).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(MatrixError).with.property("errcode", "M_FORBIDDEN");
    const broken = await caller.call(listener.address, "break", {}).catch((error: unknown) => error);
    expect(broken).to.be.instanceOf(MatrixError).with.property("status", 500);
    expect(String(broken)).not.to.include("secret detail");
  });

  it("tells nothing to whoever has another secret", async () => {
    await using listener = await listenInternally(at, "s3cret", methods);
    using caller = internalCaller("guess");
    for (const method of ["echo", "nothing"]) {
      const refused = await caller.call(listener.address, method, {}).catch((error: unknown) => error);
      expect(refused).to.be.instanceOf(Error).and.not.instanceOf(MatrixError);
    }
  });

  it("fails when the other process is gone", async () => {
    const listener = await listenInternally(at, "s3cret", methods);
    const { address } = listener;
    await listener[Symbol.asyncDispose]();
    using caller = internalCaller("s3cret");
    const refused = await caller.call(address, "echo", {}).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Error);
  });
});
