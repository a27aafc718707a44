// The order of the layers: a file imports only from its own layer and from those to the left of it, and no files import
// each other in a circle. Type-only imports count too: a type is a dependency of whoever reads the code.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect } from "chai";

const LAYERS: readonly (readonly string[])[] = [
  ["spec", "src/errors", "src/log", "src/metrics", "src/config", "src/clock", "src/version", "src/repeated-work"],
  ["src/protocol"],
  ["src/storage"],
  ["src/federation"],
  ["src/rooms/owner", "src/rooms/ignored-users"],
  ["src/rooms"],
  ["src/accounts"],
  ["src/oauth"],
  ["src/encryption"],
  ["src/ephemeral"],
  ["src/media"],
  ["src/push"],
  ["src/appservice"],
  ["src/sync"],
  ["src/compliance"],
  ["src/api"],
  ["src/server"],
  ["src/command-line"],
  ["src/main"],
];

const IMPORT = /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+"(\.[^"]+)"|import\("(\.[^"]+)"\)/g;

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

/** Imports of one file, as paths from the project's root without an ending. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(IMPORT)].map((match) =>
    relative(".", resolve(dirname(file), match[1] ?? match[2] ?? "")).replace(/\.js$/, ""),
  );
}

/** Of a folder inside another the inner one counts: it stands first. */
function layerOf(path: string): number {
  return LAYERS.findIndex((names) => names.some((name) => path === name || path.startsWith(`${name}/`)));
}

describe("layers", () => {
  const files = [...sources("src"), ...sources("spec")];
  const graph = new Map(files.map((file) => [file.replace(/\.ts$/, ""), importsOf(file)]));

  it("every file belongs to a layer", () => {
    expect([...graph.keys()].filter((file) => layerOf(file) < 0)).to.deep.equal([]);
  });

  it("imports point only to the same layer or to the left", () => {
    const wrong = [...graph].flatMap(([file, imports]) =>
      imports.filter((target) => layerOf(target) > layerOf(file)).map((target) => `${file} imports ${target}`),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("no circle of imports", () => {
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
        return;
      }
      if (done.has(file)) return;
      for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of graph.keys()) visit(file, []);
    expect(circles).to.deep.equal([]);
  });

  it("SQL drivers are imported only by storage", () => {
    const wrong = files.filter(
      (file) => !file.startsWith("src/storage/") && /from "(pg|knex)"/.test(readFileSync(file, "utf8")),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("every module of the contract that the routes bind is among its operations", () => {
    const modulesIn = (file: string): string[] => (graph.get(file) ?? []).filter((target) => /^spec\/(?:client|federation|admin|appservice|push)\//.test(target));
    const listed = new Set(modulesIn("spec/operations"));
    expect(modulesIn("src/api/routes").filter((module) => !listed.has(module))).to.deep.equal([]);
  });

  it("process.env is read only by config", () => {
    const wrong = files.filter(
      (file) => !/^src\/config(\/|\.ts)/.test(file) && readFileSync(file, "utf8").includes("process.env"),
    );
    expect(wrong).to.deep.equal([]);
  });
});
