// The pages that this server shows itself: small, readable without styles, and safe to show whatever is put into them.
import { randomBytes } from "node:crypto";
import { htmlText } from "../accounts/html.js";
import type { Language } from "../accounts/languages.js";
import { Reply } from "./handler.js";

const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;color:#1c1917;background:#fafaf9;margin:0}" +
  "main{max-width:26em;margin:12vh auto;padding:2em;background:#fff;border:1px solid #d6d3d1;border-radius:10px}" +
  "h1{font-size:1.3em;margin-top:0}button{font:inherit;padding:.6em 1.2em;border:0;border-radius:6px;background:#14532d;color:#fff}" +
  "input{font:inherit;padding:.5em;width:100%;box-sizing:border-box;margin:.3em 0 1em}input[type=checkbox]{width:auto;margin-right:.5em}" +
  ":root{color-scheme:light dark}a{color:#166534}button.second{background:#57534e}main>*{overflow-wrap:anywhere}" +
  "@media(prefers-color-scheme:dark){body{color:#fafaf9;background:#0c0a09}main{background:#1c1917;border-color:#57534e}a{color:#86efac}}";

/** HTML as opposed to text: made by `html`, which escapes all that is put in. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A template whose values are escaped, but for those that are HTML. */
export function html(parts: TemplateStringsArray, ...values: readonly (string | Html | readonly Html[])[]): Html {
  const shown = values.map((value) => {
    if (typeof value === "string") return htmlText(value);
    return value instanceof Html ? value.text : value.map(({ text }) => text).join("");
  });
  return new Html(parts.map((part, index) => part + (shown[index] ?? "")).join(""));
}

/** A page. `script` is ours alone: nothing that came from outside is ever put into it. */
export function page(options: {
  readonly status?: number;
  readonly language: Language;
  readonly title: string;
  readonly content: Html;
  readonly script?: string;
  /** Origins or schemes to which the page's forms may lead besides our own. */
  readonly targets?: readonly string[];
  /** A script of somebody else, and the origins from which it loads what it shows. */
  readonly foreign?: { readonly script: string; readonly sources: readonly string[] };
}): Reply {
  const { status = 200, language, title, content, script, targets = [], foreign } = options;
  const sources = foreign === undefined ? "" : ` ${foreign.sources.join(" ")}`;
  const nonce = randomBytes(16).toString("base64");
  const text =
    `<!doctype html><html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${htmlText(title)}</title><style nonce="${nonce}">${STYLE}</style></head>` +
    `<body><main><h1>${htmlText(title)}</h1>${content.text}</main>` +
    `${script === undefined ? "" : `<script nonce="${nonce}">${script}</script>`}` +
    `${foreign === undefined ? "" : `<script nonce="${nonce}" src="${htmlText(foreign.script)}" async defer></script>`}</body></html>`;
  return new Reply(status, Buffer.from(text), {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy":
      // What is drawn by the script of somebody else brings its styles along.
      `default-src 'none'; style-src ${foreign === undefined ? `'nonce-${nonce}'` : "'unsafe-inline'"}; script-src 'nonce-${nonce}'${sources}; ` +
      `connect-src 'self'${sources}; ${foreign === undefined ? "img-src 'self'; " : `frame-src${sources}; img-src${sources}; `}` +
      `form-action ${["'self'", ...targets].join(" ")}; base-uri 'none'; frame-ancestors 'none'`,
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
  });
}
