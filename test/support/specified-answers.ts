// The answers that the specification names for operations, and how each is provoked. The facts are in
// spec/specified-answers.tsv.
import { readFileSync } from "node:fs";
import { expect } from "chai";
import type { JsonObject } from "./json-path.js";

/** An answer, as far as it is compared. */
interface Answered {
  readonly status: number;
  readonly body: JsonObject;
}

/**
 * How an answer is provoked: a call that gets it; the test of another file that does; or why this server never gives it.
 */
export type Case<World> = ((world: World) => Promise<Answered>) | { readonly test: readonly [file: string, title: string] } | { readonly never: string };

/** By operation, then by answer: `200`, `404 M_NOT_FOUND`. */
export type Cases<World> = Readonly<Record<string, Readonly<Record<string, Case<World>>>>>;

export const elsewhere = (file: string, title: string): { readonly test: readonly [file: string, title: string] } => ({ test: [file, title] });
export const never = (why: string): { readonly never: string } => ({ never: why });

/** The rows of a list of facts. */
export function facts(file: string): string[][] {
  return readFileSync(`spec/${file}`, "utf8").trimEnd().split("\n").map((line) => line.split("\t"));
}

const nameOf = (status: string, errcode: string): string => (errcode === "" ? status : `${status} ${errcode}`);
/** What rate-limit.test.ts provokes for every operation of clients that has a limit. */
const LIMITED = "429 M_LIMIT_EXCEEDED";

/** Says that every answer of an API has a case, that no other operation has one, and that the tests that are named are there. */
export function expectComplete<World>(api: string, cases: Cases<World>): void {
  const named = facts("specified-answers.tsv").flatMap(([of, operation = "", status = "", errcode = ""]) => (of === api ? [[operation, nameOf(status, errcode)] as const] : []));
  const operations = facts("operations.tsv").flatMap(([of, , , operation = ""]) => (of === api ? [operation] : []));
  const without = named.filter(([operation, answer]) => !(api === "client-server" && answer === LIMITED) && cases[operation]?.[answer] === undefined);
  expect(without, "answers without a case").to.deep.equal([]);
  expect(operations.filter((operation) => cases[operation] === undefined), "operations without a case").to.deep.equal([]);
  expect(Object.keys(cases).filter((operation) => !operations.includes(operation)), "cases of operations that are not specified").to.deep.equal([]);
  const tests = Object.values(cases).flatMap((answers) => Object.values(answers)).flatMap((given) => ("test" in given ? [given.test] : []));
  const has = ([file, title]: readonly [string, string]): boolean => {
    const text = readFileSync(`test/${file}.test.ts`, "utf8");
    // The titles of some end in what differs between them.
    return text.includes(`it("${title}"`) || text.includes(`it(\`${title}`);
  };
  expect(tests.filter((test) => !has(test)), "tests that are not there").to.deep.equal([]);
}

/** Provokes the answers of an operation and compares them with what they should be. */
export async function expectAnswers<World>(answers: Readonly<Record<string, Case<World>>>, world: World): Promise<void> {
  const got: Record<string, string> = {};
  const wanted: Record<string, string> = {};
  for (const [answer, given] of Object.entries(answers)) {
    if (typeof given !== "function") continue;
    const { status, body } = await given(world);
    wanted[answer] = answer;
    // Where the specification names no code, any will do.
    got[answer] = answer.includes(" ") ? nameOf(String(status), String(body["errcode"])) : String(status);
  }
  expect(got).to.deep.equal(wanted);
}
