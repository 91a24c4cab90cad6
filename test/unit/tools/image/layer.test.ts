import { expect, it } from "vitest";
import { textFile } from "../../../../tools/image/image-file.ts";
import { layerOf } from "../../../../tools/image/layer.ts";

const files = [textFile("/a/program", "one", 0o755), textFile("/a/b/text", "two"), textFile("/c", "three")];

it("the order in which files come does not change a layer", async () => {
  const layer = await layerOf(files);
  expect((await layerOf(files.toReversed())).digest).toBe(layer.digest);
});

it("contents, modes and paths do", async () => {
  const { digest } = await layerOf(files);
  const rest = files.slice(1);
  for (const other of [
    textFile("/a/program", "One", 0o755),
    textFile("/a/program", "one"),
    textFile("/a/name", "one", 0o755),
  ]) {
    expect((await layerOf([other, ...rest])).digest).not.toBe(digest);
  }
});
