import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openKubernetesApi } from "../../../../shared/kubernetes/open-api.ts";
import { ConnectProxy } from "../../../support/connect-proxy.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeKubeApi } from "../../../support/fake-kube-api.ts";
import { LogLines } from "../../../support/log-lines.ts";

let api: FakeKubeApi;
let proxy: ConnectProxy;
let folder: string;
let lines: LogLines;
beforeEach(async () => {
  api = await FakeKubeApi.start();
  proxy = await ConnectProxy.start();
  folder = mkdtempSync(join(tmpdir(), "hw-api-"));
  lines = new LogLines();
});
afterEach(async () => {
  await proxy.stop();
  await api.close();
  rmSync(folder, { recursive: true });
});

/** A client for the API under the name that a proxy is asked for, unless NO_PROXY has it. */
function open(httpsProxy: string, noProxy = "", host = "kubernetes.default.svc") {
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(kubeconfig, api.kubeconfig().replace(api.url, `https://${host}:${api.port}`));
  return openKubernetesApi(
    { clock: new FakeClock(), log: lines.log },
    { kubeconfig, service: { host: "", port: "" }, proxies: { httpsProxy, noProxy }, qps: -1, burst: 1 },
  );
}

it("reaches kube-apiserver through the environment's proxy, and says so", async () => {
  const client = await open(proxy.url);
  await client.request("GET", "/x");
  expect(proxy.requests).toHaveLength(1);
  expect(lines.of("info")).toEqual(["kube-apiserver is reached through a proxy"]);
  client.close();
});

it("reaches it directly where the environment says so", async () => {
  const client = await open(proxy.url, "127.0.0.0/8", "127.0.0.1");
  await client.request("GET", "/x");
  client.close();
  expect(proxy.requests).toEqual([]);
  expect(lines.of("info")).toEqual([]);
});

it("refuses a proxy whose kind it does not speak, unless it is not asked to", async () => {
  await expect(open("https://proxy:3128")).rejects.toThrow("HTTPS_PROXY names a proxy of kind https");
  (await open("https://proxy:3128", "kubernetes.default.svc")).close();
});
