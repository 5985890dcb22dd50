// The page. `model` holds what the user has set. The page sends one request at a time and draws the
// replies.

import { startCamera } from "./camera.js";
import { couldTakePhotos, drawing, drawModels, loadingModel, openModels, startModels, takesPhotos } from "./models.js";
import { $, $$, drawTabs, make, post, saveFile, session, whenClosed } from "./tabs.js";
import { fit, holdOriginal, setRatio, startStage, zoomBy, zoomTo } from "./stage.js";

const percent = (share) => Math.round(share * 100) + "%";
const page = $("#edit");

const model = { seed: 0, photo: false, steps: {}, auto: true, locks: new Set(), strictness: 1, given: false };
const controls = new Map(); // attribute -> its data and nodes
const now = {
  gallery: 0, words: [], likeliest: "", frames: [], count: 9, playing: true, typing: false,
  face: { key: "", kind: "seed", done: 1, version: 0 }, original: "", learned: new Map(), held: [], stale: false,
};

// ---- requests: one at a time; a waiting preview is dropped when a newer request comes

let waiting = [];
let busy = false;

function send(request) {
  waiting = waiting.filter((earlier) => !earlier.preview && !earlier.idle && (request.film || !earlier.film));
  waiting.push(request);
  if (!request.idle) page.toggleAttribute("data-busy", true);
  next();
}

async function next() {
  if (busy || !waiting.length) return;
  const request = waiting.shift();
  busy = true;
  if (!request.idle) page.toggleAttribute("data-busy", true);
  try {
    const reply = request.run ? await request.run() : await post("act", { ...request, has: now.original });
    if (reply) draw(reply, request);
  } catch (error) {
    if (error.gone) await begin(error.message).catch(({ message }) => notice(message, true));
    else if (!request.idle) notice(error.message, true);
    if (!request.idle) waiting = [];
  }
  busy = false;
  page.toggleAttribute("data-busy", waiting.some((each) => !each.idle));
  next();
  rest();
}

async function begin(message = "") {
  const reply = await post("start", {});
  draw(reply, {});
  if (message) notice(message);
}
session.begin = begin;

// ---- drawing replies

function draw(reply, request) {
  if (reply.groups) build(reply);
  if (reply.view) adopt(reply.view);
  if (reply.original) show(reply, request);
  else if (reply.face) drawFace(reply.face);
  if ("undo" in reply) {
    $("[data-do=undo]").disabled = !reply.undo;
    $("[data-do=redo]").disabled = !reply.redo;
  }
  if (reply.gallery) drawGallery(reply.gallery);
  if (reply.frame) addFrame(reply);
  if (reply.choose || reply.wants) setWay("photo");
  if (reply.choose) choose(reply.choose);
  if (reply.learned) learn(reply.learned);
  if (reply.groups) drawTabs();
  if (reply.switched) notice(reply.switched + " draws now. " + (reply.choose ? $(".notice").textContent : reply.message || ""));
  else if (reply.message) notice(reply.message, !reply.original && !reply.wants);
  else if (!request.preview && !request.idle && !reply.choose && !reply.frame) notice("");
}

function adopt(view) {
  // a newer move is on its way, or will be in a moment
  if (settling || waiting.some((request) => request.do === "move")) return;
  Object.assign(model, view, { locks: new Set(view.locks) });
  if (!now.typing) seedField.value = model.seed;
  setWay(model.photo ? "photo" : "seed");
  choosing(false);
  for (const name of controls.keys()) place(name);
  drawLocks();
  markGallery();
}

function picture(image, { url, key }) {
  if (image.dataset.key === key) return;
  image.src = url;
  image.dataset.key = key;
}

function show(reply, request) {
  now.original = reply.original.key;
  if (reply.original.url) {
    for (const image of $$(".le-original img, .before")) picture(image, reply.original);
    setRatio($(".le-original img"));
  }
  picture($(".le-edited .after"), reply.edited);
  $(".le-edited .after").alt = "The edited face. " + reply.told;
  drawFace(reply.face);
  const moved = reply.moved;
  $(".hint").hidden = moved;
  $(".changes").hidden = !moved;
  $(".age").hidden = !reply.years;
  if (reply.years) {
    const [before, after] = $$(".age b");
    before.textContent = Math.round(reply.years[0]);
    after.textContent = Math.round(reply.years[1]);
    $(".age").classList.toggle("same", !moved);
  }
  const others = reply.changes.filter((change) => !change.asked);
  $(".asked ul").replaceChildren(...reply.changes.filter((change) => change.asked).map(bar));
  $(".others ul").replaceChildren(...others.map(bar));
  $(".others p").hidden = others.length > 0;
  const fights = [...reply.fights];
  if (reply.together < 1) {
    fights.unshift("Together these sliders go too far for a face: each goes " + percent(reply.together) + " of its way.");
  }
  $(".fights").replaceChildren(...fights.map((text) => make("li", { text })));
  if (!request.preview && !request.idle) $(".told").textContent = [...fights, reply.told].join(" ");
  now.held = reply.held;
  drawSlips(reply.slipped);
  for (const [name, { row }] of controls) row.toggleAttribute("data-held", reply.held.includes(name));
  drawHolding();
  if (page.dataset.mode === "film" && !request.preview && !request.idle) askForFilm();
}

function bar(change) {
  const [from, to] = [change.before, change.after].map(percent);
  const left = Math.min(change.before, change.after);
  const mark = make("i");
  mark.style.left = percent(left);
  mark.style.width = percent(Math.abs(change.after - change.before));
  const end = make("em");
  end.style.left = to;
  const words = change.words[0] === change.words[1] ? change.words[1]
    : change.words[0] + " → " + change.words[1];
  return make("li", { title: from + " → " + to },
    make("b", { text: change.trait }), make("span", { class: "track" }, mark, end),
    make("span", { class: "words", text: words }));
}

// Tell beside the lock that its attribute changed all the same.
function drawSlips(slipped) {
  const words = new Map(slipped.map((slip) => [slip.name, slip.words]));
  for (const [name, { row, slip }] of controls) {
    row.toggleAttribute("data-slipped", words.has(name));
    slip.textContent = words.has(name) ? "not held: " + words.get(name) : "";
  }
  const line = $(".slips");
  line.hidden = !slipped.length;
  line.textContent = "Changed all the same: " + slipped.slice(0, 4)
    .map(({ name, words: how }) => controls.get(name).label.toLowerCase() + " (" + how + ")").join(", ")
    + (slipped.length > 4 ? ", and " + (slipped.length - 4) + " more." : ".");
}

let forgetting = 0;

function notice(text, bad = false) {
  const line = $(".notice");
  clearTimeout(forgetting);
  line.textContent = text;
  line.hidden = !text;
  line.classList.toggle("bad", bad);
  if (text && !bad && !text.endsWith("...")) forgetting = setTimeout(() => notice(""), 9000);
}

// ---- the face on the page

function drawFace(face) {
  if (face.key !== now.face.key) now.learned.clear();
  now.stale = false;
  now.face = face;
  const photo = face.kind === "photo";
  page.toggleAttribute("data-looking", photo && face.done < 1);
  const line = $(".looking");
  line.hidden = !photo || face.done >= 1;
  if (!line.hidden) {
    $("span", line).textContent = "Looking closer " + percent(face.done);
    $("b", line).style.width = percent(face.done);
  }
  $("[data-do=face]").hidden = !photo;
  const mine = $(".mine");
  mine.hidden = !photo;
  if (photo) $("b", mine).textContent = face.name + (face.count > 1 ? ", face " + face.number + " of " + face.count : "");
  $(".warnings").replaceChildren(...(face.warnings || []).map((text) => make("li", { text })));
  for (const name of controls.keys()) if (model.steps[name]) place(name);
}

// In idle time, ask for the progress of refining a photo, and what sliders do to this face.
let resting = 0;

function rest() {
  clearTimeout(resting);
  resting = setTimeout(() => {
    if (busy || waiting.length || document.hidden || page.hasAttribute("data-choosing")) return;
    const { kind, done, version } = now.face;
    const looking = kind === "photo" && done < 1;
    const name = toLearn();
    if (looking && (version === 0 || now.stale)) send({ do: "look", version, idle: true });
    else if (name) send({ do: "learn", attribute: name, idle: true });
    else if (looking) send({ do: "look", version, idle: true });
  }, now.face.done < 1 ? 500 : 350);
}

function toLearn() {
  const moved = Object.keys(model.steps).filter((name) => controls.has(name));
  const first = controls.has("Young") ? ["Young"] : [];
  return [...first, ...moved].find((name) => !now.learned.has(name));
}

function learn(learned) {
  now.stale = learned.face !== now.face.key; // the face was refined meanwhile: ask for it first
  if (now.stale) return;
  now.learned.set(learned.attribute, learned);
  place(learned.attribute);
}

// ---- sliders and locks

function build(start) {
  waiting = waiting.filter((request) => request.run); // the others belong to the page before
  Object.assign(now, { words: start.words, likeliest: start.likeliest, count: start.frames });
  if (start.token) Object.assign(now, { most: start.most, shared: start.shared });
  if (start.token) session.token = start.token;
  now.original = "";
  now.face = { key: "", kind: "seed", done: 1, version: 0 };
  now.learned.clear();
  controls.clear();
  $(".groups").replaceChildren(...start.groups.map((group, index) => {
    const rows = group.controls.map(makeRow);
    const title = make("summary", {}, make("span", { text: group.title }),
      make("small", { text: String(rows.length) }));
    return make("details", index === 0 ? { open: "" } : {}, title, ...rows);
  }));
  session.controls = controls;
  session.model = start.model;
  if ($(".search").value) search($(".search").value);
  drawModels(start.models);
  drawLacking();
  const where = now.shared
    ? "Your photo travels to the computer that runs this page and stays in its memory alone"
    : "Your photo stays in this program's memory, on this computer";
  for (const line of $$(".privacy")) {
    line.textContent = where + "; it is never written to disk, and forgotten when you close the page or after 30 minutes without use.";
  }
  const shownFirst = sessionStorage.getItem("way");
  if (shownFirst) setWay(shownFirst);
}

// If the current model takes no photos, say which one does, or how to get one.
function drawLacking() {
  const line = $(".lacking");
  const { name, takes_photos: takes } = drawing();
  const [here, other] = [takesPhotos(), couldTakePhotos()];
  line.hidden = takes;
  $("span", line).textContent = name + " takes no photos."
    + (here ? " " + here.name + " does, and will draw yours." : "");
  const button = $("button", line);
  button.hidden = Boolean(here) || !other;
  if (other) button.textContent = "How to get " + other.name + ", which does";
}

function chooseModel(name) {
  settleNow();
  const still = (on) => {
    loadingModel(on ? name : "");
    page.toggleAttribute("data-loading", on);
    for (const part of $$(".side, .bar, .canvas")) part.inert = on;
  };
  still(true);
  notice("Loading " + name + " ...");
  fit();
  send({ run: async () => {
    try {
      return await post("model", { name });
    } finally {
      still(false);
    }
  } });
}

function makeRow(control) {
  const id = "le-" + control.attribute;
  const input = make("input", { type: "range", id, step: "any" });
  const output = make("output", { for: id });
  const clear = make("button", { type: "button", class: "clear", "aria-label": control.label + " back to 0", title: "Back to 0", text: "×" });
  const lock = make("button", { type: "button", class: "lock", "aria-pressed": "false", "aria-label": "Lock: " + control.label, title: "Lock: must not change" });
  const slip = make("small", { class: "slip" });
  const row = make("div", { class: "row", "data-name": control.attribute },
    make("label", { for: id, text: control.label }), output,
    make("span", { class: "end", text: control.left }), input,
    make("span", { class: "end right", text: control.right }), clear, lock, slip);
  const words = [control.label, control.attribute, control.left, control.right, control.trait, control.group];
  controls.set(control.attribute, { ...control, row, input, output, clear, lock, slip,
    found: words.join(" ").replaceAll("_", " ").toLowerCase() });
  input.addEventListener("input", () => { set(control.attribute, step(control, input.value)); move(true); });
  input.addEventListener("change", () => settle());
  input.addEventListener("dblclick", () => { set(control.attribute, 0); settle(); });
  clear.addEventListener("click", () => { set(control.attribute, 0); settle(); input.focus(); });
  lock.addEventListener("click", () => toggleLock(control.attribute));
  place(control.attribute);
  return row;
}

// Round to hundredths. Near 0 the step is 0, so that a slider is easily set back.
const step = (control, value) => {
  const rounded = Math.round(value * 100) / 100;
  const home = Math.abs(rounded) < (control.high - control.low) / 120;
  return home ? 0 : control.flipped ? -rounded : rounded;
};

function set(name, value) {
  if (value) model.steps[name] = value;
  else delete model.steps[name];
  place(name);
}

// Place a slider as `model` says. An opened recipe may go past its range: then the range grows.
function place(name) {
  const control = controls.get(name);
  const value = model.steps[name] || 0;
  const at = control.flipped ? -value : value;
  const ends = control.flipped ? [-control.high, -control.low] : [control.low, control.high];
  const [low, high] = [Math.min(ends[0], at), Math.max(ends[1], at)];
  const { input, row, output } = control;
  input.min = low;
  input.max = high;
  if (document.activeElement !== input || +input.value !== at) input.value = at;
  const share = (x) => ((x - low) / (high - low)) * 100 + "%";
  input.style.setProperty("--zero", share(Math.max(low, Math.min(high, 0))));
  input.style.setProperty("--from", share(Math.min(0, at)));
  input.style.setProperty("--to", share(Math.max(0, at)));
  const text = value ? readout(control, value) : "";
  output.textContent = text;
  input.setAttribute("aria-valuetext", value ? text : "unchanged");
  row.toggleAttribute("data-moved", value !== 0);
}

// What a step does to this face, if that was measured already; else what it usually does.
function readout(control, value) {
  const learned = now.learned.get(control.attribute);
  const knots = learned || control.calibration;
  const size = (control.flipped ? -value : value).toFixed(1);
  const signed = size > 0 ? "+" + size : size;
  if (!knots) return signed;
  const about = learned ? "about " : "usually ";
  if (knots.years && control.attribute === "Young") {
    const zero = interpolate(0, knots.steps, knots.years);
    const years = Math.round(interpolate(value, knots.steps, knots.years) - (learned ? zero : 0));
    return about + (years > 0 ? "+" : "") + years + " years";
  }
  if (!knots.probabilities) return signed;
  const has = interpolate(value, knots.steps, knots.probabilities);
  const share = control.flipped ? 1 - has : has;
  const words = now.words.find(([limit]) => share < limit);
  return (learned ? "" : about) + (words ? words[1] : now.likeliest);
}

function interpolate(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  const right = xs.findIndex((knot) => knot >= x);
  if (right < 0) return ys[ys.length - 1];
  const share = (x - xs[right - 1]) / (xs[right] - xs[right - 1]);
  return ys[right - 1] + share * (ys[right] - ys[right - 1]);
}

function move(preview) {
  const { steps, auto, strictness, given } = model;
  send({ do: "move", steps: { ...steps }, auto, strictness, given, locks: [...model.locks], preview });
}

// A move counts for undo once the slider rests: arrow keys held down are one move, not thirty. With
// a mouse or finger, the slider rests when it is let go.
let settling = 0;
let keyed = false;
for (const kind of ["keydown", "pointerdown"]) {
  document.addEventListener(kind, () => { keyed = kind === "keydown"; }, true);
}

function settle() {
  clearTimeout(settling);
  settling = setTimeout(settleNow, 150);
  page.toggleAttribute("data-resting", true);
  if (!keyed) settleNow();
}

function settleNow() {
  if (!settling) return;
  clearTimeout(settling);
  settling = 0;
  page.toggleAttribute("data-resting", false);
  move(false);
}

function toggleLock(name) {
  if (!model.locks.delete(name)) model.locks.add(name);
  locksTouched();
}

function locksTouched() {
  model.given = false;
  drawLocks();
  settle();
}

function drawLocks() {
  for (const [name, { lock, row }] of controls) {
    lock.setAttribute("aria-pressed", String(model.locks.has(name)));
    row.toggleAttribute("data-locked", model.locks.has(name));
  }
  const open = [...controls.keys()].filter((name) => !(name in model.steps));
  const all = open.length > 0 && open.every((name) => model.locks.has(name));
  const preset = model.given ? "" : all ? "all" : model.locks.size ? "" : model.auto ? "auto" : "none";
  for (const button of $$("[data-preset]")) {
    button.setAttribute("aria-pressed", String(button.dataset.preset === preset));
  }
  const strict = $(".strict");
  strict.toggleAttribute("data-off", !model.locks.size);
  $("input", strict).disabled = !model.locks.size;
  $("input", strict).value = model.strictness;
  $("output", strict).textContent = percent(model.strictness);
  drawHolding();
}

function drawHolding() {
  const labels = now.held.filter((name) => controls.has(name))
    .map((name) => controls.get(name).label.toLowerCase());
  const locks = model.locks.size ? model.locks.size + (model.locks.size === 1 ? " lock" : " locks") + " of yours. " : "";
  let text = "Nothing is held: much may come along.";
  if (model.given) text = "Held as in the opened recipe.";
  else if (labels.length) {
    const shown = labels.slice(0, 5).join(", ");
    const more = labels.length > 5 ? " and " + (labels.length - 5) + " more" : "";
    text = "Held for you: " + shown + more + ".";
  }
  else if (locks) text = "";
  else if (model.auto) text = "What usually comes along with a move is held for you.";
  $(".holding").textContent = locks + text;
}

function preset(name) {
  model.auto = name !== "none";
  model.locks = new Set(name === "all" ? [...controls.keys()].filter((key) => !(key in model.steps)) : []);
  model.strictness = 1;
  locksTouched();
}

// ---- faces

function setWay(way) {
  page.dataset.way = way;
  sessionStorage.setItem("way", way);
  for (const button of $$("button[data-way]")) button.setAttribute("aria-pressed", String(button.dataset.way === way));
  for (const part of $$(".way")) part.hidden = part.dataset.of !== way;
}

function drawGallery(gallery) {
  now.gallery = gallery.page;
  $(".gallery").replaceChildren(...gallery.faces.map((face) => {
    const button = make("button", { type: "button", "data-seed": face.seed, "aria-label": "Face of seed " + face.seed, title: "Seed " + face.seed },
      make("img", { src: face.picture.url, alt: "" }));
    button.addEventListener("click", () => pick({ seed: face.seed }));
    return button;
  }));
  markGallery();
}

function markGallery() {
  for (const button of $$(".gallery button")) {
    button.setAttribute("aria-pressed", String(!model.photo && +button.dataset.seed === model.seed));
  }
}

function pick(face) {
  if ("seed" in face) model.seed = face.seed;
  settleNow();
  fit();
  send({ do: "face", keep: $(".keep").checked, ...face });
}

// If a photo has several faces, all are outlined and the user clicks one.
function choosing(on) {
  if (!on) $(".outlines").replaceChildren();
  for (const part of $$(".sliders, .locks, .bar, .story")) part.inert = on;
  page.toggleAttribute("data-choosing", on);
}

function choose({ picture: shown, faces }) {
  setMode("one");
  choosing(true);
  $(".looking").hidden = true;
  fit();
  for (const image of $$(".le-original img, .before, .after")) picture(image, shown);
  setRatio($(".le-original img"));
  now.original = "";
  $(".outlines").replaceChildren(...faces.map((face) => {
    const button = make("button", { type: "button", "aria-label": "Face " + face.number + " from the left" });
    for (const side of ["left", "top", "width", "height"]) button.style[side] = 100 * face[side] + "%";
    button.addEventListener("click", () => {
      notice("Looking at this face ...");
      send({ do: "sitter", face: face.number });
    });
    return button;
  }));
  notice("Whose face? Click one of the " + faces.length + ".");
  $(".outlines button").focus();
}

function open(file) {
  if (!file) return;
  if (file.size > now.most) {
    notice("This file has more than " + now.most / 1e6 + " MB: choose a smaller one.", true);
    return;
  }
  settleNow();
  const other = drawing()?.takes_photos === false && takesPhotos();
  notice("Reading " + file.name + (other ? "; " + other.name + " draws photos, and may have to be loaded" : "") + " ...");
  fit();
  send({ run: () => post("file", file, { "x-name": encodeURIComponent(file.name || "photo") }) });
}

// ---- ways to show the edit

function setMode(mode) {
  page.dataset.mode = mode;
  for (const button of $$("button[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  clearInterval(now.ticking);
  $(".film").hidden = true;
  $(".scrub").hidden = mode !== "film";
  if (mode === "film") askForFilm();
}

function askForFilm() {
  clearInterval(now.ticking);
  now.frames = [];
  $(".film").hidden = true;
  if (!Object.keys(model.steps).length) {
    notice("Move a slider first: then there is a film to show.");
    return;
  }
  for (let index = 0; index < now.count; index += 1) send({ do: "frame", index, film: true });
}

function addFrame({ frame: shown, index }) {
  now.frames[index] = shown;
  if (now.frames.filter(Boolean).length < now.count) {
    notice("Making the film: " + now.frames.filter(Boolean).length + " of " + now.count);
    return;
  }
  notice("");
  const scrub = $(".scrub input");
  scrub.max = now.count - 1;
  scrub.value = 0;
  frame(0);
  now.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  tick();
}

function frame(index) {
  if (!now.frames[index]) return;
  picture($(".film"), now.frames[index]);
  $(".film").hidden = page.dataset.mode !== "film";
}

function tick() {
  clearInterval(now.ticking);
  $("[data-do=play]").textContent = now.playing ? "Pause" : "Play";
  $("[data-do=play]").setAttribute("aria-pressed", String(now.playing));
  if (!now.playing || now.frames.length < 2) return;
  let at = +$(".scrub input").value;
  let way = 1;
  let still = 0;
  now.ticking = setInterval(() => {
    if (still > 0) { still -= 1; return; }
    if (at + way < 0 || at + way >= now.frames.length) { way = -way; still = 5; return; }
    at += way;
    $(".scrub input").value = at;
    frame(at);
  }, 130);
}

// ---- buttons, fields, files and keys

const acts = {
  undo: () => { settleNow(); send({ do: "undo" }); },
  redo: () => { settleNow(); send({ do: "redo" }); },
  reset: () => { settleNow(); send({ do: "reset" }); },
  dice: () => pick({ dice: true }),
  more: () => send({ do: "gallery", page: now.gallery + 1 }),
  play: () => { now.playing = !now.playing; tick(); },
  in: () => zoomBy(1.5),
  out: () => zoomBy(1 / 1.5),
  fit,
  face: () => { setMode("one"); zoomTo(now.face.square); },
};

function take(what) {
  settleNow();
  for (const menu of $$("details.more")) menu.open = false;
  notice("Making the file ...");
  send({ run: async () => { await saveFile(what); return {}; } });
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) acts[button.dataset.do]();
  if (button.dataset.mode) setMode(button.dataset.mode);
  if (button.dataset.preset) preset(button.dataset.preset);
  if (button.dataset.take) take(button.dataset.take);
  if (button.dataset.way) setWay(button.dataset.way);
});

const seedField = $(".seed input");
seedField.addEventListener("input", () => { now.typing = true; });
seedField.addEventListener("keydown", (event) => { if (event.key === "Enter") pickTyped(); });
seedField.addEventListener("blur", pickTyped);
seedField.addEventListener("change", pickTyped); // the arrow buttons of the number field

function pickTyped() {
  if (!now.typing && Number(seedField.value) === model.seed) return;
  now.typing = false;
  const typed = seedField.value.trim();
  if (typed === "") seedField.value = model.seed;
  else if (Number(typed) !== model.seed || model.photo) pick({ seed: Number(typed) });
}

$(".strict input").addEventListener("input", (event) => {
  model.strictness = +event.target.value;
  model.given = false;
  drawLocks();
  move(true);
});
$(".strict input").addEventListener("change", settle);

$(".swipe").addEventListener("input", (event) => $(".le-edited").style.setProperty("--at", event.target.value + "%"));
$(".scrub input").addEventListener("input", (event) => {
  now.playing = false;
  tick();
  frame(+event.target.value);
});

function search(text) {
  const words = text.toLowerCase().split(/[^a-z0-9']+/).filter(Boolean);
  let count = 0;
  for (const { row, found } of controls.values()) {
    row.hidden = !words.every((word) => found.includes(word));
    count += !row.hidden;
  }
  for (const [index, details] of $$(".groups details").entries()) {
    details.hidden = !$$(".row", details).some((row) => !row.hidden);
    if (words.length) details.open = true;
    else details.open = index === 0 || $$(".row[data-moved]", details).length > 0;
  }
  $(".none").hidden = count > 0;
}
$(".search").addEventListener("input", (event) => search(event.target.value));
$(".search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.target.value = ""; search(""); }
});

for (const input of $$("#edit input[type=file]")) {
  input.addEventListener("change", () => { open(input.files[0]); input.value = ""; });
}
// On other tabs a file that misses its place does nothing; else the browser would leave the page.
const dragsFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
const over = (on) => page.toggleAttribute("data-dropping", on);
document.addEventListener("dragover", (event) => { if (dragsFile(event)) { event.preventDefault(); over(!page.hidden); } });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
document.addEventListener("drop", (event) => {
  if (!dragsFile(event)) return;
  event.preventDefault();
  over(false);
  if (!page.hidden) open(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files || [])][0];
  if (file && !page.hidden) open(file);
});

document.addEventListener("keydown", (event) => {
  if (page.hidden || $("dialog[open]") || !(event.ctrlKey || event.metaKey) || event.altKey) return;
  const field = event.target.closest("input, textarea");
  if (field && !["range", "checkbox", "file"].includes(field.type)) return; // text fields have their own undo
  const key = event.key.toLowerCase();
  const act = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
  if (!act) return;
  event.preventDefault();
  acts[act]();
});

startStage();
startModels(chooseModel);
whenClosed($("details.more"));
$(".lacking button").addEventListener("click", openModels);
startCamera($(".shoot"), open, (message) => notice(message, true));
holdOriginal($(".hold"));
setWay("seed");
document.addEventListener("visibilitychange", rest);
addEventListener("pagehide", () => {
  if (session.token) navigator.sendBeacon("latentedit/goodbye", session.token);
});
send({ run: async () => { await begin(); return null; } });
