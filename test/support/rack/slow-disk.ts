/** A disk that takes its time: a process's writes and syncs are held to so many a second by the kernel (blkio, cgroup v1). */
import { existsSync, mkdirSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";

const CONTROLLER = "/sys/fs/cgroup/blkio";

export interface SlowDisk {
  /** The disk is as fast as before. */
  end(): void;
}

/** Holds the processes `pids`, with all their threads, to `perSecond` writes on the disk of `path`. `name` is unique on this machine. */
export function slowDisk(name: string, pids: readonly number[], path: string, perSecond: number): SlowDisk {
  if (!existsSync(`${CONTROLLER}/blkio.throttle.write_iops_device`) && !existsSync(`${CONTROLLER}/cgroup.procs`))
    throw new CodedError("RACK_DISK", `Cannot slow a disk down: there is no ${CONTROLLER}`);
  const group = `${CONTROLLER}/${name}`;
  mkdirSync(group, { recursive: true });
  writeFileSync(`${group}/blkio.throttle.write_iops_device`, `${deviceOf(path)} ${perSecond}`);
  for (const pid of pids) writeFileSync(`${group}/cgroup.procs`, String(pid));
  return {
    end: () => {
      for (const pid of pids) if (existsSync(`/proc/${pid}`)) writeFileSync(`${CONTROLLER}/cgroup.procs`, String(pid));
      rmdirSync(group);
    },
  };
}

/** `major:minor`, as the kernel takes them apart. */
function deviceOf(path: string): string {
  const { dev } = statSync(path);
  const major = Math.floor(dev / 256) % 4096;
  const minor = (dev % 256) + Math.floor(dev / 2 ** 20) * 256;
  return `${major}:${minor}`;
}
