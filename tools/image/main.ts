// Makes images of both halves without Docker: `npm run image -- [--out FILE]`. What is in them is this repository's build and
// production dependencies, and the Node that runs this, with its libraries.
import { mkdirSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { UsageError } from "../../shared/errors.ts";
import { reportStartFailure } from "../../shared/process.ts";
import { version } from "../../shared/version.ts";
import { halfBuild, productionDependencies, sharedBuild } from "./application.ts";
import { writeArchive } from "./archive.ts";
import { type Image, imageOf, platformOf } from "./image.ts";
import { halves } from "./image-layout.ts";
import { layerOf } from "./layer.ts";
import { nodeRuntime } from "./node-runtime.ts";
import { repositoryRoot as root } from "./repository-root.ts";

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => reportStartFailure("image", error));

async function main(argv: readonly string[]): Promise<0> {
  const platform = platformOf(process.arch);
  const out = parseOut(argv) ?? join(root, ".image", `hawser-${version}-linux-${platform.architecture}.tar`);
  // Lowest first is what changes least: a new build leaves Node and the dependencies where they are in a registry or on a node.
  const common = await Promise.all(
    [nodeRuntime(), productionDependencies(root), sharedBuild(root)].map((files) => layerOf(files)),
  );
  const images: Image[] = [];
  for (const half of halves) {
    images.push(imageOf(half, version, platform, [...common, await layerOf(halfBuild(root, half))]));
  }
  mkdirSync(dirname(out), { recursive: true });
  await writeArchive(out, images);
  process.stdout.write(`${images.map(describe).join("\n")}\n${relative("", out)}: ${mib(statSync(out).size)} in all\n`);
  return 0;
}

function parseOut(argv: readonly string[]): string | undefined {
  try {
    const { out } = parseArgs({ args: [...argv], options: { out: { type: "string" } } }).values;
    return out === undefined ? undefined : resolve(out);
  } catch (error) {
    throw new UsageError(`${(error as Error).message}. The only option is --out FILE`);
  }
}

function describe({ name, manifest, layers }: Image): string {
  const sum = (sizeOf: (layer: Image["layers"][number]) => number) =>
    layers.reduce((bytes, layer) => bytes + sizeOf(layer), 0);
  const packed = mib(sum(({ bytes }) => bytes.length));
  const unpacked = mib(sum(({ unpackedBytes }) => unpackedBytes));
  return `${name} ${manifest.digest}: ${packed}, ${unpacked} unpacked, with Node ${process.version}`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
