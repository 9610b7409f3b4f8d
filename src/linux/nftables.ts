import { CString, dlopen, type Pointer } from "bun:ffi";
import { CodedError } from "../base/error.ts";

/** `output` is what a `list` printed; empty for other commands. `error` is libnftables' text with the place marked. */
export type NftResult = { readonly ok: true; readonly output: string } | { readonly ok: false; readonly error: string };

/** A context of libnftables in the network namespace of the calling process. */
export interface Nftables {
  /** Runs the commands as ONE transaction: all of them take effect at one instant, or none. About 0.1 ms. */
  run(commands: string): NftResult;
  close(): void;
}

/** nft_ctx_output_set_flags: `list` leaves out the elements of sets (nft -t). */
const NFT_CTX_OUTPUT_TERSE = 1 << 11;

/** Opens a context. Nothing is ever written to the process's own standard output. Throws when the library is absent. */
export function openNftables(): Nftables {
  const library = load();
  const context = library.nft_ctx_new(0);
  if (context === null) throw new CodedError("nftables", "Cannot create a context of libnftables");
  if (library.nft_ctx_buffer_output(context) !== 0 || library.nft_ctx_buffer_error(context) !== 0) {
    throw new CodedError("nftables", "Cannot buffer the output of libnftables");
  }
  library.nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_TERSE);
  let open: Address = context;
  return {
    run: (commands) => {
      if (open === null) return { ok: false, error: "the context is closed" };
      const status = library.nft_run_cmd_from_buffer(open, Buffer.from(`${commands}\0`));
      // Both buffers are read each time: reading is what resets them, an unread one would grow.
      const output = text(library.nft_ctx_get_output_buffer(open));
      const error = text(library.nft_ctx_get_error_buffer(open));
      return status === 0 ? { ok: true, output } : { ok: false, error: error.trim() || `status ${status}` };
    },
    close: () => {
      if (open !== null) library.nft_ctx_free(open);
      open = null;
    },
  };
}

/** A pointer as the runtime hands it out; never looked into. */
type Address = Pointer | bigint | null;

function text(at: Address): string {
  return at === null ? "" : new CString(Number(at) as Pointer).toString();
}

function load() {
  try {
    return dlopen("libnftables.so.1", {
      nft_ctx_new: { args: ["u32"], returns: "ptr" },
      nft_ctx_free: { args: ["ptr"], returns: "void" },
      nft_ctx_buffer_output: { args: ["ptr"], returns: "i32" },
      nft_ctx_buffer_error: { args: ["ptr"], returns: "i32" },
      nft_ctx_get_output_buffer: { args: ["ptr"], returns: "ptr" },
      nft_ctx_get_error_buffer: { args: ["ptr"], returns: "ptr" },
      nft_ctx_output_set_flags: { args: ["ptr", "u32"], returns: "void" },
      nft_run_cmd_from_buffer: { args: ["ptr", "ptr"], returns: "i32" },
    }).symbols;
  } catch (cause) {
    throw new CodedError("nftables", "Cannot load libnftables.so.1 (Debian package libnftables1)", cause);
  }
}
