// Password hashes: argon2id; bcrypt is accepted for accounts that were imported.
import { randomBytes } from "node:crypto";
import { hash, verify } from "@node-rs/argon2";
import { compare as verifyBcrypt } from "bcrypt";
import type { Config } from "../config.js";
import { invalidParam, limitExceeded, weakPassword } from "../errors.js";

const MAX_BYTES = 512;
/** Hashes at once: they run on the thread pool of four, which others need too. */
const MAX_RUNNING = 2;
const MAX_WAITING = 200;

export class Passwords {
  private readonly settings: Config["passwords"];
  private readonly waiting: (() => void)[] = [];
  private running = 0;
  private decoy: Promise<string> | undefined;

  constructor(settings: Config["passwords"]) {
    this.settings = settings;
  }

  /** Throws M_WEAK_PASSWORD or M_INVALID_PARAM for a password that a user may not choose. */
  requireAcceptable(password: string): void {
    const { min_length } = this.settings;
    if (Array.from(password).length < min_length) throw weakPassword(`A password must have at least ${min_length} characters.`);
    requireBounded(password);
  }

  /** The hash of a password. Throws M_LIMIT_EXCEEDED when too many wait for theirs. */
  hash(password: string): Promise<string> {
    const { memory_kib, iterations } = this.settings;
    return this.run(() => hash(normalised(password), { memoryCost: memory_kib, timeCost: iterations, parallelism: 1 }));
  }

  /**
   * Whether a password belongs to a hash. Without a hash it is false after the same work, so that the time tells nobody
   * which accounts exist. Throws M_INVALID_PARAM for a password that is too long to be anybody's.
   */
  async verify(password: string, stored: string | null): Promise<boolean> {
    requireBounded(password);
    const against = stored ?? (await (this.decoy ??= this.hash(randomBytes(16).toString("hex"))));
    const matches = await this.run(() =>
      isBcrypt(against) ? verifyBcrypt(normalised(password), against) : verify(against, normalised(password)),
    );
    return matches && stored !== null;
  }

  /** Whether a hash was made by other means, or at another cost, than we would now. */
  isOutdated(stored: string): boolean {
    const { memory_kib, iterations } = this.settings;
    return !stored.startsWith(`$argon2id$v=19$m=${memory_kib},t=${iterations},p=1$`);
  }

  private async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.running >= MAX_RUNNING) {
      if (this.waiting.length >= MAX_WAITING) throw limitExceeded(2_000);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.running++;
    try {
      return await work();
    } finally {
      // Whoever waits longest takes over this place.
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}

const isBcrypt = (stored: string): boolean => /^\$2[aby]\$/.test(stored);

/** Keyboards differ in how they compose the same letters. */
const normalised = (password: string): string => password.normalize("NFKC");

function requireBounded(password: string): void {
  if (Buffer.byteLength(password) > MAX_BYTES) throw invalidParam(`A password may have at most ${MAX_BYTES} bytes.`);
}
