import { execFileSync } from "node:child_process";
import type { Command } from "../support/managed-process.ts";
import { run } from "./tools.ts";

/** Addresses of the two ends of the wire between the namespace of the tests and that of a node. */
export const controlPlaneAddress = "10.202.0.1";
export const nodeAddress = "10.202.0.2";

const wire = "hw-node";

/** A network namespace in a node's place, so that both halves can have the ports that manifests give them. */
export class NodeNamespace {
  readonly #name: string;
  readonly #removeAtExit = () => {
    execFileSync("ip", ["netns", "delete", this.#name]);
  };

  private constructor(name: string) {
    this.#name = name;
    process.on("exit", this.#removeAtExit);
  }

  /** Needs root. There is one at a time. */
  static async create(): Promise<NodeNamespace> {
    const name = `hawser-node-${process.pid}`;
    await run("ip", "netns", "add", name);
    const node = new NodeNamespace(name);
    try {
      await run("ip", "link", "add", wire, "type", "veth", "peer", "name", wire, "netns", name);
      await run("ip", "address", "add", `${controlPlaneAddress}/30`, "dev", wire);
      await run("ip", "link", "set", wire, "up");
      await run("ip", "-n", name, "address", "add", `${nodeAddress}/30`, "dev", wire);
      for (const device of ["lo", wire]) await run("ip", "-n", name, "link", "set", device, "up");
      return node;
    } catch (error) {
      await node.remove();
      throw error;
    }
  }

  /** `ip` becomes the command, so that the child's pid is the command's own. */
  command({ file, args, ...rest }: Command): Command {
    return { file: "ip", args: ["netns", "exec", this.#name, file, ...args], ...rest };
  }

  /** Its processes have ended before. */
  async remove(): Promise<void> {
    process.off("exit", this.#removeAtExit);
    await run("ip", "netns", "delete", this.#name);
    await run("ip", "link", "delete", wire).catch(() => {});
  }
}
