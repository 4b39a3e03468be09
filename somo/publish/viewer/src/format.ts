/** Dates, places and depths as people read them. */

export const DAY_MS = 86_400_000;

export function isoDate(days: number): string {
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

export function north(lat: number): string {
  return `${Math.abs(lat).toFixed(2)}° ${lat < 0 ? "S" : "N"}`;
}

export function east(lon: number): string {
  const signed = lon > 180 ? lon - 360 : lon;
  return `${Math.abs(signed).toFixed(2)}° ${signed < 0 ? "W" : "E"}`;
}

export function centimetres(metres: number): number {
  return Math.round(metres * 1000) / 10;
}
