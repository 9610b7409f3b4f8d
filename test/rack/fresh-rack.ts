import { placeOf } from "../support/rack/place.ts";
import { type Rack, upRack } from "../support/rack/rack.ts";
import { down, type UpOptions } from "../support/rack/up.ts";

/** A rack of this name without anything that a run that was broken off left behind. */
export async function freshRack(options: UpOptions & { readonly name: string }): Promise<Rack> {
  await down(placeOf(options.name));
  return upRack(options);
}
