/** One year of a series against all years of it, day by day of the year. */

import { DAY_MS } from "../format";

/** Days to either side whose values count for a day of the year: smooths what few years leave ragged. */
const NEIGHBOURS = 7;
export const SHARES = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1];

/** Quantiles of all years, in the order of `SHARES`, on each of the days; NaN where no year has a value. */
export function quantiles(values: Float32Array, stamps: Int32Array, days: Int32Array): Float32Array[] {
  const byDay: number[][] = Array.from({ length: 366 }, () => []);
  stamps.forEach((stamp, i) => {
    const value = values[i]!;
    if (Number.isNaN(value)) return;
    const at = dayOfYear(stamp);
    for (let shift = -NEIGHBOURS; shift <= NEIGHBOURS; shift++) byDay[(at + shift + 366) % 366]!.push(value);
  });
  for (const list of byDay) list.sort((a, b) => a - b);
  return SHARES.map((share) =>
    Float32Array.from(days, (day) => {
      const list = byDay[dayOfYear(day)]!;
      return list.length ? list[Math.round(share * (list.length - 1))]! : NaN;
    }),
  );
}

export function yearOf(day: number): number {
  return new Date(day * DAY_MS).getUTCFullYear();
}

/** From 0. */
export function dayOfYear(day: number): number {
  return day - Date.UTC(yearOf(day), 0, 1) / DAY_MS;
}
