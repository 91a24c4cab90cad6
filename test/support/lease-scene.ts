import { writeFileSync } from "node:fs";
import { FakeKubeApi } from "./fake-kube-api.ts";
import { FakeLeaseApi } from "./fake-lease-api.ts";
import { LeaseFleet, leaseOf } from "./lease-fleet.ts";
import { RoundRobin } from "./round-robin.ts";
import { serveLeases } from "./serve-leases.ts";
import { Workspace } from "./workspace.ts";

/** A fleet whose leases are in memory. */
export class LeaseScene extends LeaseFleet {
  readonly leases = new FakeLeaseApi();
  readonly api: FakeKubeApi;
  readonly workspace: Workspace;
  #apiIsUp = true;

  private constructor(api: FakeKubeApi, workspace: Workspace, balancer: RoundRobin, serverFlags: readonly string[]) {
    const kubeconfig = workspace.path("kubeconfig");
    // The reference speaks protobuf by default.
    const flags = [`--kubeconfig=${kubeconfig}`, "--kube-api-content-type=application/json"];
    super({ workspace, balancer, flags: { server: [...flags, ...serverFlags], agent: flags } });
    this.api = api;
    this.workspace = workspace;
    serveLeases(api, this.leases);
    writeFileSync(kubeconfig, api.kubeconfig());
  }

  static async start(serverFlags: readonly string[] = []): Promise<LeaseScene> {
    return new LeaseScene(await FakeKubeApi.start(), new Workspace(), await RoundRobin.start(), serverFlags);
  }

  async hasLease(id: number): Promise<void> {
    await this.until(`the lease of server ${id}`, () => this.leases.lease(leaseOf(id)));
  }

  /** Refuses connections, and drops those that stand. */
  async stopApi(): Promise<void> {
    this.#apiIsUp = false;
    await this.api.close();
  }

  async restartApi(): Promise<void> {
    await this.api.listen();
    this.#apiIsUp = true;
  }

  override async stop(): Promise<void> {
    await super.stop();
    if (this.#apiIsUp) await this.stopApi();
    this.workspace.remove();
  }
}
