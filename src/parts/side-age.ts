/** Renewed every 100 ms; five missed renewals are a work thread that stands still. */
export const SIDE_AGE_MS_MAX = 500;

/**
 * Watches the age of what the work thread lets ride with heartbeat answers. The core goes on answering when the work thread
 * hangs; its last verdicts, said again and again, would be a witness for ever: against a host, or for one that is down.
 */
export function createSideAge(now: () => number): {
  renewed(): void;
  /** True once when the payload in use has become too old: it must be taken out. */
  isOver(): boolean;
} {
  let renewedAt: number | undefined;
  return {
    renewed: () => {
      renewedAt = now();
    },
    isOver: () => {
      if (renewedAt === undefined || now() - renewedAt <= SIDE_AGE_MS_MAX) return false;
      renewedAt = undefined;
      return true;
    },
  };
}
