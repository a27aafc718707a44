// The certificate of a TLS listener, read again whenever its files change: whoever renews it restarts nothing.
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConfigError, type Config } from "../config.js";
import { logger } from "../log.js";

const log = logger("tls");

const LOOK_MS = 10_000;

export interface CertificateFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface Certificate {
  current(): CertificateFiles;
  /** Tells each new certificate; gives what ends that. */
  onChange(tell: (files: CertificateFiles) => void): () => void;
}

/** The certificate of the configuration, or undefined if it names none. Throws ConfigError if it cannot be used. */
export function certificateOf({ certificate_path, key_path }: Config["federation"]["listen"]): Certificate | undefined {
  if (certificate_path === undefined || key_path === undefined) return undefined;
  const load = (): CertificateFiles => {
    const files = { cert: readFileSync(certificate_path), key: readFileSync(key_path) };
    createSecureContext(files);
    return files;
  };
  try {
    load();
  } catch (cause) {
    throw new ConfigError(
      `The certificate ${certificate_path} with the key ${key_path} cannot be used: change federation.listen.`,
      { cause },
    );
  }
  return {
    current: load,
    onChange(tell) {
      const renewed = (): void => {
        try {
          tell(load());
          log.info({ certificate: certificate_path }, "the certificate was read again");
        } catch (error) {
          // Half of it may have been written so far: the next change tells.
          log.warn({ err: error, certificate: certificate_path }, "the changed certificate cannot be used; the one before stays");
        }
      };
      for (const path of [certificate_path, key_path]) watchFile(path, { interval: LOOK_MS, persistent: false }, renewed);
      return () => {
        for (const path of [certificate_path, key_path]) unwatchFile(path, renewed);
      };
    },
  };
}
