// People talk through Hansa, in every way of running it.
import { spawnSync } from "node:child_process";
import { describeConversation } from "./conversation.js";
import { oneProcess, twoNames, twoProcesses } from "./deployments.js";

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

describeConversation("conversation through one process", oneProcess);
describeConversation("conversation between two server names of one deployment", twoNames);
describeConversation("conversation through two processes without Redis", () => twoProcesses("none"));
if (hasRedis) {
  describeConversation("conversation through two processes with Redis", () => twoProcesses("there"));
  describeConversation("conversation through two processes whose Redis is killed", () => twoProcesses("killed"));
} else {
  it.skip("conversation through two processes with Redis: redis-server is not installed here");
}
