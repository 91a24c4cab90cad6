import type { Log } from "../log.ts";

/** Says once that something does not work, and once that it works again, however often it is tried in between. */
export class OutageLog {
  readonly #log: Log;
  readonly #messages: { readonly broken: string; readonly mended: string };
  #broken = false;

  constructor(log: Log, messages: { readonly broken: string; readonly mended: string }) {
    this.#log = log;
    this.#messages = messages;
  }

  failed(error: unknown): void {
    const { message } = error as Error;
    this.#log[this.#broken ? "debug" : "warn"]({ reason: message, err: error }, this.#messages.broken);
    this.#broken = true;
  }

  succeeded(): void {
    if (this.#broken) this.#log.info(this.#messages.mended);
    this.#broken = false;
  }
}
