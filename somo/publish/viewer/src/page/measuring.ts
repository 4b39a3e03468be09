/** What the page tells about its own speed. */

/** Say once, for those who measure, after how many milliseconds and bytes the first map stood. */
export function noteFirstMap(): void {
  const { dataset } = document.body;
  if (dataset["firstMapMs"]) return;
  const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const bytes = (loaded as PerformanceResourceTiming[]).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
  dataset["firstMapBytes"] = String(bytes);
  dataset["firstMapMs"] = performance.now().toFixed(0);
}
