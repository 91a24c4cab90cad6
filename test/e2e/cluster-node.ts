import { existsSync, readFileSync } from "node:fs";
import { run } from "../netns/tools.ts";
import { buildKubernetes } from "../support/kube-api-processes.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { until } from "../support/until.ts";
import { makeCgroup, removeCgroup } from "./cgroups.ts";
import { type NodeSite, onNode } from "./network.ts";
import { type NodeFiles, type NodeSetting, writeNodeFiles } from "./node-files.ts";

const startWithinMs = 60_000;

/** The first process of a node. What is mounted here is seen by this node alone, and goes with it. */
const runContainerd = `
mount -t tmpfs tmpfs /run || exit 125
mount --bind "$1" /var/lib || exit 125
mount --bind "$2" /var/log || exit 125
containerd --config "$3" &
wait
`;

export interface NodeStart extends Omit<NodeSetting, "cgroup"> {
  /** In which the node makes its own. */
  readonly cgroup: string;
  /** Archive with what its pods run. */
  readonly image: string;
}

/** containerd and kubelet in a node's network, with mounts and processes of their own. The end of the first process is that of all of them. */
export class ClusterNode {
  readonly site: NodeSite;
  readonly files: NodeFiles;
  readonly #cgroup: string;
  readonly #root: ManagedProcess;
  #kubelet: ManagedProcess | undefined;

  private constructor(site: NodeSite, files: NodeFiles, cgroup: string) {
    this.site = site;
    this.files = files;
    this.#cgroup = cgroup;
    const own = ["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    const paths = [files.lib, files.log, files.containerdConfig];
    this.#root = new ManagedProcess(
      `containerd of ${site.name}`,
      onNode(site, { file: "unshare", args: [...own, "sh", "-c", runContainerd, "sh", ...paths] }),
    );
    this.#root.stdout.resume();
  }

  /** Starts containerd and gives it the image. Leaves nothing behind if it fails. */
  static async start({ image, ...start }: NodeStart): Promise<ClusterNode> {
    const cgroup = `${start.cgroup}/${start.site.name}`;
    makeCgroup(cgroup);
    const node = new ClusterNode(start.site, writeNodeFiles({ ...start, cgroup: `/${cgroup}` }), cgroup);
    try {
      await until(`${node.#root.name}: its socket`, () => existsSync(node.files.socket), node.#alive());
      await node.importImages(image);
      return node;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  /** Takes all images of an archive. */
  async importImages(archive: string): Promise<void> {
    await run("ctr", "--address", this.files.socket, "--namespace", "k8s.io", "images", "import", archive);
  }

  /** Starts kubelet, which registers the node; also after `stopKubelet`. Pods know nothing of it. */
  async startKubelet(kubeconfig: string): Promise<void> {
    const { name, address } = this.site;
    const args = [
      `--config=${this.files.kubeletConfig}`,
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${name}`,
      `--node-ip=${address}`,
    ];
    const inside = [`--target=${onlyChildOf(this.#root)}`, "--mount", "--pid"];
    const kubelet = new ManagedProcess(
      `kubelet of ${name}`,
      onNode(this.site, { file: "nsenter", args: [...inside, await buildKubernetes("kubelet"), ...args] }),
    );
    kubelet.stdout.resume();
    this.#kubelet = kubelet;
  }

  /** Kills kubelet alone. */
  async stopKubelet(): Promise<void> {
    if (this.#kubelet === undefined) return;
    process.kill(onlyChildOf(this.#kubelet), "SIGKILL");
    await this.#kubelet.exited;
  }

  describe(): string {
    return [this.#root.describe(), this.#kubelet?.describe()].join("\n");
  }

  /** Ends all of its processes, pods included, and removes their cgroups. */
  async stop(): Promise<void> {
    await this.#root.stop();
    await this.#kubelet?.stop();
    await removeCgroup(this.#cgroup);
  }

  #alive() {
    return { withinMs: startWithinMs, signal: this.#root.gone, describe: () => this.describe() };
  }
}

/** The pid of what `unshare` or `nsenter` has started. */
function onlyChildOf(parent: ManagedProcess): number {
  const children = readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8");
  const pid = Number.parseInt(children, 10);
  if (Number.isNaN(pid)) throw new Error(`${parent.describe()}\nhas started nothing`);
  return pid;
}
