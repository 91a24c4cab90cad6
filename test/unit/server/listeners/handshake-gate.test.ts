import { describe, expect, it } from "vitest";
import { HandshakeGate, handshakeHeldMs, silentHeldMs } from "../../../../server/listeners/handshake-gate.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeSocket } from "../../../support/fake-socket.ts";

function gated(limits: { readonly max: number; readonly perSourceMax: number }) {
  const refused: string[] = [];
  const clock = new FakeClock();
  const gate = new HandshakeGate(limits, { clock, onRefused: (source) => refused.push(source) });
  const enter = (address: string, port: number) => {
    const socket = new FakeSocket(address, port);
    expect(gate.enter(socket.asSocket)).toBe(!socket.destroyed);
    return socket;
  };
  return { clock, gate, refused, enter };
}

describe("what is over a limit", () => {
  it("costs who comes its connection, while the others may still finish", () => {
    const { clock, gate, refused, enter } = gated({ max: 3, perSourceMax: 2 });
    const first = enter("10.0.0.1", 1);
    first.bytesRead = 1;
    clock.advance(handshakeHeldMs - 1);
    const [second, third] = [enter("10.0.0.1", 2), enter("10.0.0.1", 3)];
    const [other, fourth] = [enter("10.0.0.2", 1), enter("10.0.0.3", 1)];
    const sockets = [first, second, third, other, fourth];
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, false, true, false, true]);
    expect(refused).toEqual(["10.0.0.1", "10.0.0.3"]);
    gate.finished(first.asSocket);
    expect(enter("10.0.0.1", 4).destroyed).toBe(false);
    expect(gate.unfinished).toBe(3);
  });

  it("costs the source that has its share its own oldest once that has had its time", () => {
    const { clock, gate, refused, enter } = gated({ max: 10, perSourceMax: 2 });
    const other = enter("10.0.0.1", 1);
    const [first, second] = [enter("10.0.0.2", 1), enter("10.0.0.2", 2)];
    clock.advance(handshakeHeldMs);
    const third = enter("10.0.0.2", 3);
    expect([other, first, second, third].map(({ destroyed }) => destroyed)).toEqual([false, true, false, false]);
    expect(refused).toEqual(["10.0.0.2"]);
    expect(gate.unfinished).toBe(3);
  });

  it("costs one that has sent nothing its place sooner than an older one that has", () => {
    const { clock, enter } = gated({ max: 10, perSourceMax: 2 });
    const [first, second] = [enter("10.0.0.2", 1), enter("10.0.0.2", 2)];
    first.bytesRead = 1;
    clock.advance(silentHeldMs);
    const third = enter("10.0.0.2", 3);
    expect([first, second, third].map(({ destroyed }) => destroyed)).toEqual([false, true, false]);
  });

  it("costs the oldest of all, likewise, when the whole is full", () => {
    const { clock, gate, refused, enter } = gated({ max: 2, perSourceMax: 2 });
    const before = ["10.0.0.1", "10.0.0.2"].map((address) => enter(address, 1));
    clock.advance(handshakeHeldMs);
    const sockets = [...before, enter("10.0.0.3", 1)];
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, false, false]);
    expect(refused).toEqual(["10.0.0.1"]);
    expect(gate.unfinished).toBe(2);
  });
});

describe("a handshake counts no more", () => {
  it("once it is finished", () => {
    const { gate, enter } = gated({ max: 10, perSourceMax: 1 });
    const raw = enter("10.0.0.1", 1);
    gate.finished(raw.asSocket);
    expect(gate.unfinished).toBe(0);
    enter("10.0.0.1", 2);
    expect(raw.destroyed).toBe(false);
    raw.emit("close");
    expect(gate.unfinished).toBe(1);
  });

  it("once its socket has closed, whatever comes after that", () => {
    const { gate, enter, refused } = gated({ max: 10, perSourceMax: 1 });
    for (let port = 1; port < 100; port += 1) {
      const socket = enter("10.0.0.1", port);
      socket.emit("close");
      gate.finished(socket.asSocket);
    }
    expect([gate.unfinished, refused.length]).toEqual([0, 0]);
  });

  it("once it was evicted", () => {
    const { clock, gate, enter } = gated({ max: 10, perSourceMax: 1 });
    const first = enter("10.0.0.1", 1);
    clock.advance(handshakeHeldMs);
    const second = enter("10.0.0.1", 2);
    first.emit("close");
    second.emit("close");
    expect(gate.unfinished).toBe(0);
  });
});

it("keeps count when a peer's port is used again before the old socket has closed", () => {
  const { gate, enter, refused } = gated({ max: 100, perSourceMax: 2 });
  for (let round = 0; round < 10; round += 1) {
    const old = enter("10.0.0.1", 1);
    const again = enter("10.0.0.1", 1);
    old.emit("close");
    expect(gate.unfinished).toBe(1);
    again.emit("close");
    expect(gate.unfinished).toBe(0);
  }
  const [one, two] = [enter("10.0.0.1", 2), enter("10.0.0.1", 3)];
  expect([one.destroyed, two.destroyed, refused.length]).toEqual([false, false, 0]);
});
