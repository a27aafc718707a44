// Previews of web pages (client-server API, getUrlPreviewAuthed): the page's own words, and its picture as media of ours.
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import type { Requester } from "../accounts/requester.js";
import { forbidden, invalidParam, MatrixError, notFound, unknownError } from "../errors.js";
import { OutgoingError, type OutgoingAnswer } from "../federation/outgoing.js";
import { compileGlob, matchesWhole } from "../protocol/glob.js";
import { serverNameOf, type ServerName } from "../protocol/identifiers.js";
import { isObject, ownString, parseJson, type JsonObject } from "../protocol/json.js";
import { insertMedia } from "../storage/media.js";
import { findUrlPreview, putUrlPreview } from "../storage/url-previews.js";
import { keepContent } from "./contents.js";
import type { MediaContext } from "./context.js";
import { decodePage, pageMetadata, plainText } from "./page-metadata.js";
import { spool } from "./spool.js";
import { UnreadableImageError, ImageTooLargeError, type ImageFacts } from "./thumbnailer.js";
import { mediaUri, newMediaId } from "./upload.js";

const MAX_URL = 4_000;
const PAGE_MS = 15_000;
const IMAGE_MS = 15_000;
const OEMBED_MS = 10_000;
const OEMBED_BYTES = 65_536;
const REDIRECTS = 5;

type Preview = Record<string, string | number>;

/** The preview of a page, as the JSON of the answer. Throws M_NOT_FOUND, M_INVALID_PARAM, M_FORBIDDEN, M_UNKNOWN. */
export async function urlPreview(context: MediaContext, { user_id }: Requester, address: string): Promise<string> {
  const { config, clock, database, media } = context;
  if (!config.url_previews.enabled) throw notFound("This server makes no previews.");
  const url = URL.canParse(address) && address.length <= MAX_URL ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw invalidParam("url must be an address that starts with http:// or https://.");
  }
  url.hash = "";
  const server = serverNameOf(user_id);
  const key = createHash("sha256").update(`${server} ${url.href}`).digest();
  const known = await findUrlPreview(database, key, clock.now());
  if (known !== undefined) return known;
  return await media.making.previews.run(key.toString("hex"), async () => {
    const preview = JSON.stringify(await look(context, server, url));
    await putUrlPreview(database, key, preview, clock.now() + config.url_previews.cache_seconds * 1000);
    return preview;
  });
}

async function look(context: MediaContext, server: ServerName, url: URL): Promise<Preview> {
  const { page_bytes, image_bytes } = context.config.url_previews;
  const answer = await ask(context, url, { maxBytes: Math.max(page_bytes, image_bytes), milliseconds: PAGE_MS }).catch(refusal);
  const type = answer.headers["content-type"] ?? "";
  try {
    if (answer.status !== 200) throw unknownError(502, `${url.host} answered with status ${answer.status}.`);
    if (isImage(type)) return (await picture(context, server, answer)) ?? {};
    if (!/^(?:text\/html|application\/xhtml\+xml)\b/i.test(type)) return {};
    return await previewOfPage(context, server, answer, decodePage(await beginning(answer.body, page_bytes), type));
  } catch (error) {
    return refusal(error);
  } finally {
    answer.body.destroy();
  }
}

async function previewOfPage(context: MediaContext, server: ServerName, { url }: OutgoingAnswer, html: string): Promise<Preview> {
  const { properties, oembed } = await pageMetadata(html);
  const preview: Preview = Object.fromEntries(properties);
  if (oembed !== undefined && (preview["og:title"] === undefined || preview["og:image"] === undefined)) {
    for (const [name, value] of Object.entries(await askOembed(context, oembed, url))) preview[name] ??= value;
  }
  const image = preview["og:image"];
  // What the page says of its picture is told only as far as we have seen it ourselves.
  for (const name of Object.keys(preview)) if (name === "og:image" || name.startsWith("og:image:")) delete preview[name];
  return { ...preview, ...(typeof image === "string" && (await fetchPicture(context, server, image, url))) };
}

/** The picture of a page as media of ours; undefined if there is none that can be had. */
async function fetchPicture(context: MediaContext, server: ServerName, address: string, base: URL): Promise<Preview | undefined> {
  if (!URL.canParse(address, base.href)) return undefined;
  try {
    const limits = { maxBytes: context.config.url_previews.image_bytes, milliseconds: IMAGE_MS };
    const answer = await ask(context, new URL(address, base), limits);
    try {
      return answer.status === 200 ? await picture(context, server, answer) : undefined;
    } finally {
      answer.body.destroy();
    }
  } catch (error) {
    // The words are worth having without the picture.
    if (error instanceof OutgoingError) return undefined;
    throw error;
  }
}

async function picture(context: MediaContext, server: ServerName, answer: OutgoingAnswer): Promise<Preview | undefined> {
  const { config, clock, media } = context;
  const bytes = await whole(answer.body, config.url_previews.image_bytes);
  const facts = await factsOf(context, bytes);
  if (facts === undefined) return undefined;
  const media_id = newMediaId();
  const row = {
    server_name: server,
    media_id,
    kind: "preview",
    user_nid: undefined,
    content_type: facts.content_type,
    file_name: undefined,
    expires_ts: clock.now() + config.url_previews.image_days * 86_400_000,
  } as const;
  await using file = await spool(media.spoolFolder, [bytes]);
  await keepContent(context, file, (tx) => insertMedia(tx, row, file, clock.now()));
  return {
    "og:image": mediaUri(server, media_id),
    "og:image:type": facts.content_type,
    "og:image:width": facts.width,
    "og:image:height": facts.height,
    "matrix:image:size": bytes.length,
  };
}

async function factsOf({ media }: MediaContext, bytes: Buffer): Promise<ImageFacts | undefined> {
  try {
    return await media.thumbnailer.inTurn(() => media.thumbnailer.inspect(bytes));
  } catch (error) {
    if (error instanceof UnreadableImageError || error instanceof ImageTooLargeError) return undefined;
    throw error;
  }
}

/** What a page's own server says of it by oEmbed, in the words of Open Graph. */
async function askOembed(context: MediaContext, address: string, base: URL): Promise<Preview> {
  if (!URL.canParse(address, base.href)) return {};
  try {
    const answer = await ask(context, new URL(address, base), { maxBytes: OEMBED_BYTES, milliseconds: OEMBED_MS });
    const bytes = await whole(answer.body, OEMBED_BYTES);
    const json = parseJson(bytes, { maxDepth: 10 });
    return answer.status === 200 && isObject(json) ? ofOembed(json) : {};
  } catch (error) {
    if (error instanceof OutgoingError || error instanceof MatrixError) return {};
    throw error;
  }
}

function ofOembed(json: JsonObject): Preview {
  const preview: Preview = {};
  const set = (name: string, field: string): void => {
    const value = plainText(ownString(json, field) ?? "");
    if (value !== "") preview[name] ??= value;
  };
  set("og:title", "title");
  set("og:title", "author_name");
  set("og:site_name", "provider_name");
  set("og:image", "thumbnail_url");
  if (ownString(json, "type") === "photo") set("og:image", "url");
  return preview;
}

function ask(
  { config, outgoing }: MediaContext,
  url: URL,
  limits: { readonly maxBytes: number; readonly milliseconds: number },
): Promise<OutgoingAnswer> {
  const denied = config.url_previews.denied_hosts.map(compileGlob);
  const permits = ({ hostname }: URL): boolean => !denied.some((glob) => matchesWhole(glob, hostname.replace(/\.$/, "")));
  const headers = { accept: "text/html,application/xhtml+xml,image/*;q=0.9,*/*;q=0.1" };
  return outgoing.request(url, { ...limits, headers, redirects: REDIRECTS, permits });
}

function refusal(error: unknown): never {
  if (!(error instanceof OutgoingError)) throw error;
  if (error.failure === "denied") throw forbidden("This server may not ask for that address.");
  throw unknownError(502, error.message);
}

const isImage = (contentType: string): boolean => /^image\//i.test(contentType);

async function whole(body: Readable, most: number): Promise<Buffer> {
  const bytes = await beginning(body, most + 1);
  if (bytes.length > most) throw new OutgoingError("too_large", "The answer is too large.");
  return bytes;
}

/** The first bytes of a body. */
async function beginning(body: Readable, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= most) break;
  }
  return Buffer.concat(chunks).subarray(0, most);
}
