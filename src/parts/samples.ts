import type { HostSample } from "../monitor/samples.ts";
import type { Samples } from "../one/method.ts";
import type { Hosts } from "./hosts.ts";

/** Monitoring as OpenNebula shows it, from the samples that this box has in memory. VMs are not sampled yet: none. */
export function createSamples(hosts: () => Hosts | undefined): Samples {
  return {
    host: (id, count) => {
      const known = hosts();
      if (known === undefined) return "";
      const cpus = known.cpus(id);
      return known.monitor.samples
        .of(id)
        .slice(-count)
        .map((sample) => render(id, sample, cpus * 100))
        .join("");
    },
    vm: () => "",
  };
}

/** `totalCpu` in hundredths of a core. */
function render(id: number, sample: HostSample, totalCpu: number): string {
  // Samples carry our monotonic clock; people read wall time.
  const timestamp = Math.round((Date.now() - (performance.now() - sample.at)) / 1000);
  const usedCpu = Math.round((sample.cpuUse ?? 0) * totalCpu);
  const value = (name: string, number: number): string => `<${name}><![CDATA[${number}]]></${name}>`;
  const free = sample.memoryTotalKib - sample.memoryUsedKib;
  const capacity =
    value("FREE_CPU", totalCpu - usedCpu) +
    value("FREE_MEMORY", free) +
    value("USED_CPU", usedCpu) +
    value("USED_MEMORY", sample.memoryUsedKib);
  const system = value("NETRX", 0) + value("NETTX", 0);
  return `<MONITORING><TIMESTAMP>${timestamp}</TIMESTAMP><ID>${id}</ID><CAPACITY>${capacity}</CAPACITY><SYSTEM>${system}</SYSTEM></MONITORING>`;
}
