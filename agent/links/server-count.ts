/** How many servers there are to link to. */
export interface ServerCounter {
  readonly count: number;
}

/** Believes what the last newly linked server said in its `servercount` header; 1 until one did. */
export class ResponseServerCounter implements ServerCounter {
  #count = 1;

  get count(): number {
    return this.#count;
  }

  heard(count: number): void {
    this.#count = count > 0 ? count : 1;
  }
}
