// Thumbnails as clients see them: which size and form they get, and what is made of hostile images.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { expect } from "chai";
import sharp from "sharp";
import { animation, AUTHED, download, filesIn, image, THUMBNAIL, uploaded } from "../support/media.js";
import { startTestServer, type TestClient, type TestServer } from "../support/server.js";

/** A PNG that says it is large and has next to no bytes. */
function bomb(width: number, height: number): Buffer {
  const part = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length);
    body.copy(framed, 4);
    framed.writeUInt32BE(crc(body), body.length + 4);
    return framed;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.writeUInt8(8, 8);
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([magic, part("IHDR", head), part("IDAT", deflateSync(Buffer.alloc(1000))), part("IEND", Buffer.alloc(0))]);
}

function crc(bytes: Buffer): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return (value ^ 0xffffffff) >>> 0;
}

describe("thumbnails", () => {
  let server: TestServer;
  let alice: TestClient;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hansa-media-"));
    server = await startTestServer({ media: { folder, max_image_pixels: 4_000_000 } });
    alice = await server.register("alice");
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** As "status errcode", or as "type width x height", with the number of frames if there are several. */
  async function ask(uri: string, query: string): Promise<string> {
    const { status, errcode, bytes, headers } = await download(server, alice, `${THUMBNAIL}/${uri}?${query}`);
    if (status !== 200) return `${status} ${errcode}`;
    const { width, height, pages = 1 } = await sharp(bytes).metadata();
    return `${headers.get("content-type")} ${width}x${height}${pages > 1 ? ` ${pages}` : ""}`;
  }

  describe("sizes", () => {
    const cases: [width: number, height: number, query: string, thumbnail: string][] = [
      [1000, 500, "width=32&height=32&method=crop", "image/png 32x32"],
      [1000, 500, "width=20&height=33&method=crop", "image/png 96x96"],
      [1000, 500, "width=97&height=50&method=crop", "image/png 128x64"],
      [1000, 500, "width=100&height=100&method=scale", "image/png 320x160"],
      [1000, 500, "width=100&height=100", "image/png 320x160"],
      [500, 1000, "width=320&height=240&method=scale", "image/png 120x240"],
      [1000, 500, "width=801&height=10", "image/png 32x16"],
      [2000, 1000, "width=801&height=700", "image/png 1024x512"],
      [1000, 500, "width=1000&height=1000", "image/png 1000x500"],
      [30, 20, "width=32&height=32&method=crop", "image/png 30x20"],
      [100, 20, "width=96&height=96&method=crop", "image/png 20x20"],
      [1, 2000, "width=96&height=96&method=crop", "image/png 1x1"],
    ];
    for (const [width, height, query, thumbnail] of cases) {
      it(`${width}x${height}, ${query}: ${thumbnail}`, async () => {
        const uri = await uploaded(server, alice, await image(width, height), "image/png");
        expect(await ask(uri, query)).to.equal(thumbnail);
      });
    }
  });

  it("come as images to be shown", async () => {
    const uri = await uploaded(server, alice, await image(200, 200), "text/html", "a.html");
    const { headers } = await download(server, alice, `${THUMBNAIL}/${uri}?width=32&height=32&method=crop`);
    expect(headers.get("content-disposition")).to.equal('inline; filename="thumbnail.png"');
    expect(headers.get("content-security-policy")).to.contain("sandbox");
    expect(headers.get("cross-origin-resource-policy")).to.equal("cross-origin");
  });

  it("keep what shines through, and turn photographs upright", async () => {
    const clear = await sharp({ create: { width: 400, height: 400, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } }).png().toBuffer();
    expect(await ask(await uploaded(server, alice, clear), "width=96&height=96&method=crop")).to.equal("image/png 96x96");
    const turned = await sharp(await image(400, 200, "jpeg")).withMetadata({ orientation: 6 }).toBuffer();
    expect(await ask(await uploaded(server, alice, turned), "width=320&height=240")).to.equal("image/jpeg 120x240");
  });

  it("carry no metadata of the image", async () => {
    const source = await sharp(await image(400, 400, "jpeg")).withExif({ IFD0: { Copyright: "where I live" } }).toBuffer();
    const uri = await uploaded(server, alice, source);
    const { bytes } = await download(server, alice, `${THUMBNAIL}/${uri}?width=96&height=96&method=crop`);
    expect((await sharp(bytes).metadata()).exif).to.equal(undefined);
  });

  it("move only if that is asked for", async () => {
    const large = await uploaded(server, alice, await animation(200, 200, 4));
    expect(await ask(large, "width=96&height=96&method=crop&animated=true")).to.equal("image/webp 96x96 4");
    expect(await ask(large, "width=96&height=96&method=crop&animated=false")).to.match(/^image\/(?:png|jpeg) 96x96$/);
    expect(await ask(large, "width=96&height=96&method=crop")).to.match(/^image\/(?:png|jpeg) 96x96$/);
    const small = await uploaded(server, alice, await animation(20, 20, 4));
    expect(await ask(small, "width=32&height=32&animated=true")).to.equal("image/gif 20x20 4");
    expect(await ask(small, "width=32&height=32")).to.match(/^image\/(?:png|jpeg) 20x20$/);
    const still = await uploaded(server, alice, await image(200, 200, "gif"));
    expect(await ask(still, "width=96&height=96&method=crop&animated=true")).to.match(/^image\/(?:png|jpeg) 96x96$/);
  });

  it("stand still if they had too many frames", async () => {
    const uri = await uploaded(server, alice, await animation(400, 400, 30));
    expect(await ask(uri, "width=96&height=96&method=crop&animated=true")).to.match(/^image\/(?:png|jpeg) 96x96$/);
  });

  it("are made once, also for the same image under another URI", async () => {
    const source = await image(300, 300, "png", "#0c0");
    const [first, second] = [await uploaded(server, alice, source), await uploaded(server, alice, source)];
    const before = filesIn(folder).length;
    const query = "width=96&height=96&method=crop";
    await Promise.all([first, second, first, second].map((uri) => ask(uri, query)));
    expect(filesIn(folder).length).to.equal(before + 1);
    const [row] = await server.database.read<{ count: number }>(
      { name: "", text: "SELECT count(*) AS count FROM media_thumbnails t JOIN media m ON m.digest = t.source WHERE m.media_id = $1" },
      [first.split("/")[1]],
    );
    expect(row?.count).to.equal(1);
  });

  describe("of what they are not made", () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><rect width="100" height="100"/></svg>';
    it("formats that are not asked for are not even looked into", async () => {
      for (const source of [Buffer.from(svg), await image(10, 10, "tiff")]) {
        const outcome = await sharp(source).metadata().then(({ format }) => format, () => "refused");
        expect(outcome).to.equal("refused");
      }
    });

    const cases: [name: string, content: () => Promise<Buffer> | Buffer, answer: string][] = [
      ["text", () => Buffer.from("hello"), "400 M_UNKNOWN"],
      ["nothing", () => Buffer.alloc(0), "400 M_UNKNOWN"],
      ["SVG", () => Buffer.from(svg), "400 M_UNKNOWN"],
      ["PDF", () => Buffer.from("%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"), "400 M_UNKNOWN"],
      ["TIFF", () => image(100, 100, "tiff"), "400 M_UNKNOWN"],
      ["the beginning of a PNG", async () => (await image(1000, 1000, "png")).subarray(0, 200), "400 M_UNKNOWN"],
      ["a JPEG with broken middle", async () => Buffer.concat([(await image(900, 900, "jpeg")).subarray(0, 700), Buffer.alloc(90)]), "400 M_UNKNOWN"],
      ["50,000 x 50,000 pixels", () => bomb(50_000, 50_000), "413 M_TOO_LARGE"],
      ["one pixel row too many", () => bomb(2000, 2001), "413 M_TOO_LARGE"],
      ["fewer bytes than pixels", () => bomb(1000, 1000), "400 M_UNKNOWN"],
    ];
    for (const [name, content, answer] of cases) {
      it(`${name}: ${answer}`, async () => {
        const uri = await uploaded(server, alice, await content(), "image/png");
        expect(await ask(uri, "width=96&height=96&method=crop")).to.equal(answer);
        expect((await download(server, alice, `${AUTHED}/${uri}`)).status).to.equal(200);
      });
    }
  });

  for (const query of ["width=0&height=10", "width=-1&height=10", "width=a&height=10", "height=10", "width=1.5&height=10", "width=9&height=9&method=zoom"]) {
    it(`refuse ${query}`, async () => {
      const uri = await uploaded(server, alice, "x");
      expect(await ask(uri, query)).to.match(/^400 M_(?:INVALID|MISSING)_PARAM$/);
    });
  }
});
