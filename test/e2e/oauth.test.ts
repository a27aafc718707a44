// matrix-js-sdk logs in through OAuth 2.0, as web clients do.
import { expect } from "chai";
import { createClient } from "matrix-js-sdk";
import { completeAuthorizationCodeGrant, generateOidcAuthorizationUrl } from "matrix-js-sdk/lib/oidc/authorize.js";
import { registerOidcClient } from "matrix-js-sdk/lib/oidc/register.js";
import { Browser } from "../support/browser.js";
import { freePort } from "../support/free-port.js";
import { passwordOf, startTestServer } from "../support/server.js";

const CALLBACK = "https://app.example.org/callback";

/** What the library wants of a browser. */
function storage(): Record<string, unknown> {
  const items = new Map<string, string>();
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => items.set(key, value),
    removeItem: (key: string) => items.delete(key),
    key: (index: number) => [...items.keys()][index] ?? null,
    get length() {
      return items.size;
    },
  };
}

describe("OAuth 2.0 with matrix-js-sdk", () => {
  before(() => {
    Object.assign(globalThis, { window: { sessionStorage: storage(), localStorage: storage(), location: { origin: "https://app.example.org" } } });
  });
  after(() => {
    Reflect.deleteProperty(globalThis, "window");
  });

  it("finds the server, registers, logs in", async () => {
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    await using server = await startTestServer({ listen: { port }, servers: [{ name: "localhost", public_base_url: base }] });
    await server.register("alice");
    const metadata = await createClient({ baseUrl: base }).getAuthMetadata();
    const clientId = await registerOidcClient(metadata, {
      clientName: "App",
      clientUri: "https://app.example.org/",
      redirectUris: [CALLBACK],
      applicationType: "web",
      contacts: ["someone@example.org"],
      logoUri: "https://app.example.org/logo.png",
      policyUri: "https://app.example.org/policy",
      tosUri: "https://app.example.org/terms",
    });
    const url = await generateOidcAuthorizationUrl({ metadata, clientId, redirectUri: CALLBACK, homeserverUrl: base, nonce: "some nonce" });
    const browser = new Browser([base]);
    const asked = await browser.submit(await browser.go(url), { user: "alice", password: passwordOf("alice") });
    const back = new URL((await browser.submit(asked, { decision: "allow" }, "csrf")).url);
    const { tokenResponse } = await completeAuthorizationCodeGrant(back.searchParams.get("code") ?? "", back.searchParams.get("state") ?? "");
    const client = createClient({ baseUrl: base, accessToken: tokenResponse.access_token });
    expect((await client.whoami()).user_id).to.equal("@alice:localhost");
  });
});
