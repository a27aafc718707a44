// The conversation against a server that is running already, ours or another's: `E2E_TARGET=URL E2E_MESSAGES=1000 npx mocha --no-config FILE`.
import { describeConversation } from "./conversation.js";

const target = process.env["E2E_TARGET"] ?? "http://localhost:8008";

describeConversation(
  `conversation through ${target}`,
  () => Promise.resolve({ urls: [target, target], [Symbol.asyncDispose]: () => Promise.resolve() }),
  { messages: Number(process.env["E2E_MESSAGES"] ?? 1_000) },
);
