/** Ways of a box to hang, by a root shell on it. */

/** T_hw of the image's box.conf, ms. */
export const HARDWARE_TIMEOUT_MS = 20_000;

export const HANGS = [
  {
    name: "a kernel that hangs",
    // A panic that nobody ends: interrupts are off, nothing runs.
    words: "sysctl -q -w kernel.panic=0; echo c >/proc/sysrq-trigger",
  },
  { name: "a supervisor that is stopped", words: "kill -STOP $(cat /run/one/supervisor.pid)" },
] as const;
