// What the processes of a local server use, read from Linux' /proc and /sys: CPU seconds, bytes written, memory.
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";

const TICKS_PER_SECOND = 100;
const LISTENING = "0A";

const BLOCK_DEVICES = "/sys/block";
const SECTOR_BYTES = 512;

export interface Usage {
  readonly cpu_seconds: number;
  /** To the disks of the machine, by whomever. */
  readonly bytes_written: number;
}

export interface Memory {
  /** Resident memory of the process that listens. */
  readonly server_bytes: number;
  /** Of all processes together, shared pages counted once. */
  readonly all_bytes: number;
}

/** Runs `read` on a process that may end meanwhile. */
function ofProcess<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH" || error.code === "EACCES")) return undefined;
    throw error;
  }
}

function processIds(): number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** The fields of /proc/PID/stat after the name, which may itself hold spaces and brackets. */
function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** A line "name: 123 kB" of a file of /proc. */
function bytesIn(file: string, name: string): number {
  const text = ofProcess(() => readFileSync(file, "utf8")) ?? "";
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * 1_024;
}

/** The process that listens on a TCP port of this machine; nothing when there is none, or this is not Linux. */
export function listenerOf(port: number): number | undefined {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const inodes = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
      (ofProcess(() => readFileSync(file, "utf8")) ?? "")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields[1]?.endsWith(`:${wanted}`) === true && fields[3] === LISTENING)
        .map((fields) => `socket:[${fields[9]}]`),
    ),
  );
  if (inodes.size === 0) return undefined;
  return processIds().find((pid) =>
    ofProcess(() => readdirSync(`/proc/${pid}/fd`).some((fd) => inodes.has(ofProcess(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? ""))),
  );
}

/**
 * What the disks were given so far. What /proc says of single processes is no measure: where the kernel keeps files in
 * large folios, it counts a whole one for each small write (40 times what a server wrote that commits one message at a time).
 */
function bytesWritten(): number {
  const disks = (ofProcess(() => readdirSync(BLOCK_DEVICES)) ?? []).filter((name) => existsSync(`${BLOCK_DEVICES}/${name}/device`));
  const sectors = disks.map((name) => Number(readFileSync(`${BLOCK_DEVICES}/${name}/stat`, "utf8").trim().split(/\s+/)[6]));
  return sectors.reduce((sum, count) => sum + count, 0) * SECTOR_BYTES;
}

/** Some processes and all that descend from them, as they are at each look. */
export class ProcessGroup {
  readonly #roots: readonly number[];

  /** `roots`: the listening process first. */
  constructor(roots: readonly number[]) {
    this.#roots = roots;
  }

  #members(): number[] {
    const children = new Map<number, number[]>();
    for (const pid of processIds()) {
      const parent = ofProcess(() => Number(statOf(pid)[1]));
      if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
    }
    const members = new Set<number>();
    const visit = (pid: number): void => {
      if (members.has(pid)) return;
      members.add(pid);
      children.get(pid)?.forEach(visit);
    };
    this.#roots.forEach(visit);
    return [...members];
  }

  /** Used so far, children that have ended included. */
  usage(): Usage {
    let ticks = 0;
    for (const pid of this.#members()) {
      const stat = ofProcess(() => statOf(pid)) ?? [];
      // user, system, and both of the children that were waited for
      for (const field of stat.slice(11, 15)) ticks += Number(field);
    }
    return { cpu_seconds: ticks / TICKS_PER_SECOND, bytes_written: bytesWritten() };
  }

  memory(): Memory {
    return {
      server_bytes: bytesIn(`/proc/${this.#roots[0]}/status`, "VmRSS"),
      all_bytes: this.#members().reduce((sum, pid) => sum + bytesIn(`/proc/${pid}/smaps_rollup`, "Pss"), 0),
    };
  }
}
