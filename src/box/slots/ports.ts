/** The two copies of the boot loader's environment, on the ESP. */
export type EnvFile = "env1" | "env2";

export interface EnvFiles {
  /** Undefined when the file is missing or cannot be read. */
  read(name: EnvFile): Promise<Uint8Array | undefined>;
  /** Overwrites the file in its place and waits until that is durable. Throws when it is not. */
  write(name: EnvFile, bytes: Uint8Array): Promise<void>;
}

/** Lends the ESP to one user at a time, of all processes of this box: mounted before, unmounted after; to `read`, read-only. */
export type WithEnvFiles = <T>(access: "read" | "change", use: (files: EnvFiles) => Promise<T>) => Promise<T>;

/** A slot's partition, or a file in its place. */
export interface SlotDevice {
  readonly sizeBytes: number;
  /** From the device, not from a cache, after {@link sync}. Throws when there are not so many bytes. */
  read(at: number, length: number): Promise<Uint8Array>;
  write(at: number, bytes: Uint8Array): Promise<void>;
  /** All that was written is durable, and what is read next is what the device has. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
