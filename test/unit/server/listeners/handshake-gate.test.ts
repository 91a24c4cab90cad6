import { describe, expect, it } from "vitest";
import { HandshakeGate } from "../../../../server/listeners/handshake-gate.ts";
import { FakeSocket } from "../../../support/fake-socket.ts";

function gated(limits: { readonly max: number; readonly perSourceMax: number }) {
  const refused: string[] = [];
  const gate = new HandshakeGate(limits, { onRefused: (source) => refused.push(source) });
  const enter = (address: string, port: number) => {
    const socket = new FakeSocket(address, port);
    gate.enter(socket.asSocket);
    return socket;
  };
  return { gate, refused, enter };
}

describe("what is over a limit", () => {
  it("costs the source that has its share its own oldest", () => {
    const { gate, refused, enter } = gated({ max: 10, perSourceMax: 2 });
    const other = enter("10.0.0.1", 1);
    const [first, second] = [enter("10.0.0.2", 1), enter("10.0.0.2", 2)];
    const third = enter("10.0.0.2", 3);
    expect([other, first, second, third].map(({ destroyed }) => destroyed)).toEqual([false, true, false, false]);
    expect(refused).toEqual(["10.0.0.2"]);
    expect(gate.unfinished).toBe(3);
  });

  it("costs the oldest of all when the whole is full", () => {
    const { gate, refused, enter } = gated({ max: 2, perSourceMax: 2 });
    const sockets = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((address) => enter(address, 1));
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
    const { gate, enter } = gated({ max: 10, perSourceMax: 1 });
    const first = enter("10.0.0.1", 1);
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
