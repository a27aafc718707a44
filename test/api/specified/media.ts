// Cases of operations on media.
import sharp from "sharp";
import { stringAt } from "../../support/json-path.js";
import { uploaded } from "../../support/media.js";
import type { Answer } from "../../support/server.js";
import { SERVER, type Case, type Cases, elsewhere, never, ok, V1, type World } from "./case.js";

const MEDIA = "/_matrix/media/v3";
const ITSELF = "this server gives out the bytes itself, which is why it never leads elsewhere";
/** More than the server of these cases takes. */
const LARGE = Buffer.alloc(200_000, 7);

async function reserved({ alice }: World): Promise<string> {
  return (stringAt(ok(await alice.post("/_matrix/media/v1/create")), "content_uri") ?? "").slice("mxc://".length);
}

/** As a JSON answer, which only errors are. */
async function get({ alice, server }: World, path: string): Promise<Pick<Answer, "status" | "body">> {
  const answer = await fetch(server.url + path, { headers: { authorization: `Bearer ${alice.access_token}` } });
  const text = await answer.text();
  return { status: answer.status, body: answer.status === 200 ? {} : (JSON.parse(text) as Answer["body"]) };
}

async function image(width: number, height: number): Promise<Buffer> {
  return await sharp({ create: { width, height, channels: 3, background: "red" } }).png({ compressionLevel: 9 }).toBuffer();
}

/** What another server has, as older servers give it out. */
function remote({ peer }: World): string {
  peer.answer("/_matrix/media/v3/download/", () => ({ status: 200, body: { x: "x".repeat(LARGE.length) } }));
  return `${peer.name}/large`;
}

function download(path: string, name = "", query = ""): Readonly<Record<string, Case>> {
  const thumbnail = query !== "";
  const at = (uri: string, more = ""): string => `${path}/${uri}${name}${query}${more === "" ? "" : `${thumbnail ? "&" : "?"}${more}`}`;
  return {
    "200": async (w) => await get(w, at(await uploaded(w.server, w.alice, await image(100, 100), "image/png"))),
    "307": never(ITSELF),
    "308": never(ITSELF),
    "502 M_TOO_LARGE": async (w) => await get(w, at(remote(w))),
    "504 M_NOT_YET_UPLOADED": async (w) => await get(w, at(await reserved(w), "timeout_ms=0")),
    ...(thumbnail && {
      "400 M_UNKNOWN": async (w: World) => await get(w, at(await uploaded(w.server, w.alice, "no image", "image/png"))),
      "413 M_TOO_LARGE": async (w: World) => await get(w, at(await uploaded(w.server, w.alice, await image(5_000, 5_000), "image/png"))),
    }),
  };
}

const QUERY = "?width=10&height=10&method=scale";

export const mediaCases: Cases = {
  getContentAuthed: download(`${V1}/media/download`),
  getContentOverrideNameAuthed: download(`${V1}/media/download`, "/name"),
  getContentThumbnailAuthed: download(`${V1}/media/thumbnail`, "", QUERY),
  getContent: download(`${MEDIA}/download`),
  getContentOverrideName: download(`${MEDIA}/download`, "/name"),
  getContentThumbnail: download(`${MEDIA}/thumbnail`, "", QUERY),
  getUrlPreviewAuthed: { "200": elsewhere("api/media-previews", "tell what the page says and show its picture") },
  getUrlPreview: { "200": elsewhere("api/media-previews", "can be asked for at the old path") },
  getConfigAuthed: { "200": async ({ alice }) => await alice.get(`${V1}/media/config`) },
  getConfig: { "200": async ({ alice }) => await alice.get(`${MEDIA}/config`) },
  createContent: {
    "200": async ({ alice }) => await alice.post("/_matrix/media/v1/create"),
    "403 M_FORBIDDEN": async ({ full }) => await full.post("/_matrix/media/v1/create"),
  },
  uploadContent: {
    "200": async ({ alice }) => await alice.request("POST", `${MEDIA}/upload`, "x"),
    "403 M_FORBIDDEN": async ({ full }) => await full.request("POST", `${MEDIA}/upload`, "x"),
    "413 M_TOO_LARGE": async ({ alice }) => await alice.request("POST", `${MEDIA}/upload`, LARGE.toString("latin1")),
  },
  uploadContentToMXC: {
    "200": async (w) => await w.alice.request("PUT", `${MEDIA}/upload/${await reserved(w)}`, "x"),
    "403 M_FORBIDDEN": async (w) => await w.bob.request("PUT", `${MEDIA}/upload/${await reserved(w)}`, "x"),
    "404 M_NOT_FOUND": async (w) => await w.alice.request("PUT", `${MEDIA}/upload/${SERVER}/none`, "x"),
    "409 M_CANNOT_OVERWRITE_MEDIA": async (w) => {
      const path = `${MEDIA}/upload/${await reserved(w)}`;
      ok(await w.alice.request("PUT", path, "x"));
      return await w.alice.request("PUT", path, "x");
    },
    "413 M_TOO_LARGE": async (w) => await w.alice.request("PUT", `${MEDIA}/upload/${await reserved(w)}`, LARGE.toString("latin1")),
  },
};
