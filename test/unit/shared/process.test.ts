import { expect, it } from "vitest";
import { watchSignals } from "../../../shared/process.ts";

it("tells the first and the second signal apart, whichever they are, and listens no more after stop", async () => {
  const before = { SIGTERM: process.listenerCount("SIGTERM"), SIGINT: process.listenerCount("SIGINT") };
  const signals = watchSignals();
  process.emit("SIGTERM", "SIGTERM");
  process.emit("SIGINT", "SIGINT");
  process.emit("SIGTERM", "SIGTERM");
  expect([await signals.first, await signals.second]).toEqual(["SIGTERM", "SIGINT"]);
  signals.stop();
  expect({ SIGTERM: process.listenerCount("SIGTERM"), SIGINT: process.listenerCount("SIGINT") }).toEqual(before);
});
