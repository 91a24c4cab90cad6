import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bannerEndpoint, type Endpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { Scene } from "../support/scene.ts";
import { seededBytes } from "../support/seeded-bytes.ts";

const connectionCount = 300;
const atOnce = 30;

describe.each(["grpc", "connect"] as const)("by %s", (protocol) => {
  const banner = Buffer.concat([...seededBytes(7, 2_000)]);
  let scene: Scene;
  let endpoint: Endpoint;
  beforeAll(async () => {
    scene = await Scene.start({ frontend: { protocol, transport: "uds" } });
    endpoint = await bannerEndpoint(banner);
  });
  afterEach(() => scene.settle());
  afterAll(async () => {
    await scene.stop();
    await endpoint.close();
  });

  test(`${connectionCount} connections to an endpoint that speaks first lose no byte`, async () => {
    const complete = async () => {
      const connection = await scene.connection(endpoint.address);
      const heard = await readBytes(connection.duplex, banner.length);
      await connection.close();
      return heard.equals(banner);
    };
    const results: boolean[] = [];
    while (results.length < connectionCount) {
      results.push(...(await Promise.all(Array.from({ length: atOnce }, complete))));
    }
    expect(results.filter((isComplete) => !isComplete).length).toBe(0);
    expect(endpoint.acceptedCount).toBe(connectionCount);
  });
});
