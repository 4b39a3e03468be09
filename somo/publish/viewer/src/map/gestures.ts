/** What fingers and mice do on the map: a mouse drags, two fingers move and pinch, one finger scrolls the page. */

import type { GridMap } from "./map";

export interface Gestures {
  /** A point was clicked or tapped. */
  chosen(x: number, y: number): void;
  /** The pointer is over a point, or left. */
  over(x: number, y: number): void;
  left(): void;
  /** The map was moved or zoomed. */
  moved(): void;
}

const CLICK_PIXELS = 6;

export function listen(canvas: HTMLCanvasElement, map: GridMap, { chosen, over, left, moved }: Gestures): void {
  const down = new Map<number, { x: number; y: number }>();
  let start: { x: number; y: number } | null = null;

  canvas.onpointerdown = (event) => {
    down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    start = down.size === 1 ? { x: event.offsetX, y: event.offsetY } : null;
    if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointermove = (event) => {
    const former = down.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (start && Math.hypot(now.x - start.x, now.y - start.y) > CLICK_PIXELS) start = null;
    if (former && down.size === 2) pinch(event.pointerId, former, now);
    else if (former && event.pointerType === "mouse" && !start) {
      map.pan(now.x - former.x, now.y - former.y);
      moved();
    }
    if (former && (down.size === 2 || !start)) down.set(event.pointerId, now);
    if (event.pointerType === "mouse") over(now.x, now.y);
  };
  canvas.onpointerup = (event) => {
    if (start && down.has(event.pointerId)) chosen(event.offsetX, event.offsetY);
    release(event);
  };
  canvas.onpointercancel = (event) => release(event);
  canvas.onpointerleave = () => left();
  canvas.onwheel = (event) => {
    event.preventDefault();
    map.zoomAt(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    moved();
  };
  // The page scrolls with one finger; as soon as there are two, they are the map's.
  canvas.addEventListener("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });

  function pinch(id: number, former: { x: number; y: number }, now: { x: number; y: number }): void {
    const other = [...down].find(([key]) => key !== id)![1];
    const apart = (p: { x: number; y: number }) => Math.hypot(p.x - other.x, p.y - other.y);
    const middle = (p: { x: number; y: number }) => ({ x: (p.x + other.x) / 2, y: (p.y + other.y) / 2 });
    const [from, to] = [middle(former), middle(now)];
    map.pan(to.x - from.x, to.y - from.y);
    if (apart(former) > 0) map.zoomAt(apart(now) / apart(former), to.x, to.y);
    moved();
  }

  function release(event: PointerEvent): void {
    down.delete(event.pointerId);
    start = null;
  }
}
