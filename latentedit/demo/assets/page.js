// The page. It holds what the user set (`model`), sends requests one at a time through Gradio's
// value of this component, and draws the replies. `element`, `props`, `trigger` and `watch` are
// Gradio's.

const $ = (selector, root = element) => root.querySelector(selector);
const $$ = (selector, root = element) => [...root.querySelectorAll(selector)];

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

const percent = (share) => Math.round(share * 100) + "%";

const model = { seed: 0, steps: {}, auto: true, locks: new Set(), strictness: 1, given: false };
const controls = new Map(); // attribute -> its data and nodes
const page = { gallery: 0, words: [], likeliest: "", maxUpload: 0, frames: [], playing: true, typing: false };

// ---- requests: one at a time; a preview that still waits is dropped when something newer comes

const ANSWER_WITHIN = 20000;
let waiting = [];
let asked = null;
let serial = 0;
let patience = 0;

function send(request) {
  waiting = waiting.filter((earlier) => !earlier.preview);
  waiting.push(request);
  next();
}

function next() {
  if (asked || !waiting.length) return;
  asked = { ...waiting.shift(), serial: ++serial };
  element.toggleAttribute("data-busy", true);
  patience = setTimeout(() => {
    asked = null;
    waiting = [];
    element.toggleAttribute("data-busy", false);
    notice("No answer. Is the demo still running? Reload the page to try again.", true);
  }, ANSWER_WITHIN);
  props.value = asked;
  trigger("act");
}

function receive() {
  const reply = props.value;
  if (!reply || !reply.reply) return;
  if (reply.groups) build(reply);
  else if (!asked || reply.serial !== asked.serial) return;
  const request = asked;
  clearTimeout(patience);
  asked = null;
  element.toggleAttribute("data-busy", waiting.length > 0);
  draw(reply, request);
  next();
}

// ---- drawing replies

function draw(reply, request) {
  if (reply.view) adopt(reply.view);
  if (reply.original) show(reply, request);
  if ("undo" in reply) {
    $("[data-do=undo]").disabled = !reply.undo;
    $("[data-do=redo]").disabled = !reply.redo;
  }
  if (reply.gallery) drawGallery(reply.gallery);
  if (reply.film) play(reply.film);
  if (reply.file) save(reply.file);
  if (reply.message) notice(reply.message, !reply.original);
  else if (request && !request.preview) notice("");
}

function adopt(view) {
  if (waiting.some((request) => request.do === "move")) return; // something newer is on its way
  Object.assign(model, view, { locks: new Set(view.locks) });
  if (!page.typing) seedField.value = model.seed;
  for (const name of controls.keys()) place(name);
  drawLocks();
  markGallery();
}

function show(reply, request) {
  for (const image of $$(".le-original img, .le-before")) image.src = reply.original;
  for (const image of $$(".le-edited img, .le-after")) image.src = reply.edited;
  for (const image of $$(".le-edited img, .le-after")) image.alt = "The edited face. " + reply.told;
  const moved = reply.changes.length > 0;
  $(".le-hint").hidden = moved;
  $(".le-changes").hidden = !moved;
  $(".le-age").hidden = !reply.years;
  if (reply.years) {
    const [before, after] = $$(".le-age b");
    before.textContent = Math.round(reply.years[0]);
    after.textContent = Math.round(reply.years[1]);
    $(".le-age").classList.toggle("le-same", !moved);
  }
  const others = reply.changes.filter((change) => !change.asked);
  $(".le-asked ul").replaceChildren(...reply.changes.filter((change) => change.asked).map(bar));
  $(".le-others ul").replaceChildren(...others.map(bar));
  $(".le-others p").hidden = others.length > 0;
  $(".le-fights").replaceChildren(...reply.fights.map((text) => make("li", { text })));
  if (!request || !request.preview) $(".le-told").textContent = reply.told;
  for (const [name, { row }] of controls) row.toggleAttribute("data-held", reply.held.includes(name));
  page.held = reply.held;
  drawHolding();
  const film = element.querySelector(".le").dataset.mode === "film";
  if (film && (!request || !request.preview)) askForFilm();
}

function bar(change) {
  const [from, to] = [change.before, change.after].map(percent);
  const left = Math.min(change.before, change.after);
  const track = make("span", { class: "le-track" }, make("i", {
    style: "left:" + percent(left) + ";width:" + percent(Math.abs(change.after - change.before)),
  }), make("em", { style: "left:" + to }));
  const words = change.words[0] === change.words[1] ? change.words[1]
    : change.words[0] + " → " + change.words[1];
  return make("li", { title: from + " → " + to },
    make("b", { text: change.trait }), track,
    make("span", { class: "le-words", text: words }));
}

let forgetting = 0;

function notice(text, bad = false) {
  const line = $(".le-notice");
  clearTimeout(forgetting);
  line.textContent = text;
  line.hidden = !text;
  line.classList.toggle("le-bad", bad);
  if (text && !bad) forgetting = setTimeout(() => notice(""), 6000);
}

// ---- sliders and locks

function build(start) {
  Object.assign(page, { words: start.words, likeliest: start.likeliest, maxUpload: start.max_upload });
  controls.clear();
  $(".le-groups").replaceChildren(...start.groups.map((group, index) => {
    const rows = group.controls.map(makeRow);
    const title = make("summary", {}, make("span", { text: group.title }),
      make("small", { text: String(rows.length) }));
    const details = make("details", index === 0 ? { open: "" } : {}, title, ...rows);
    return details;
  }));
}

function makeRow(control) {
  const id = "le-" + control.attribute;
  const input = make("input", { type: "range", id, step: "any" });
  const output = make("output", { for: id });
  const clear = make("button", { type: "button", class: "le-clear", "aria-label": control.label + " back to 0", title: "Back to 0", text: "×" });
  const lock = make("button", { type: "button", class: "le-lock", "aria-pressed": "false", "aria-label": "Lock: " + control.label, title: "Lock: must not change" });
  const row = make("div", { class: "le-row", "data-name": control.attribute },
    make("label", { for: id, text: control.label }), output,
    make("span", { class: "le-end", text: control.left }), input,
    make("span", { class: "le-end le-right", text: control.right }), clear, lock);
  const words = [control.label, control.attribute, control.left, control.right, control.trait, control.group];
  controls.set(control.attribute, { ...control, row, input, output, clear, lock,
    found: words.join(" ").replaceAll("_", " ").toLowerCase() });
  input.addEventListener("input", () => { set(control.attribute, step(control, input.value)); move(true); });
  input.addEventListener("change", () => settle());
  input.addEventListener("dblclick", () => { set(control.attribute, 0); settle(); });
  clear.addEventListener("click", () => { set(control.attribute, 0); settle(); input.focus(); });
  lock.addEventListener("click", () => toggleLock(control.attribute));
  place(control.attribute);
  return row;
}

// Hundredths; near 0 is 0, so that a slider finds its way home.
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

// Put a slider where the model says; beyond its range (an opened recipe) the range grows.
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

// What a step usually does, from its calibration: years for age, else how likely the trait becomes.
function readout(control, value) {
  const size = (control.flipped ? -value : value).toFixed(1);
  const signed = size > 0 ? "+" + size : size;
  const knots = control.calibration;
  if (!knots) return signed;
  if (knots.years && control.attribute === "Young") {
    const years = Math.round(interpolate(value, knots.steps, knots.years));
    return (years > 0 ? "+" : "") + years + " years · " + signed;
  }
  const has = interpolate(value, knots.steps, knots.probabilities);
  const share = control.flipped ? 1 - has : has;
  const words = page.words.find(([limit]) => share < limit);
  return (words ? words[1] : page.likeliest) + " · " + signed;
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

// A move counts once the slider rests: arrow keys held down are one move, not thirty.
let resting = 0;

function settle() {
  clearTimeout(resting);
  resting = setTimeout(settleNow, 150);
  element.toggleAttribute("data-resting", true);
}

function settleNow() {
  if (!resting) return;
  clearTimeout(resting);
  resting = 0;
  element.toggleAttribute("data-resting", false);
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
  const strict = $(".le-strict");
  strict.toggleAttribute("data-off", !model.locks.size);
  $("input", strict).disabled = !model.locks.size;
  $("input", strict).value = model.strictness;
  $("output", strict).textContent = percent(model.strictness);
  drawHolding();
}

function drawHolding() {
  const labels = (page.held || []).filter((name) => controls.has(name))
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
  $(".le-holding").textContent = locks + text;
}

function preset(name) {
  model.auto = name !== "none";
  model.locks = new Set(name === "all" ? [...controls.keys()].filter((key) => !(key in model.steps)) : []);
  model.strictness = 1;
  locksTouched();
}

// ---- faces

function drawGallery(gallery) {
  page.gallery = gallery.page;
  $(".le-gallery").replaceChildren(...gallery.faces.map((face) => {
    const button = make("button", { type: "button", "data-seed": face.seed, "aria-label": "Face of seed " + face.seed, title: "Seed " + face.seed },
      make("img", { src: face.picture, alt: "" }));
    button.addEventListener("click", () => pick({ seed: face.seed }));
    return button;
  }));
  markGallery();
}

function markGallery() {
  for (const button of $$(".le-gallery button")) {
    button.setAttribute("aria-pressed", String(+button.dataset.seed === model.seed));
  }
}

function pick(face) {
  if ("seed" in face) model.seed = face.seed;
  settleNow();
  send({ do: "face", keep: $(".le-keep").checked, ...face });
}

// ---- ways to look

function setMode(mode) {
  $(".le").dataset.mode = mode;
  for (const button of $$("button[data-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  clearInterval(page.ticking);
  if (mode === "film") askForFilm();
}

function askForFilm() {
  clearInterval(page.ticking);
  if (!Object.keys(model.steps).length) {
    $(".le-film img").src = $(".le-edited img").src;
    page.frames = [];
    notice("Move a slider first: then there is a film to show.");
    return;
  }
  send({ do: "film" });
}

function play(frames) {
  page.frames = frames;
  const scrub = $(".le-scrub input");
  scrub.max = frames.length - 1;
  scrub.value = 0;
  frame(0);
  page.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  tick();
}

function frame(index) {
  if (page.frames[index]) $(".le-film img").src = page.frames[index];
}

function tick() {
  clearInterval(page.ticking);
  $("[data-do=play]").textContent = page.playing ? "Pause" : "Play";
  $("[data-do=play]").setAttribute("aria-pressed", String(page.playing));
  if (!page.playing || page.frames.length < 2) return;
  let at = +$(".le-scrub input").value;
  let way = 1;
  let rest = 0;
  page.ticking = setInterval(() => {
    if (rest > 0) { rest -= 1; return; }
    if (at + way < 0 || at + way >= page.frames.length) { way = -way; rest = 5; return; }
    at += way;
    $(".le-scrub input").value = at;
    frame(at);
  }, 130);
}

// ---- files: saved by the browser and read by it, so none lies on the server

function save(file) {
  const bytes = Uint8Array.from(atob(file.data), (letter) => letter.charCodeAt(0));
  const link = make("a", { download: file.name });
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function open(file) {
  if (!file) return;
  if (file.size > page.maxUpload) {
    notice("This file has more than " + page.maxUpload / 1e6 + " MB: no picture or recipe saved here is that large.", true);
    return;
  }
  const reader = new FileReader();
  reader.onerror = () => notice("The browser could not read this file.", true);
  reader.onload = () => {
    settleNow();
    send({ do: "open", data: reader.result.slice(reader.result.indexOf(",") + 1) });
  };
  reader.readAsDataURL(file);
}

// ---- what the user touches

const acts = {
  undo: () => { settleNow(); send({ do: "undo" }); },
  redo: () => { settleNow(); send({ do: "redo" }); },
  reset: () => { settleNow(); send({ do: "reset" }); },
  dice: () => pick({ dice: true }),
  more: () => send({ do: "gallery", page: page.gallery + 1 }),
  play: () => { page.playing = !page.playing; tick(); },
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) acts[button.dataset.do]();
  if (button.dataset.mode) setMode(button.dataset.mode);
  if (button.dataset.preset) preset(button.dataset.preset);
  if (button.dataset.take) { settleNow(); send({ do: "take", what: button.dataset.take }); }
});

const seedField = $(".le-seed input");
seedField.addEventListener("input", () => { page.typing = true; });
seedField.addEventListener("keydown", (event) => { if (event.key === "Enter") pickTyped(); });
seedField.addEventListener("blur", pickTyped);
seedField.addEventListener("change", pickTyped); // the arrows beside the number

function pickTyped() {
  page.typing = false;
  const typed = seedField.value.trim();
  if (typed === "") seedField.value = model.seed;
  else if (Number(typed) !== model.seed) pick({ seed: Number(typed) });
}

$(".le-strict input").addEventListener("input", (event) => {
  model.strictness = +event.target.value;
  model.given = false;
  drawLocks();
  move(true);
});
$(".le-strict input").addEventListener("change", settle);

const swipe = $(".le-swipe");
$("input", swipe).addEventListener("input", (event) => swipe.style.setProperty("--at", event.target.value + "%"));
$(".le-scrub input").addEventListener("input", (event) => {
  page.playing = false;
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
  for (const [index, details] of $$(".le-groups details").entries()) {
    details.hidden = !$$(".le-row", details).some((row) => !row.hidden);
    if (words.length) details.open = true;
    else details.open = index === 0 || $$(".le-row[data-moved]", details).length > 0;
  }
  $(".le-none").hidden = count > 0;
}
$(".le-search").addEventListener("input", (event) => search(event.target.value));
$(".le-search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.target.value = ""; search(""); }
});

$(".le-drop input").addEventListener("change", (event) => { open(event.target.files[0]); event.target.value = ""; });
const dragsFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files")
  && !event.target.closest?.(".le-portrait"); // a photo to be judged
const over = (on) => element.toggleAttribute("data-dropping", on);
document.addEventListener("dragover", (event) => { if (dragsFile(event)) { event.preventDefault(); over(true); } });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
document.addEventListener("drop", (event) => {
  if (!dragsFile(event)) return;
  event.preventDefault();
  over(false);
  open(event.dataTransfer.files[0]);
});

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const field = event.target.closest("input, textarea");
  if (field && !["range", "checkbox", "file"].includes(field.type)) return; // text has its own undo
  const key = event.key.toLowerCase();
  const act = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
  if (!act) return;
  event.preventDefault();
  acts[act]();
});

watch("value", receive);
receive();
