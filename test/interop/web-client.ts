// A client that runs in a browser, as built in a checkout of it: served here, and opened in a headless Chromium.
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { chromium, type Browser } from "playwright-core";
import { freePort } from "../support/free-port.js";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

export interface WebClient extends AsyncDisposable {
  readonly url: string;
  readonly browser: Browser;
}

/** Serves the folder, with these settings as its `config.json`; whatever is no file is its start page. */
export async function openWebClient(folder: string, settings: Readonly<Record<string, unknown>>, executablePath: string): Promise<WebClient> {
  const contentOf = async (path: string): Promise<[string, Buffer | string]> => {
    if (path === "/config.json") return [".json", JSON.stringify(settings)];
    const content = await readFile(join(folder, normalize(path))).catch(() => undefined);
    return content === undefined ? [".html", await readFile(join(folder, "index.html"))] : [extname(path), content];
  };
  const server = createServer((request, response) => {
    void contentOf(new URL(request.url ?? "/", "http://client").pathname).then(([type, content]) =>
      response.setHeader("content-type", TYPES[type] ?? "application/octet-stream").end(content),
    );
  });
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return {
    url: `http://127.0.0.1:${port}`,
    browser,
    [Symbol.asyncDispose]: async () => {
      await browser.close();
      server.close();
    },
  };
}

/** Reads the command line of a script that drives such a client, and runs it. */
export async function runWithClient(script: string, client: string, main: (folder: string, chromium: string, screenshots: string) => Promise<void>): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      client: { type: "string" },
      chromium: { type: "string", default: "/usr/bin/chromium" },
      screenshots: { type: "string", default: "screenshots" },
      help: { type: "boolean", default: false },
    },
  });
  if (options.help || options.client === undefined) {
    console.log(`usage: node dist/test/interop/${script} --client DIR [--chromium FILE] [--screenshots DIR]
  --client DIR       ${client} as built in a checkout of it (its folder dist)
  --chromium FILE    the browser (default /usr/bin/chromium)
  --screenshots DIR  where pictures of each step go (default screenshots)`);
    process.exitCode = options.help ? 0 : 2;
    return;
  }
  await mkdir(options.screenshots, { recursive: true });
  await main(options.client, options.chromium, options.screenshots);
}
