import { afterAll, afterEach, beforeAll } from "vitest";
import { echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { Scene, type SceneStart } from "../support/scene.ts";
import { Holdings } from "./holdings.ts";

interface LinkKind {
  readonly link: "lanes" | "the reference's link";
  readonly agentFlags: readonly string[];
}

/** Either kind of link between two halves of Hawser, with the flags that make agents use it. */
export const links: LinkKind[] = [
  { link: "lanes", agentFlags: [] },
  { link: "the reference's link", agentFlags: ["--link-protocol=konnectivity"] },
];

export const protocols = ["grpc", "connect"] as const;

/** A scene whose frontend takes either protocol, and whose halves have done once what they open something for and keep it. */
async function startScene(start: SceneStart): Promise<{ readonly scene: Scene; readonly holdings: Holdings }> {
  const { serverFlags = [], ...others } = start;
  const scene = await Scene.start({ ...others, serverFlags: ["--mode=auto", ...serverFlags] });
  try {
    const echo = await scene.endpoint(echoEndpoint());
    for (const protocol of protocols) {
      const { duplex } = await scene.connection(echo.address, protocol);
      duplex.write("warm");
      await readBytes(duplex, 4);
    }
    await scene.settle();
    return { scene, holdings: await Holdings.take(scene) };
  } catch (error) {
    await scene.discard();
    throw error;
  }
}

/**
 * Runs a fault on a scene of its own. What every fault must leave behind is asserted at the end: both halves live, no dial,
 * connection or client is left in any table, and neither holds a descriptor more than before.
 */
export async function onScene(start: SceneStart, fault: (scene: Scene) => Promise<void>): Promise<void> {
  const { scene, holdings } = await startScene(start);
  try {
    await fault(scene);
    await scene.settle();
    await holdings.regain();
  } finally {
    await scene.discard();
  }
}

/** The same for all tests of a file or of one `describe`, on one scene; asserted after each of them. */
export function useFaultScene(start: SceneStart, use: (scene: Scene) => void): void {
  let started: Awaited<ReturnType<typeof startScene>> | undefined;
  beforeAll(async () => {
    started = await startScene(start);
    use(started.scene);
  });
  afterEach(async () => {
    await started?.scene.settle();
    await started?.holdings.regain();
  });
  afterAll(() => started?.scene.discard());
}
