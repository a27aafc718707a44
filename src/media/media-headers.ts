// Headers that go with media: what browsers may make of content that anybody may have uploaded (client-server API, "Serving
// inline content").

/** Types that browsers show without running anything. Everything else is for saving. */
const INLINE_TYPES = new Set([
  "text/css",
  "text/plain",
  "text/csv",
  "application/json",
  "application/ld+json",
  "image/jpeg",
  "image/gif",
  "image/png",
  "image/apng",
  "image/webp",
  "image/avif",
  "video/mp4",
  "video/webm",
  "video/ogg",
  "video/quicktime",
  "audio/mp4",
  "audio/webm",
  "audio/aac",
  "audio/mpeg",
  "audio/ogg",
  "audio/wave",
  "audio/wav",
  "audio/x-wav",
  "audio/x-pn-wav",
  "audio/flac",
  "audio/x-flac",
]);

const MAX_TYPE = 200;
const MAX_NAME = 200;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|"[ !#-\\[\\]-~]*"))*$`);

/** The type that was declared if it is one, else the type of any bytes. */
export function soundContentType(declared: string | undefined): string {
  const type = declared?.trim() ?? "";
  return type.length <= MAX_TYPE && MEDIA_TYPE.test(type) ? type : "application/octet-stream";
}

/** A file's name without what could mislead a reader or a file system; undefined if nothing is left. */
export function soundFileName(name: string | undefined): string | undefined {
  const plain = (name ?? "")
    // Characters without width or that turn the direction of what follows, and half characters.
    .replace(/[\p{Cc}\p{Cs}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu, "")
    .replace(/[/\\]/g, "_");
  const sound = Array.from(plain).slice(0, MAX_NAME).join("").trim();
  return sound === "" || /^\.+$/.test(sound) ? undefined : sound;
}

/** How content of a type is to be treated, and the name to save it under (RFC 6266). */
export function contentDisposition(contentType: string, fileName: string | undefined): string {
  const essence = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const kind = INLINE_TYPES.has(essence) ? "inline" : "attachment";
  const name = soundFileName(fileName);
  if (name === undefined) return kind;
  const ascii = name.replace(/[^ -~]/gu, "_");
  const quoted = `${kind}; filename="${ascii.replaceAll('"', '\\"')}"`;
  return ascii === name ? quoted : `${quoted}; filename*=UTF-8''${encodeName(name)}`;
}

/** As RFC 8187 has it: encodeURIComponent leaves some characters that are not allowed there. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** What keeps content from acting in the name of this server, and lets pages of clients use it. */
export const MEDIA_HEADERS = {
  "Content-Security-Policy":
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
  "Cross-Origin-Resource-Policy": "cross-origin",
  "Accept-Ranges": "bytes",
} as const;

/**
 * The part of `size` bytes that a Range header asks for: undefined for the whole, also if it asks for several parts or in
 * another way, and "unsatisfiable" if there is no such part.
 */
export function byteRange(header: string | undefined, size: number): { start: number; end: number } | "unsatisfiable" | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "") ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== "" && last !== "" && Number(last) < start) return undefined;
  return start >= size || (first === "" && Number(last) === 0) ? "unsatisfiable" : { start, end };
}
