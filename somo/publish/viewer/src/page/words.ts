/** Map and chart in words, for those who do not see them. */

import { describe } from "../map/colours";
import type { Picture } from "../map/map";
import type { Values } from "../series/graphs";
import { yearOf } from "../series/years";

/** Cells with values, their mean and extremes, or the share of each class. */
export function mapInWords({ name, values, scale }: Picture, weights: Float64Array, mask?: Uint8Array): string {
  let [count, weight, sum, low, high] = [0, 0, 0, Infinity, -Infinity];
  const shares = new Float64Array(scale.classes?.length ?? 0);
  const columns = values.length / weights.length;
  values.forEach((value, i) => {
    if (Number.isNaN(value) || (mask && !mask[i])) return;
    const area = weights[Math.floor(i / columns)]!;
    count++;
    weight += area;
    sum += area * value;
    low = Math.min(low, value);
    high = Math.max(high, value);
    if (shares.length) shares[Math.round(value)]! += area;
  });
  if (!count) return `${name}: no values.`;
  if (scale.classes) {
    // Behind a class's name its label gives limits or advice, which would be read as the share.
    const parts = scale.classes.map((label, i) => `${label.split(/ ≤|:/)[0]} ${((100 * shares[i]!) / weight).toFixed(0)} %`);
    return `${name}: share of area ${parts.join(", ")}; ${count} cells.`;
  }
  return `${name}: mean ${describe(scale, sum / weight)}, from ${low.toFixed(scale.digits)} to ${high.toFixed(scale.digits)}; ${count} cells.`;
}

/** Relative area of a cell of each row. */
export function areaWeights(latBounds: Float64Array): Float64Array {
  const sine = (i: number) => Math.sin((latBounds[i]! * Math.PI) / 180);
  return Float64Array.from({ length: latBounds.length / 2 }, (_, row) => Math.abs(sine(2 * row) - sine(2 * row + 1)));
}

/** One line a year: its mean, lowest and highest value. */
export function seriesInWords({ values, stamps, digits }: Values): string[] {
  const years = new Map<number, number[]>();
  stamps.forEach((stamp, i) => {
    if (Number.isNaN(values[i]!)) return;
    const year = yearOf(stamp);
    years.set(year, [...(years.get(year) ?? []), values[i]!]);
  });
  return [...years].map(([year, list]) => {
    const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
    return `${year}: mean ${mean.toFixed(digits)}, from ${Math.min(...list).toFixed(digits)} to ${Math.max(...list).toFixed(digits)}`;
  });
}
