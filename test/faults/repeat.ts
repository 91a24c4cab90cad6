/** Does the same so many times, so many of them at a time. Rejects with the first that fails. */
export async function repeat(times: number, atOnce: number, work: (time: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < times) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}
