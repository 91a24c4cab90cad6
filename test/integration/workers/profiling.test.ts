import { once } from "node:events";
import { get } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../support/ports.ts";
import { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";

let scene: Scene;
let port: number;
beforeAll(async () => {
  port = await freePort();
  scene = await Scene.start({ serverFlags: ["--workers=2", "--enable-profiling", `--admin-port=${port}`] });
});
afterAll(() => scene.discard());

const request = (path: string) => get({ host: "127.0.0.1", port, path, agent: false });

async function ask(path: string) {
  const [response] = await once(request(path), "response");
  return { status: response.statusCode as number, body: (await response.toArray()).join("") as string };
}

test.each(["profile", "heap"])("/%s of the worker that the query names, beside one of the primary", async (page) => {
  // At once: a second one of the same process would be refused.
  const queries = ["seconds=1&worker=1", "seconds=1&worker=2", "seconds=1"];
  const answers = await Promise.all(queries.map((query) => ask(`/debug/pprof/${page}?${query}`)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  for (const { body } of answers) expect(Object.keys(JSON.parse(body))).not.toEqual([]);
});

test.each(["0", "3", "x", ""])("no worker %j: 404 with a sentence", async (worker) => {
  expect(await ask(`/debug/pprof/profile?seconds=1&worker=${worker}`)).toEqual({
    status: 404,
    body: "there is no such worker, or it does not serve now\n",
  });
});

test("a client that leaves ends the profile of a worker", async () => {
  const left = request("/debug/pprof/profile?seconds=300&worker=1");
  left.on("error", () => {});
  const isTaken = async () => (await ask("/debug/pprof/profile?seconds=1&worker=1")).status === 409;
  await until("the profile to begin", isTaken, { withinMs: 10_000 });
  left.destroy();
  await until("the profile to end", async () => !(await isTaken()), { withinMs: 10_000 });
});
