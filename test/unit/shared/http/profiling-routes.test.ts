import { once } from "node:events";
import { request } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HttpListener, startHttpListener } from "../../../../shared/http/listener.ts";
import { Profiler } from "../../../../shared/http/profiler.ts";
import { profilingRoutes } from "../../../../shared/http/profiling-routes.ts";
import { silentLog } from "../../../../shared/log.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { until } from "../../../support/until.ts";

let clock: FakeClock;
let profiler: Profiler;
let listener: HttpListener;
beforeEach(async () => {
  clock = new FakeClock();
  profiler = new Profiler({ clock });
  const routes = profilingRoutes({ profiler, log: silentLog });
  listener = await startHttpListener({ label: "admin", host: "127.0.0.1", port: 0, routes, log: silentLog });
});
afterEach(() => listener.close());

/** Sends one request with a connection of its own. */
function send(path: string) {
  return request({ ...listener.address, path: `/debug/pprof${path}`, agent: false }).end();
}

async function ask(path: string) {
  const [response] = await once(send(path), "response");
  const body = (await response.toArray()).join("");
  return { status: response.statusCode, headers: response.headers, body };
}

const state = (what: string, holds: () => boolean) => until(what, holds, { withinMs: 10_000 });

/** Asks for a profile and lets its time pass. */
async function profileOf(path: string, seconds: number) {
  const answer = ask(path);
  await state("the profile to begin", () => clock.pending === 1);
  clock.advance(seconds * 1000 - 1);
  expect(profiler.busy).toBe(true);
  clock.advance(1);
  return await answer;
}

describe("the pages of profiles", () => {
  it("begin with an index of what there is", async () => {
    expect(await ask("")).toMatchObject({ status: 301, headers: { location: "/debug/pprof/" } });
    const { status, headers, body } = await ask("/");
    expect([status, headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    expect([...body.matchAll(/href="(\w+)"/g)].map(([, page]) => page)).toEqual(["profile", "heap"]);
  });

  it.each([
    ["/profile", 30],
    ["/profile?seconds=1", 1],
    ["/profile?seconds=300", 300],
  ])("%s is a CPU profile as Node's tools read it, of %d s", async (path, seconds) => {
    const { status, headers, body } = await profileOf(path, seconds);
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "content-disposition": 'attachment; filename="profile.cpuprofile"',
    });
    const profile = JSON.parse(body);
    expect(profile).toMatchObject({ startTime: expect.any(Number), endTime: expect.any(Number) });
    expect(profile.nodes[0].callFrame.functionName).toBe("(root)");
  });

  it("/heap is a sampling heap profile, without what the heap holds", async () => {
    const held: string[][] = [];
    const answer = ask("/heap?seconds=2");
    await state("the profile to begin", () => clock.pending === 1);
    for (let index = 0; index < 50; index++) held.push(new Array<string>(10_000).fill("the secret key"));
    clock.advance(2000);
    const { status, headers, body } = await answer;
    expect(status).toBe(200);
    expect(headers["content-disposition"]).toBe('attachment; filename="heap.heapprofile"');
    expect(JSON.parse(body)).toMatchObject({ head: { callFrame: { functionName: "(root)" } } });
    expect(JSON.parse(body).samples.length).toBeGreaterThan(0);
    expect(body).not.toContain("the secret key");
    expect(held).toHaveLength(50);
  });

  it.each(["0", "301", "-1", "1.5", "x", "", "1e2"])("refuse seconds=%s", async (seconds) => {
    const answer = await ask(`/profile?seconds=${seconds}`);
    expect(answer).toMatchObject({ status: 400, body: "seconds must be a whole number from 1 to 300\n" });
  });

  it("refuse a second profile while the first is being taken, and take one afterwards", async () => {
    const first = ask("/profile");
    await state("the profile to begin", () => clock.pending === 1);
    for (const path of ["/profile", "/heap?seconds=1"]) {
      const answer = await ask(path);
      expect(answer).toMatchObject({
        status: 409,
        body: "another profile is being taken: try again when it is done\n",
      });
    }
    clock.advance(30_000);
    expect((await first).status).toBe(200);
    expect((await profileOf("/heap?seconds=1", 1)).status).toBe(200);
  });

  it("end a profile whose client has left", async () => {
    const left = send("/profile?seconds=300").on("error", () => {});
    await state("the profile to begin", () => clock.pending === 1);
    left.destroy();
    await state("the profile to end", () => !profiler.busy);
    expect(clock.pending).toBe(0);
    expect((await profileOf("/profile?seconds=1", 1)).status).toBe(200);
  });

  it.each(["allocs", "block", "cmdline", "goroutine", "mutex", "symbol", "threadcreate", "trace"])(
    "say what Node has instead of %s",
    async (name) => {
      const { status, body } = await ask(`/${name}`);
      expect(status).toBe(501);
      expect(body).toMatch(new RegExp(`^There is no profile "${name}" of a Node process: .+\\.\\n$`));
    },
  );

  it("are no others", async () => {
    expect((await ask("/nothing")).status).toBe(404);
  });
});
