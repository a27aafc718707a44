// How processes wake each other. A message is a hint and may be lost: whoever needs the truth reads it from PostgreSQL.

export interface Bus extends AsyncDisposable {
  /** Sends a small message to all subscribers of a channel, in every process, this one included. Never throws. */
  publish(channel: string, message: string): void;
  /** Calls `handler` for each message of a channel until the returned function is called. */
  subscribe(channel: string, handler: (message: string) => void): () => void;
}
