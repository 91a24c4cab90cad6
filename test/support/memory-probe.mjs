// Loaded into a half by `--import`: collects garbage on SIGUSR2 and writes what is left, and what is resident, to standard error.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

process.on("SIGUSR2", async () => {
  // What the first pass finalizes, the next ones free.
  for (let pass = 0; pass < 4; pass++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  process.stderr.write(`${JSON.stringify({ memory: { rss, heapUsed, external } })}\n`);
});
