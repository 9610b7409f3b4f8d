/**
 * How much room a box's disk has for what the cluster writes, and what becomes of its reserve. PURE.
 *
 * enough → low (below LOW): the box does not lead. low → full (below FULL, or a write found no room): it gives its reserve
 * back to finish what it has acknowledged, and acknowledges nothing more. The ways back have a margin, so that a file that
 * comes and goes does not move leadership each time.
 */
export type RoomLevel = "enough" | "low" | "full";

const MIB = 1024 * 1024;
/** Given back on a full disk: two log segments, or SQLite's log of what waits to be applied. */
export const RESERVE_BYTES = 32 * MIB;
/** A box with less room does not lead: some four segments, minutes of heavy writing and time for a person. */
export const LOW_BYTES = 64 * MIB;
/** A box with less room takes no more entries: one segment, so that votes and what is under way still fit. */
export const FULL_BYTES = 16 * MIB;
/** What must be free beyond a threshold before it counts as left behind. */
export const MARGIN_BYTES = 16 * MIB;

export interface RoomState {
  readonly level: RoomLevel;
  readonly hasReserve: boolean;
}

export type RoomEvent =
  | { readonly kind: "measured"; readonly freeBytes: number }
  /** The kernel or SQLite refused a write for want of room. */
  | { readonly kind: "write-refused" }
  | { readonly kind: "reserve-made" };

export type RoomEffect = "release-reserve" | "make-reserve";

export const ROOM_AT_START: RoomState = { level: "enough", hasReserve: false };

export function step(
  state: RoomState,
  event: RoomEvent,
): { readonly state: RoomState; readonly effects: readonly RoomEffect[] } {
  switch (event.kind) {
    case "reserve-made":
      return { state: { ...state, hasReserve: true }, effects: [] };
    case "write-refused":
      return settled({ ...state, level: "full" });
    case "measured": {
      // What the reserve is to take again is not free.
      const roomBytes = event.freeBytes - (state.hasReserve ? 0 : RESERVE_BYTES);
      return settled({ ...state, level: levelOf(state.level, roomBytes) });
    }
  }
}

function levelOf(before: RoomLevel, roomBytes: number): RoomLevel {
  const full = before === "full" ? FULL_BYTES + MARGIN_BYTES : FULL_BYTES;
  const low = before === "enough" ? LOW_BYTES : LOW_BYTES + MARGIN_BYTES;
  if (roomBytes < full) return "full";
  return roomBytes < low ? "low" : "enough";
}

function settled(state: RoomState): ReturnType<typeof step> {
  if (state.level === "full" && state.hasReserve)
    return { state: { ...state, hasReserve: false }, effects: ["release-reserve"] };
  if (state.level === "enough" && !state.hasReserve) return { state, effects: ["make-reserve"] };
  return { state, effects: [] };
}
