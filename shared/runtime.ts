import { setDefaultHighWaterMark } from "node:stream";
import { systemClock } from "./clock.ts";
import { giveGarbageRoom } from "./garbage-room.ts";

/** What Node 22 and later have by themselves; with the 16 KiB of Node 20 a connection in bulk stops and goes on for every piece. */
const streamMarkBytes = 64 * 1024;

/** Sets for this process what Node would have otherwise. Each half and each worker calls it once, before it opens a socket. */
export function prepareRuntime(): void {
  giveGarbageRoom(systemClock);
  setDefaultHighWaterMark(false, streamMarkBytes);
}
