/** Files to take away: a picture of the map or the chart, and the series, each with what it is and how to cite it. */

import type { Version } from "../data/version";
import { isoDate } from "../format";
import type { Scale } from "../map/colours";
import type { Values } from "../series/graphs";
import { drawKey, KEY_HEIGHT } from "./key";

const MARGIN = 16;
const LINE = 20;

export function credits(version: Version): string[] {
  const { collection } = version;
  const cite = collection["sci:citation"] ?? `${collection.title}.`;
  return [`Cite: ${cite}`, `Licence: ${collection.license}. ${version.url.href}`];
}

/** The canvas of a map or chart with its title above, its colours if given and the credits below, as a PNG. */
export async function savePicture(canvas: HTMLCanvasElement, title: string[], version: Version, name: string, scale?: Scale): Promise<void> {
  const ratio = window.devicePixelRatio;
  const [width, height] = [canvas.width / ratio, canvas.height / ratio];
  const copy = document.createElement("canvas");
  const c = copy.getContext("2d")!;
  c.font = "13px sans-serif";
  const below = credits(version).flatMap((text) => wrap(c, text, width - 2 * MARGIN));
  const top = title.length * LINE + MARGIN;
  const bottom = top + height + (scale ? KEY_HEIGHT : 0);
  copy.width = width * ratio;
  copy.height = (bottom + below.length * LINE + MARGIN) * ratio;
  c.scale(ratio, ratio);
  const style = getComputedStyle(document.body);
  c.fillStyle = style.backgroundColor;
  c.fillRect(0, 0, copy.width, copy.height);
  c.drawImage(canvas, 0, top, width, height);
  c.fillStyle = style.color;
  c.font = "13px sans-serif";
  if (scale) drawKey(c, scale, MARGIN, top + height, width - 2 * MARGIN);
  [...title, ...below].forEach((text, i) => {
    const y = i < title.length ? (i + 1) * LINE : bottom + (i - title.length + 1) * LINE;
    c.fillText(text, MARGIN, y);
  });
  const blob = await new Promise<Blob>((resolve, reject) =>
    copy.toBlob((made) => (made ? resolve(made) : reject(new Error("the picture cannot be made"))), "image/png"),
  );
  give(blob, name);
}

function wrap(c: CanvasRenderingContext2D, text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (c.measureText(longer).width > width && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

/** The series of a cell: one row a day or window. */
export function seriesTable(shown: Values, place: string, layer: string, version: Version): string {
  const daily = shown.stamps.length === version.days.length;
  const head = [
    version.collection.title,
    `version ${version.name}`,
    place,
    `${shown.name}, depth ${layer}, units ${shown.units || "1"}`,
    daily
      ? "each row is a UTC day, from 00:00 to 24:00 UTC; a provisional day may still change with its forcing"
      : `each row is a window of ${version.windows.days} UTC days that ends with the day named`,
    ...credits(version),
  ];
  const lists = [
    ...(shown.areas?.map(({ column, share }) => [column, share] as const) ?? [[shown.name, shown.values] as const]),
    ...(shown.half ? [[shown.halfName!, shown.half] as const] : []),
  ];
  const flags = [
    ...(shown.frozen ? [["frozen", (i: number) => (shown.frozen![i] === 1 ? "yes" : "no")] as const] : []),
    ...(daily ? [["status", (i: number) => (version.status[i] === 1 ? "provisional" : "final")] as const] : []),
  ];
  const columns = ["time", ...lists.map(([name]) => name.replaceAll(" ", "_")), ...flags.map(([name]) => name)];
  const number = (value: number) => (Number.isNaN(value) ? "" : value.toFixed(4));
  const rows = Array.from(shown.stamps, (stamp, i) =>
    [
      isoDate(stamp),
      ...lists.map(([, values]) => number(values[i]!)),
      ...flags.map(([, told]) => told(i)),
    ].join(","),
  );
  return [...head.map((line) => `# ${line}`), columns.join(","), ...rows, ""].join("\n");
}

export function give(data: Blob, name: string): void {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(data);
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(anchor.href);
}
