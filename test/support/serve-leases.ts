import type { ServerResponse } from "node:http";
import type { KubernetesApi } from "../../shared/kubernetes/api.ts";
import { KubernetesError } from "../../shared/kubernetes/api.ts";
import type { ApiCall, FakeKubeApi } from "./fake-kube-api.ts";
import type { FakeLeaseApi } from "./fake-lease-api.ts";

/** Lets leases in memory answer what comes to an HTTPS API, in the form that kube-apiserver has for it. */
export function serveLeases(api: FakeKubeApi, leases: FakeLeaseApi): void {
  api.script = (call) => (response) => {
    const query = Object.fromEntries(call.query);
    // A watch that begins with a list, which newer clients try first.
    if (query.sendInitialEvents !== undefined) return refuse(response, new KubernetesError(422, "Invalid", "unknown"));
    const answering =
      query.watch === "true" ? watch(leases, call, query, response) : answer(leases, call, query, response);
    answering.catch((error) => refuse(response, error));
  };
}

async function answer(
  leases: FakeLeaseApi,
  { method, path, body }: ApiCall,
  query: Readonly<Record<string, string>>,
  response: ServerResponse,
): Promise<void> {
  const verb = method as Parameters<KubernetesApi["request"]>[0];
  const result = await leases.request<object>(verb, path, { query, ...(body === undefined ? {} : { body }) });
  response.writeHead(verb === "POST" ? 201 : 200, { "content-type": "application/json" }).end(JSON.stringify(result));
}

async function watch(
  leases: FakeLeaseApi,
  { path }: ApiCall,
  { resourceVersion = "", ...query }: Readonly<Record<string, string>>,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new KubernetesError(0, "", "the client has left")));
  response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
  for await (const event of leases.watch(path, { query, resourceVersion, signal: gone.signal })) {
    response.write(`${JSON.stringify(event)}\n`);
  }
  response.end();
}

function refuse(response: ServerResponse, error: unknown): void {
  const { status, reason, message } = error as KubernetesError;
  const body = { kind: "Status", apiVersion: "v1", status: "Failure", code: status, reason, message };
  if (response.destroyed) return;
  if (response.headersSent) response.end(`${JSON.stringify({ type: "ERROR", object: body })}\n`);
  else response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
