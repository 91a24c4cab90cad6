import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "../support/managed-process.ts";

/** Folders of which a process sees its own and not the machine's. */
const folders = ["etc", "var/log", "var/run"] as const;
const mountAll = `root=$1; shift; for folder in ${folders.join(" ")}; do mount --bind "$root/$folder" "/$folder" || exit 125; done; exec "$@"`;

/** /etc, /var/log and /var/run as in a container, for processes that are told fixed paths in them. Needs root. */
export class OwnFiles {
  readonly #root: string;

  /** `root` need not be there. `hosts` are lines of /etc/hosts. */
  constructor(root: string, hosts: readonly string[]) {
    this.#root = root;
    for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
    this.write("/etc/hosts", ["127.0.0.1 localhost", ...hosts, ""].join("\n"));
    this.write("/etc/nsswitch.conf", "hosts: files\n");
  }

  /** Makes the folders on the way. */
  write(path: string, text: string): void {
    this.makeFolder(dirname(path));
    writeFileSync(this.outside(path), text);
  }

  makeFolder(path: string): void {
    mkdirSync(this.outside(path), { recursive: true });
  }

  read(path: string): string {
    return readFileSync(this.outside(path), "utf8");
  }

  /** Where the tests find what the processes know under this path. */
  outside(path: string): string {
    return join(this.#root, path);
  }

  /** A command that sees these files; the child's pid is the command's own. */
  command({ file, args, ...rest }: Command): Command {
    return { file: "unshare", args: ["--mount", "sh", "-c", mountAll, "sh", this.#root, file, ...args], ...rest };
  }
}
