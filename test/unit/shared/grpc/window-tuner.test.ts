import { EventEmitter } from "node:events";
import type { Http2Session, Settings } from "node:http2";
import { describe, expect, it } from "vitest";
import { SettingsSender } from "../../../../shared/grpc/settings-sender.ts";
import { WindowTuner, windowsFor } from "../../../../shared/grpc/window-tuner.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const [kibibyte, mebibyte] = [1024, 1024 * 1024];

/** As much of a session as a tuner uses. The test answers its pings. */
class FakeSession extends EventEmitter {
  destroyed = false;
  readonly settingsSent: Settings[] = [];
  readonly connectionWindows: number[] = [];
  readonly #pings: ((error: Error | null, durationMs: number) => void)[] = [];

  ping(callback: (error: Error | null, durationMs: number) => void): void {
    this.#pings.push(callback);
  }

  get pingCount(): number {
    return this.#pings.length;
  }

  answer(durationMs: number): void {
    this.#pings.shift()?.(null, durationMs);
  }

  fail(): void {
    this.#pings.shift()?.(new Error("cancelled"), 0);
  }

  settings(settings: Settings): void {
    this.settingsSent.push(settings);
    this.emit("localSettings", settings);
  }

  setLocalWindowSize(bytes: number): void {
    this.connectionWindows.push(bytes);
  }
}

function scene() {
  const clock = new FakeClock();
  const session = new FakeSession();
  const http2 = session as unknown as Http2Session;
  const settings = new SettingsSender(http2);
  session.emit("localSettings", {});
  return { clock, session, tuner: new WindowTuner({ clock, session: http2, settings }) };
}

/** Answers the pings of the start, each as late; the next has gone out then. */
function answerFirst(
  { clock, session }: Pick<ReturnType<typeof scene>, "clock" | "session">,
  durationMs: number,
): void {
  for (let ping = 1; ping <= 16; ping++) {
    session.answer(durationMs);
    clock.advance(ping < 16 ? 500 : 15_000);
  }
}

it.each([
  [0, 256 * kibibyte, mebibyte],
  [0.2, 256 * kibibyte, mebibyte],
  [1, 600_000, mebibyte],
  [10, 6_000_000, 6_000_000],
  [100, 16 * mebibyte, 16 * mebibyte],
  [60_000, 16 * mebibyte, 16 * mebibyte],
])("R-1.3: a round trip of %d ms wants windows of %d and %d bytes", (roundTripMs, streamBytes, connectionBytes) => {
  expect(windowsFor(roundTripMs)).toEqual({ streamBytes, connectionBytes });
});

describe("tuning", () => {
  it("pings eight times within a second and sixteen times within five, then every 15 s, also where nothing answers", () => {
    const { clock, session } = scene();
    clock.advance(700);
    expect(session.pingCount).toBe(8);
    clock.advance(4_000);
    expect(session.pingCount).toBe(16);
    clock.advance(14_999);
    expect(session.pingCount).toBe(16);
    clock.advance(1);
    expect(session.pingCount).toBe(17);
  });

  it("R-1.3: widens no window for the first pings, which wait behind two processes that begin", () => {
    const { clock, session, tuner } = scene();
    for (const durationMs of [30, 20, 12, 9]) {
      session.answer(durationMs);
      clock.advance(100);
    }
    expect(session.settingsSent).toEqual([]);
    session.answer(0.3);
    expect(session.settingsSent).toEqual([{ initialWindowSize: 256 * kibibyte }]);
    expect(tuner.roundTripMs).toBe(0.3);
  });

  it("gives a path that is long by all of the first pings its window", () => {
    const { clock, session } = scene();
    answerFirst({ clock, session }, 10);
    expect(session.settingsSent).toEqual([{ initialWindowSize: 6_000_000 }]);
  });

  it("goes by the shortest round trip, so that a peer that is late now and then holds nothing more", () => {
    const { clock, session, tuner } = scene();
    answerFirst({ clock, session }, 10);
    session.answer(1);
    clock.advance(15_000);
    session.answer(500);
    expect(tuner.roundTripMs).toBe(1);
    expect(session.settingsSent).toEqual([{ initialWindowSize: 6_000_000 }, { initialWindowSize: 600_000 }]);
    expect(session.connectionWindows).toEqual([6_000_000, mebibyte]);
  });

  it("changes nothing for a difference that is not worth a frame", () => {
    const { clock, session } = scene();
    answerFirst({ clock, session }, 10);
    session.answer(9);
    expect(session.settingsSent).toHaveLength(1);
  });

  it("learns nothing from a ping that failed, or that comes back when the session has gone", () => {
    const { clock, session, tuner } = scene();
    session.fail();
    clock.advance(100);
    session.destroyed = true;
    session.answer(10);
    expect([tuner.roundTripMs, session.settingsSent]).toEqual([undefined, []]);
    clock.advance(60_000);
    expect(session.pingCount).toBe(0);
  });

  it("ends with stop", () => {
    const { clock, session, tuner } = scene();
    tuner.stop();
    clock.advance(60_000);
    expect([session.pingCount, clock.pending]).toEqual([1, 0]);
  });
});
