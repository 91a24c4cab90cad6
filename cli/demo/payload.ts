import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";

const chunkBytes = 64 * 1024;
const zeros = Buffer.alloc(chunkBytes);

/** Random bytes that are never the same twice, hashed as they are read. Ends after `byteCount` bytes, or at `finish()`. */
export class Payload extends Readable {
  readonly #byteCount: number;
  readonly #onChunk: (sentBytes: number) => void;
  readonly #cipher = createCipheriv("aes-128-ctr", randomBytes(16), randomBytes(16));
  readonly #hash = createHash("sha256");
  #sentBytes = 0;
  #finished = false;
  #digest: string | undefined;

  /** `byteCount` may be Infinity. `onChunk` hears how far it is. */
  constructor(byteCount: number, onChunk: (sentBytes: number) => void = () => {}) {
    super({ highWaterMark: 4 * chunkBytes });
    this.#byteCount = byteCount;
    this.#onChunk = onChunk;
  }

  /** SHA-256 in hex of all that was read; call it after the end. */
  get digest(): string {
    this.#digest ??= this.#hash.digest("hex");
    return this.#digest;
  }

  /** Ends it after what has been handed out. */
  finish(): void {
    this.#finished = true;
  }

  override _read(): void {
    const length = this.#finished ? 0 : Math.min(chunkBytes, this.#byteCount - this.#sentBytes);
    if (length === 0) {
      this.push(null);
      return;
    }
    const chunk = this.#cipher.update(length === chunkBytes ? zeros : zeros.subarray(0, length));
    this.#hash.update(chunk);
    this.#sentBytes += length;
    this.#onChunk(this.#sentBytes);
    this.push(chunk);
  }
}
