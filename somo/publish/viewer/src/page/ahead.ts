/** What is read before it is asked for. Where that fails, asking for it says so. */

import type { Version } from "../data/version";
import type { View } from "../view";

/** Browsers that know it tell here whether somebody pays for every byte. */
interface Connection {
  saveData?: boolean;
}

export class Ahead {
  private leafing = false;

  constructor(
    private readonly version: Version,
    private readonly view: View,
  ) {}

  /** Have the bytes of a day's map at hand. */
  map(day: number): void {
    const { view, version } = this;
    const frame = version.frame(view.quantity, day);
    if (frame >= 0) void version.map(view.quantity, view.layer, frame).catch(() => undefined);
  }

  /** Somebody turns to the dates, and will choose another one. */
  leaf(): void {
    if (this.leafing) return;
    this.leafing = true;
    this.tables(0);
  }

  /** A map was shown: whoever leafs may go to a shard of earlier or later days next. */
  shown(): void {
    if (this.leafing) this.tables(1);
  }

  private tables(reach: number): void {
    const { quantity, layer, day } = this.view;
    const frame = this.version.frame(quantity, day);
    const { connection } = navigator as { connection?: Connection };
    if (frame < 0 || connection?.saveData) return;
    void this.version.readTables(quantity, layer, frame, reach).catch(() => undefined);
  }
}
