/** Does the same so many times, so many of them at a time. Rejects with the first that fails. */
export async function repeat(times: number, atOnce: number, work: (time: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < times) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}

/** Does the work for one case after the other; a failure says for which. */
export async function inTurn<Case>(cases: readonly Case[], work: (one: Case) => Promise<unknown>): Promise<void> {
  for (const one of cases) {
    await work(one).catch((cause: Error) => {
      throw new Error(`${JSON.stringify(one)}: ${cause.message}`, { cause });
    });
  }
}
