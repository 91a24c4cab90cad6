import type { Log } from "../log.ts";
import type { HttpAnswer, HttpHandler, HttpQuestion, HttpRoutes } from "./listener.ts";
import type { ProfileKind, Profiler } from "./profiler.ts";

const folder = "/debug/pprof/";
/** Go's. */
const defaultSeconds = 30;
const maxSeconds = 300;

const kinds = {
  cpu: { page: "profile", file: "profile.cpuprofile", what: "where the processor's time goes" },
  heap: { page: "heap", file: "heap.heapprofile", what: "what is allocated meanwhile, and still held at the end" },
} as const satisfies Record<ProfileKind, unknown>;

/** Go's other pages, and what there is in their place. */
const absent: Readonly<Record<string, string>> = {
  allocs: `Node samples what is still held: ${folder}heap`,
  block: `Node blocks on nothing but its own work: ${folder}profile shows it, nodejs_eventloop_lag_seconds in /metrics measures it`,
  cmdline: "the log's first line has every flag",
  goroutine: "Node has no goroutines: nodejs_active_resources in /metrics counts what is open",
  mutex: "Node's one thread waits for no lock",
  symbol: "profiles of Node name their functions themselves",
  threadcreate: "Node makes its few threads at the start",
  trace: `Node traces by its own flag --trace-event-categories; ${folder}profile is the nearest`,
};

/** Where Go's `net/http/pprof` has its pages: profiles in Node's formats, taken for as long as `?seconds=` says. */
export function profilingRoutes(deps: { readonly profiler: Profiler; readonly log: Log }): HttpRoutes {
  return new Map<string, HttpHandler>([
    ["/debug/pprof", () => ({ status: 301, body: "", headers: { Location: folder } })],
    [folder, () => ({ status: 200, body: index, headers: { "Content-Type": "text/html; charset=utf-8" } })],
    [`${folder}profile`, (question) => profile(deps, "cpu", question)],
    [`${folder}heap`, (question) => profile(deps, "heap", question)],
    ...Object.entries(absent).map(([name, instead]): readonly [string, HttpHandler] => [
      folder + name,
      () => ({ status: 501, body: `There is no profile "${name}" of a Node process: ${instead}.\n` }),
    ]),
  ]);
}

async function profile(
  { profiler, log }: { readonly profiler: Profiler; readonly log: Log },
  kind: ProfileKind,
  { query, signal }: HttpQuestion,
): Promise<HttpAnswer> {
  const text = query.get("seconds") ?? String(defaultSeconds);
  const seconds = Number(text);
  if (!/^\d{1,3}$/.test(text) || seconds < 1 || seconds > maxSeconds) {
    return { status: 400, body: `seconds must be a whole number from 1 to ${maxSeconds}\n` };
  }
  if (profiler.busy) return { status: 409, body: "another profile is being taken: try again when it is done\n" };
  log.info({ kind, seconds }, "taking a profile");
  const body = await profiler.take(kind, { seconds, signal });
  log.info({ kind, bytes: body.length, cutShort: signal.aborted }, "took a profile");
  const disposition = `attachment; filename="${kinds[kind].file}"`;
  return {
    status: 200,
    body,
    headers: {
      "Content-Type": "application/json",
      "Content-Disposition": disposition,
      "X-Content-Type-Options": "nosniff",
    },
  };
}

const index = `<!DOCTYPE html>
<html><head><title>${folder}</title></head><body>
<p>Profiles of this process. Add <code>?seconds=N</code>, 1 to ${maxSeconds}; ${defaultSeconds} if left out. One at a time.
They open in the developer tools of Chrome and in editors that read Node's formats.</p>
<ul>
${Object.values(kinds)
  .map(({ page, file, what }) => `<li><a href="${page}">${page}</a>: ${what} (${file})</li>`)
  .join("\n")}
</ul></body></html>
`;
