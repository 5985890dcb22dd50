// The picture. Pinch, scroll and keys zoom it, dragging moves it, and holding shows the original.

import { $ } from "./tabs.js";

const canvas = $(".canvas");
const zoomed = $(".zoomed");
const page = $("#edit");
const MOST = 8;
const view = { zoom: 1, x: 0, y: 0 };

export function setRatio(image) {
  const apply = () => {
    if (image.naturalWidth) page.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  };
  if (image.complete) apply();
  image.onload = apply;
}

function draw() {
  const { width, height } = canvas.getBoundingClientRect();
  const [free, room] = [(width * (view.zoom - 1)) / 2, (height * (view.zoom - 1)) / 2];
  view.x = Math.max(-free, Math.min(free, view.x));
  view.y = Math.max(-room, Math.min(room, view.y));
  zoomed.style.transform = view.zoom === 1 ? "" : `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
  canvas.toggleAttribute("data-zoomed", view.zoom > 1);
}

// Zoom around a point of the window, which stays in place; without one, around the middle.
export function zoomBy(factor, at = null) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = at ? [at.x - box.left - box.width / 2, at.y - box.top - box.height / 2] : [0, 0];
  const zoom = Math.max(1, Math.min(MOST, view.zoom * factor));
  view.x = x - ((x - view.x) * zoom) / view.zoom;
  view.y = y - ((y - view.y) * zoom) / view.zoom;
  view.zoom = zoom < 1.02 ? 1 : zoom;
  draw();
}

// Fill the canvas with a square of the picture. Its middle is in shares of width and height, its
// edge is a share of the width.
export function zoomTo([x, y, edge]) {
  const { offsetWidth: wide, offsetHeight: high } = $(".le-edited");
  const box = canvas.getBoundingClientRect();
  view.zoom = Math.max(1, Math.min(MOST, Math.min(box.width, box.height) / (edge * wide)));
  view.x = (0.5 - x) * wide * view.zoom;
  view.y = (0.5 - y) * high * view.zoom;
  draw();
}

export function fit() {
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  draw();
}

const hold = (on) => page.toggleAttribute("data-holding", on);

export function holdOriginal(button) {
  for (const name of ["pointerdown", "keydown"]) {
    button.addEventListener(name, (event) => { if (name !== "keydown" || [" ", "Enter"].includes(event.key)) hold(true); });
  }
  for (const name of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) {
    button.addEventListener(name, () => hold(false));
  }
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}

export function startStage() {
  const fingers = new Map();
  let pressing = 0;
  const middle = () => {
    const places = [...fingers.values()];
    const x = places.reduce((sum, place) => sum + place.x, 0) / places.length;
    const y = places.reduce((sum, place) => sum + place.y, 0) / places.length;
    return { x, y, apart: places.length > 1 ? Math.hypot(places[0].x - places[1].x, places[0].y - places[1].y) : 0 };
  };
  const release = (event) => {
    fingers.delete(event.pointerId);
    clearTimeout(pressing);
    hold(false);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button, input")) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY, from: [event.clientX, event.clientY] });
    clearTimeout(pressing);
    if (fingers.size === 1) pressing = setTimeout(() => hold(true), 180);
    else hold(false);
  });
  canvas.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const before = middle();
    Object.assign(finger, { x: event.clientX, y: event.clientY });
    const after = middle();
    if (Math.hypot(event.clientX - finger.from[0], event.clientY - finger.from[1]) > 6) clearTimeout(pressing);
    if (page.hasAttribute("data-holding")) return;
    if (fingers.size > 1) {
      if (before.apart) zoomBy(after.apart / before.apart, after);
    } else if (view.zoom === 1) return;
    canvas.setPointerCapture(event.pointerId);
    view.x += after.x - before.x;
    view.y += after.y - before.y;
    draw();
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(name, release);
  canvas.addEventListener("wheel", (event) => {
    if (view.zoom === 1 && event.deltaY > 0) return; // the page scrolls on
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), { x: event.clientX, y: event.clientY });
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => {
    if (event.target.closest("button, input")) return;
    if (view.zoom > 1) fit();
    else zoomBy(2.5, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("contextmenu", (event) => { if (event.pointerType === "touch") event.preventDefault(); });
  canvas.addEventListener("keydown", (event) => {
    if (event.target !== canvas || event.ctrlKey || event.metaKey) return;
    const way = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (event.key === "o" || event.key === "O") hold(true);
    else if (event.key === "+" || event.key === "=") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else if (event.key === "0") fit();
    else if (way && view.zoom > 1) { view.x += way[0]; view.y += way[1]; draw(); event.preventDefault(); }
  });
  canvas.addEventListener("keyup", () => hold(false));
  canvas.addEventListener("blur", () => hold(false));
  addEventListener("resize", draw);
}
