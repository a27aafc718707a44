// What a web page says about itself: Open Graph, with Twitter's cards and plain HTML where it says nothing.
import { setImmediate } from "node:timers/promises";
import { Parser } from "htmlparser2";

const MAX_TEXT = 1_000;
const MAX_PROPERTIES = 64;
const MAX_DESCRIPTION = 500;
/** A page that nests deeper is read no further: each end tag is looked for among all that are open. */
const MAX_DEPTH = 256;
const STEP = 1_024;
const PAUSE_EVERY = 64 * STEP;
const OPEN_GRAPH = /^og:[a-z0-9_:.-]{1,60}$/;

export interface PageMetadata {
  /** Properties that begin with `og:`; of one that comes several times, the first. */
  readonly properties: ReadonlyMap<string, string>;
  /** Where the page says that it can be had as JSON by oEmbed. */
  readonly oembed: string | undefined;
}

/** What Open Graph's properties are taken from where a page lacks them, the best first. */
const SUBSTITUTES: readonly (readonly [property: string, sources: readonly string[]])[] = [
  ["og:title", ["twitter:title", "<title>", "<h1>"]],
  ["og:description", ["twitter:description", "description", "<p>"]],
  ["og:image", ["og:image:secure_url", "og:image:url", "twitter:image", "twitter:image:src", "<image_src>"]],
  ["og:site_name", ["application-name"]],
];

/** Reads a page, in steps that let others work in between. Takes broken HTML as browsers do. */
export async function pageMetadata(html: string): Promise<PageMetadata> {
  const found = new Map<string, string>();
  let oembed: string | undefined;
  const note = (name: string, text: string | undefined): void => {
    const value = plainText(text ?? "");
    if (value !== "" && !found.has(name) && found.size < MAX_PROPERTIES) found.set(name, value);
  };
  // The element whose text is being collected.
  let collecting: "<title>" | "<h1>" | "<p>" | undefined;
  let text = "";
  const finish = (): void => {
    if (collecting !== undefined) note(collecting, text);
    collecting = undefined;
    text = "";
  };
  let hidden = 0;
  let depth = 0;
  const parser = new Parser({
    onopentag(name, attributes) {
      depth += 1;
      if (HIDDEN.has(name)) hidden += 1;
      if (name === "meta") note((attributes["property"] ?? attributes["name"] ?? "").toLowerCase(), attributes["content"]);
      if (name === "link" && attributes["rel"] === "image_src") note("<image_src>", attributes["href"]);
      if (name === "link" && attributes["type"] === "application/json+oembed") oembed ??= attributes["href"];
      if ((name === "title" || name === "h1" || name === "p") && hidden === 0 && !found.has(`<${name}>`)) {
        finish();
        collecting = `<${name}>`;
      }
    },
    ontext(data) {
      if (collecting !== undefined && hidden === 0 && text.length < MAX_TEXT) text += data;
    },
    onclosetag(name) {
      depth -= 1;
      if (HIDDEN.has(name)) hidden = Math.max(0, hidden - 1);
      if (`<${name}>` === collecting) finish();
    },
  });
  for (let start = 0; start < html.length && depth < MAX_DEPTH; start += STEP) {
    parser.write(html.slice(start, start + STEP));
    if (start % PAUSE_EVERY === 0) await setImmediate();
  }
  parser.end();
  finish();
  return { properties: propertiesOf(found), oembed };
}

/** Elements whose text is not what the page is about. */
const HIDDEN = new Set(["script", "style", "noscript", "template", "svg", "nav", "aside", "footer"]);

function propertiesOf(found: ReadonlyMap<string, string>): Map<string, string> {
  const properties = new Map([...found].filter(([name]) => OPEN_GRAPH.test(name)));
  for (const [property, sources] of SUBSTITUTES) {
    if (properties.has(property)) continue;
    const source = sources.find((name) => found.has(name));
    const value = source === undefined ? undefined : found.get(source);
    if (value !== undefined) properties.set(property, property === "og:description" ? value.slice(0, MAX_DESCRIPTION) : value);
  }
  return properties;
}

/** Text without line breaks and runs of spaces, and of a sound length. */
export function plainText(text: string): string {
  const short = text.slice(0, 4 * MAX_TEXT).replace(/[\s\0]+/g, " ").trim().slice(0, MAX_TEXT);
  // Half characters become replacement characters.
  return Buffer.from(short).toString();
}

/** The text of a page in whatever encoding its first bytes, its headers or it itself name. */
export function decodePage(bytes: Uint8Array, contentType: string): string {
  const [first, second, third] = bytes;
  if (first === 0xef && second === 0xbb && third === 0xbf) return new TextDecoder("utf-8").decode(bytes);
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  const start = Buffer.from(bytes.subarray(0, 1024)).toString("latin1");
  const named =
    /charset\s*=\s*["']?([\w:.-]{1,40})/i.exec(contentType)?.[1] ??
    /<meta[^>]{0,200}?charset\s*=\s*["']?([\w:.-]{1,40})/i.exec(start)?.[1] ??
    /^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w:.-]{1,40})/i.exec(start)?.[1];
  return (decoderOf(named) ?? new TextDecoder()).decode(bytes);
}

function decoderOf(label: string | undefined): InstanceType<typeof TextDecoder> | undefined {
  try {
    return label === undefined ? undefined : new TextDecoder(label);
  } catch {
    // A name that nobody knows: most such pages are UTF-8.
    return undefined;
  }
}
