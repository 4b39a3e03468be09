/** The colours of a map in a picture of it: without them nobody could read the picture. */

import { markText, type Scale, table } from "../map/colours";

export const KEY_HEIGHT = 62;
const BAR_PIXELS = 420;
const BAR_HEIGHT = 12;
const SWATCH = 13;

/** Draw the label, the units and the colours of a scale below a map, in the ink that is set, `width` pixels wide. */
export function drawKey(c: CanvasRenderingContext2D, scale: Scale, left: number, top: number, width: number): void {
  const ink = c.fillStyle;
  c.fillText(`${scale.label}${scale.units ? ` [${scale.units}]` : ""}`, left, top + 20);
  if (scale.classes) drawClasses(c, scale.stops, scale.classes, left, top + 28, width, ink);
  else drawRamp(c, scale, left, top + 28, Math.min(width, BAR_PIXELS), ink);
  c.fillStyle = ink;
}

function drawRamp(c: CanvasRenderingContext2D, scale: Scale, left: number, top: number, width: number, ink: CanvasRenderingContext2D["fillStyle"]): void {
  const colours = table(scale);
  for (let x = 0; x < width; x++) {
    const colour = colours[Math.floor((x / width) * colours.length)]!;
    c.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
    c.fillRect(left + x, top, 1, BAR_HEIGHT);
  }
  c.fillStyle = ink;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    c.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
    c.fillText(markText(scale.low + share * (scale.high - scale.low)), left + share * width, top + BAR_HEIGHT + 14);
  }
  c.textAlign = "left";
}

function drawClasses(
  c: CanvasRenderingContext2D,
  stops: string[],
  names: string[],
  left: number,
  top: number,
  width: number,
  ink: CanvasRenderingContext2D["fillStyle"],
): void {
  let [x, y] = [left, top];
  names.forEach((name, i) => {
    const wide = SWATCH + 5 + c.measureText(name).width + 14;
    // A narrow map has room for two rows of classes.
    if (x > left && x + wide > left + width) [x, y] = [left, y + 18];
    c.fillStyle = stops[i]!;
    c.fillRect(x, y, SWATCH, SWATCH);
    c.fillStyle = ink;
    c.fillText(name, x + SWATCH + 5, y + 11);
    x += wide;
  });
}
