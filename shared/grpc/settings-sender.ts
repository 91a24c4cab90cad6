import type { Http2Session, Settings } from "node:http2";

/**
 * Sends changes of SETTINGS, never more than one unacknowledged: Node kills a session that has ten under way.
 * Changes that come meanwhile are merged into the next frame, the latest value of each counts.
 */
export class SettingsSender {
  readonly #session: Http2Session;
  #next: Settings | undefined;
  /** The frame that every session starts with counts, too. */
  #waiting: boolean;

  constructor(session: Http2Session) {
    this.#session = session;
    this.#waiting = true;
    session.on("localSettings", () => {
      this.#waiting = false;
      this.#send();
    });
  }

  change(settings: Settings): void {
    this.#next = { ...this.#next, ...settings };
    this.#send();
  }

  #send(): void {
    if (this.#waiting || this.#next === undefined || this.#session.destroyed) return;
    this.#waiting = true;
    const settings = this.#next;
    this.#next = undefined;
    this.#session.settings(settings);
  }
}
