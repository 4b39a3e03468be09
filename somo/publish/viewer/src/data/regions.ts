/** Series of countries as the publication made them: one small request instead of every map. */

import { openArray, openStore, read1d, readValues, type Stored } from "./store";

export interface Region {
  /** Numeric, ISO 3166-1. */
  code: number;
  name: string;
  index: number;
  /** Of its cells with values. */
  km2: number;
}

/** One country through time. */
export interface RegionSeries {
  /** Days since 1970-01-01 that the means are of. */
  days: Int32Array;
  mean: Float32Array;
  /** Last day of each window, in days since 1970-01-01; none without drought. */
  windows: Int32Array;
  /** Share of the area in exactly each class, `none` first, [class][window]. */
  shares: Float32Array[];
}

export class Regions {
  private constructor(
    readonly list: Region[],
    /** Code of the country of each cell, row by row; 0 outside all of them. */
    private readonly ofCell: Int16Array,
    private readonly days: Int32Array,
    private readonly windows: Int32Array,
    private readonly mean: Stored,
    private readonly shares: Stored | null,
  ) {}

  static async open(url: URL): Promise<Regions> {
    const store = await openStore(url);
    const withDrought = store.contents().some(({ path }) => path === "/drought_area_share");
    const [region, codes, area, ofCell, days, windows, mean, shares] = await Promise.all([
      openArray(store, "region"),
      read1d<Int16Array>(store, "region"),
      read1d<Float64Array>(store, "area"),
      read1d<Int16Array>(store, "region_of_cell"),
      read1d<Int32Array>(store, "time"),
      withDrought ? read1d<Int32Array>(store, "window") : new Int32Array(0),
      openArray(store, "soil_moisture"),
      withDrought ? openArray(store, "drought_area_share") : null,
    ]);
    const names = region.attrs["names"] as string[];
    const list = names.map((name, index) => ({ code: codes[index]!, name, index, km2: area[index]! }));
    list.sort((a, b) => a.name.localeCompare(b.name));
    return new Regions(list, ofCell, days, windows, mean, shares);
  }

  find(code: number | null): Region | null {
    return this.list.find((region) => region.code === code) ?? null;
  }

  /** Which cells belong to a country, row by row. */
  mask({ code }: Region): Uint8Array {
    return Uint8Array.from(this.ofCell, (own) => Number(own === code));
  }

  async series(layer: number, { index }: Region): Promise<RegionSeries> {
    const { days, windows } = this;
    const [mean, flat] = await Promise.all([
      readValues(this.mean, [index, layer, null]),
      this.shares ? readValues(this.shares, [index, layer, null, null]) : new Float32Array(0),
    ]);
    const count = windows.length ? flat.length / windows.length : 0;
    const shares = Array.from({ length: count }, (_, number) => flat.filter((_, i) => i % count === number));
    return { days, mean, windows, shares };
  }
}
