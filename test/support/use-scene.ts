import { afterAll, afterEach, beforeAll } from "vitest";
import { type Endpoint, echoEndpoint } from "./endpoints.ts";
import { Scene, type SceneStart } from "./scene.ts";

/**
 * Gives the tests of a file, or of one `describe`, a scene with transfers beside: after each test they must move on, at the
 * end each byte must have arrived.
 */
export function useScene(start: SceneStart, use: (scene: Scene) => void): void {
  let scene: Scene | undefined;
  beforeAll(async () => {
    scene = await Scene.start(start);
    use(scene);
    await scene.startTransfers();
  });
  afterEach(() => scene?.settle());
  afterAll(() => scene?.stop());
}

/** Gives the same tests an endpoint that echoes. Called before `useScene`, it outlives the scene. */
export function useEcho(use: (echo: Endpoint) => void): void {
  let echo: Endpoint | undefined;
  beforeAll(async () => {
    echo = await echoEndpoint();
    use(echo);
  });
  afterAll(() => echo?.close());
}
