/** The map: a canvas in plate carrée, stretched so that shapes hold at its middle latitude. */

import { type Axes, within } from "../data/version";
import { place, type Scale, table } from "./colours";
import type { Country, Outlines } from "./countries";

export interface Cell {
  row: number;
  column: number;
}

export interface Centre {
  zoom: number;
  lon: number;
  lat: number;
}

/** What is drawn: values of one quantity, layer and day under their own name. */
export interface Picture {
  name: string;
  values: Float32Array;
  scale: Scale;
}

type Projection = (degrees: number) => number;
type Box = [west: number, south: number, east: number, north: number];

const MAX_ZOOM = 40;

export class GridMap {
  readonly box: Box;
  private readonly context: CanvasRenderingContext2D;
  private readonly cells = document.createElement("canvas");
  private readonly stretch: number;
  private readonly regular: boolean;
  private outlines: Outlines = { coast: [], borders: [], countries: [] };
  private land: Path2D | null = null;
  private zoom = 1;
  private middle: [number, number];
  private waiting = 0;
  picture: Picture | null = null;
  cursor: Cell | null = null;
  region: Country | null = null;
  stations: [lon: number, lat: number][] = [];

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly axes: Axes,
  ) {
    this.context = canvas.getContext("2d")!;
    const [lat, lon] = [axes.latBounds, axes.lonBounds];
    this.box = [Math.min(...lon), Math.min(...lat), Math.max(...lon), Math.max(...lat)];
    this.middle = this.boxMiddle();
    this.stretch = 1 / Math.cos((this.middle[1] * Math.PI) / 180);
    this.regular = isRegular(axes.lat) && isRegular(axes.lon);
    this.cells.width = axes.lon.length;
    this.cells.height = axes.lat.length;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  get view(): Centre {
    return { zoom: this.zoom, lon: this.middle[0], lat: this.middle[1] };
  }

  set view(view: Centre) {
    const [west, south, east, north] = this.box;
    this.zoom = Math.min(Math.max(view.zoom || 1, 1), MAX_ZOOM);
    this.middle = [Math.min(Math.max(view.lon, west), east), Math.min(Math.max(view.lat, south), north)];
    if (this.zoom === 1) this.middle = this.boxMiddle();
    this.draw();
  }

  setOutlines(outlines: Outlines): void {
    this.outlines = outlines;
    this.land = new Path2D();
    for (const { rings } of outlines.countries) addRings(this.land, rings);
    this.draw();
  }

  /** Draw a picture, or nothing but land and sea. */
  show(picture: Picture | null): void {
    this.picture = picture;
    const pixels = new ImageData(this.cells.width, this.cells.height);
    if (picture) this.paint(new Uint32Array(pixels.data.buffer), picture);
    this.cells.getContext("2d")!.putImageData(pixels, 0, 0);
    this.draw();
  }

  private paint(out: Uint32Array, { values, scale }: Picture): void {
    const colours = table(scale);
    const up = this.axes.lat[0]! < this.axes.lat.at(-1)!;
    const [rows, columns] = [this.axes.lat.length, this.axes.lon.length];
    for (let row = 0; row < rows; row++) {
      const line = (up ? rows - 1 - row : row) * columns;
      for (let column = 0; column < columns; column++) {
        const value = values[row * columns + column]!;
        if (!Number.isNaN(value)) out[line + column] = colours[place(scale, value)]!;
      }
    }
  }

  value(cell: Cell): number {
    return this.picture?.values[cell.row * this.axes.lon.length + cell.column] ?? NaN;
  }

  /** Whether a place is on land; null as long as the outlines are on their way. */
  isLand(lon: number, lat: number): boolean | null {
    return this.land && this.context.isPointInPath(this.land, lon, lat, "evenodd");
  }

  /** Longitude and latitude of a point of the canvas, in CSS pixels. */
  placeAt(x: number, y: number): [lon: number, lat: number] {
    const { scale, left, top } = this.frame();
    return [left + x / scale, top - y / (scale * this.stretch)];
  }

  /** The cell under a point of the canvas. */
  cellAt(x: number, y: number): Cell | null {
    const [lon, lat] = this.placeAt(x, y);
    const [row, column] = [within(this.axes.latBounds, lat), within(this.axes.lonBounds, lon)];
    return row < 0 || column < 0 ? null : { row, column };
  }

  /** Zoom by a factor about a point of the canvas. */
  zoomAt(factor: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const [lon, lat] = this.placeAt(x, y);
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MAX_ZOOM);
    const share = this.zoom / zoom;
    this.view = { zoom, lon: lon + (this.middle[0] - lon) * share, lat: lat + (this.middle[1] - lat) * share };
  }

  pan(dx: number, dy: number): void {
    const { scale } = this.frame();
    const { zoom, lon, lat } = this.view;
    this.view = { zoom, lon: lon - dx / scale, lat: lat + dy / (scale * this.stretch) };
  }

  private boxMiddle(): [number, number] {
    const [west, south, east, north] = this.box;
    return [(west + east) / 2, (south + north) / 2];
  }

  /** CSS pixels per degree of longitude, and the corner of the canvas in degrees. */
  private frame(): { scale: number; left: number; top: number } {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const [west, south, east, north] = this.box;
    const scale = Math.min(width / (east - west), height / ((north - south) * this.stretch)) * this.zoom;
    return { scale, left: this.middle[0] - width / (2 * scale), top: this.middle[1] + height / (2 * scale * this.stretch) };
  }

  /** Draw with the next frame of the screen, however often it is asked for until then. */
  draw(): void {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.drawNow();
    });
  }

  drawNow(): void {
    const ratio = window.devicePixelRatio;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    const size = [Math.round(width * ratio), Math.round(height * ratio)] as const;
    if (this.canvas.width !== size[0]) this.canvas.width = size[0];
    if (this.canvas.height !== size[1]) this.canvas.height = size[1];
    const c = this.context;
    const { scale, left, top } = this.frame();
    const x = (lon: number) => (lon - left) * scale;
    const y = (lat: number) => (top - lat) * scale * this.stretch;
    const ink = (name: string) => getComputedStyle(this.canvas).getPropertyValue(`--${name}`);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = ink("outside");
    c.fillRect(0, 0, width, height);
    const [west, south, east, north] = this.box;
    const grid = [x(west), y(north), x(east) - x(west), y(south) - y(north)] as const;
    c.fillStyle = ink("sea");
    c.fillRect(...grid);
    this.drawLand(grid, ink, (path) => path.addPath(this.land!, new DOMMatrix([scale, 0, 0, -scale * this.stretch, x(0), y(0)])));
    if (this.picture) this.drawCells(x, y);
    // The colours of data stay as they are in the dark, where light lines would vanish on light cells without a halo.
    const halo = ink("halo");
    if (halo) this.trace(this.outlines.borders, x, y, halo, 1.2);
    if (halo) this.trace(this.outlines.coast, x, y, halo, 2.4);
    this.trace(this.outlines.borders, x, y, ink("border"), 0.6);
    this.trace(this.outlines.coast, x, y, ink("coast"), 0.8);
    if (this.region) this.trace(this.region.rings, x, y, ink("mark"), 1.6);
    this.drawStations(x, y, ink);
    if (this.cursor) this.outline(this.cursor, x, y);
  }

  /** Hatch land inside the grid: it shows where there are no values. */
  private drawLand(grid: readonly [number, number, number, number], ink: (name: string) => string, add: (path: Path2D) => void): void {
    if (!this.land) return;
    const c = this.context;
    const path = new Path2D();
    add(path);
    c.save();
    c.beginPath();
    c.rect(...grid);
    c.clip();
    c.fillStyle = hatch(c, ink("novalue"), ink("hatch"));
    c.fill(path, "evenodd");
    c.restore();
  }

  private drawCells(x: Projection, y: Projection): void {
    const c = this.context;
    c.imageSmoothingEnabled = false;
    const [west, south, east, north] = this.box;
    if (this.regular) {
      c.drawImage(this.cells, x(west), y(north), x(east) - x(west), y(south) - y(north));
      return;
    }
    const { values, scale } = this.picture!;
    const colours = table(scale);
    const [{ latBounds, lonBounds }, columns] = [this.axes, this.axes.lon.length];
    for (let i = 0; i < values.length; i++) {
      if (Number.isNaN(values[i]!)) continue;
      const [row, column] = [Math.floor(i / columns), i % columns];
      const colour = colours[place(scale, values[i]!)]!;
      c.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
      const [x0, x1] = [x(lonBounds[2 * column]!), x(lonBounds[2 * column + 1]!)];
      const [y0, y1] = [y(latBounds[2 * row]!), y(latBounds[2 * row + 1]!)];
      const [w, h] = [Math.max(Math.abs(x1 - x0), 3), Math.max(Math.abs(y1 - y0), 3)];
      c.fillRect((x0 + x1 - w) / 2, (y0 + y1 - h) / 2, w, h);
    }
  }

  private drawStations(x: Projection, y: Projection, ink: (name: string) => string): void {
    const c = this.context;
    c.lineWidth = 1.2;
    const [west, , east] = this.box;
    for (const [degrees, lat] of this.stations) {
      // Archives count longitudes from -180, whatever the grid does.
      const lon = degrees < west && degrees + 360 <= east ? degrees + 360 : degrees;
      c.beginPath();
      c.moveTo(x(lon), y(lat) - 4);
      c.lineTo(x(lon) + 4, y(lat) + 3);
      c.lineTo(x(lon) - 4, y(lat) + 3);
      c.closePath();
      c.fillStyle = ink("paper");
      c.fill();
      c.strokeStyle = ink("ink");
      c.stroke();
    }
  }

  private trace(lines: number[][][], x: Projection, y: Projection, colour: string, width: number): void {
    const c = this.context;
    c.beginPath();
    for (const line of lines) line.forEach(([lon, lat], i) => c[i ? "lineTo" : "moveTo"](x(lon!), y(lat!)));
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.stroke();
  }

  private outline({ row, column }: Cell, x: Projection, y: Projection): void {
    const c = this.context;
    for (const [colour, width] of [["#ffffff", 4], ["#b3003c", 2]] as const) {
      c.beginPath();
      c.arc(x(this.axes.lon[column]!), y(this.axes.lat[row]!), 7, 0, 2 * Math.PI);
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.stroke();
    }
  }
}

function addRings(path: Path2D, rings: number[][][]): void {
  for (const ring of rings) {
    ring.forEach(([lon, lat], i) => path[i ? "lineTo" : "moveTo"](lon!, lat!));
    path.closePath();
  }
}

function hatch(context: CanvasRenderingContext2D, paper: string, line: string): CanvasPattern {
  const tile = new OffscreenCanvas(6, 6);
  const c = tile.getContext("2d")!;
  c.fillStyle = paper;
  c.fillRect(0, 0, 6, 6);
  c.strokeStyle = line;
  for (const shift of [-6, 0, 6]) {
    c.moveTo(shift, 6);
    c.lineTo(shift + 6, 0);
  }
  c.stroke();
  return context.createPattern(tile, "repeat")!;
}

function isRegular(axis: Float64Array): boolean {
  const step = axis[1]! - axis[0]!;
  return axis.length < 2 || axis.every((v, i) => i === 0 || Math.abs(v - axis[i - 1]! - step) < 1e-4);
}
