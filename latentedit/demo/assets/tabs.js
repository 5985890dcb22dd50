// What all parts of the page share: requests and replies, menus, colours; and the other tabs.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

export const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

export const session = {
  model: "",
  controls: new Map(),
  begin: null, // begins anew, see page.js
  get token() { return sessionStorage.getItem("visitor") || ""; },
  set token(token) { sessionStorage.setItem("visitor", token); },
};

// ---- requests

const ANSWER_WITHIN = 120000;
const LOADED_WITHIN = 600000; // for requests that may load a model first

async function ask(path, body, headers = {}) {
  const file = body instanceof Blob;
  let answer;
  try {
    answer = await fetch("latentedit/" + path, {
      method: "POST",
      body: file ? body : JSON.stringify(body),
      headers: { "x-visitor": session.token, "content-type": file ? "application/octet-stream" : "application/json", ...headers },
      signal: AbortSignal.timeout(["model", "file"].includes(path) ? LOADED_WITHIN : ANSWER_WITHIN),
    });
  } catch {
    throw new Error("No answer. Is the demo still running? Reload the page to try again.");
  }
  if (answer.ok && !answer.headers.has("x-refused")) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.message || "The server refused this: reload the page."), { gone: said.gone });
}

// If an error says that the server has forgotten this page, begin anew, which draws the open tab again.
async function anew(error) {
  if (!error.gone) return false;
  try {
    await session.begin(error.message);
    return true;
  } catch {
    return false;
  }
}

export const post = async (path, body, headers) => unpack(await (await ask(path, body, headers)).arrayBuffer());

// Reads a reply: the length of the JSON, the JSON, and the pictures, see `replies.pack`.
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return JSON.parse(text, (name, value) => (value && typeof value === "object" && "at" in value && "type" in value
    ? { key: value.key, url: urlOf(value, buffer, 4 + length) } : value));
}

// Pictures that the page keeps, by key. The oldest are dropped, except those that are shown.
const KEPT = 120;
const urls = new Map();

function urlOf({ key, at, length, type }, buffer, start) {
  let url = urls.get(key);
  if (url) urls.delete(key);
  else url = URL.createObjectURL(new Blob([new Uint8Array(buffer, start + at, length)], { type }));
  urls.set(key, url);
  if (urls.size > KEPT) {
    const seen = new Set($$("img").map((image) => image.src));
    for (const [old, gone] of urls) {
      if (urls.size <= KEPT) break;
      if (seen.has(gone) || old === key) continue;
      urls.delete(old);
      URL.revokeObjectURL(gone);
    }
  }
  return url;
}

export async function saveFile(what) {
  const answer = await ask("take", { what });
  const named = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("content-disposition") || "");
  const link = make("a", { download: named ? decodeURIComponent(named[1]) : "face" });
  link.href = URL.createObjectURL(await answer.blob());
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 30000);
}

// ---- menus

// Close a menu on Escape, and on a press outside it.
export function whenClosed(menu) {
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    $("summary", menu).focus();
  });
  document.addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) menu.open = false; });
}

// ---- tabs

const opened = { compare: drawComparison, portrait: () => judge(null) };

// Draw the open tab again, because another model draws now.
export function drawTabs() {
  const shown = $$("[role=tab]").find((tab) => tab.getAttribute("aria-selected") === "true");
  if (opened[shown.dataset.tab]) opened[shown.dataset.tab]();
}

function openTab(name, focus = false) {
  for (const tab of $$("[role=tab]")) {
    const chosen = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
  }
  for (const panel of $$("[role=tabpanel]")) panel.hidden = panel.id !== name;
  if (opened[name]) opened[name]();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tab]");
  if (button) openTab(button.dataset.tab);
});
$("[role=tablist]").addEventListener("keydown", (event) => {
  const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!way) return;
  const tabs = $$("[role=tab]");
  const at = tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
  openTab(tabs[(at + way + tabs.length) % tabs.length].dataset.tab, true);
});

// ---- Compare

const what = $("#compare .what");
const far = $("#compare .far input");
let comparing = 0;
let compared = ""; // the model whose sliders are listed

function drawComparison() {
  if (compared !== session.model) {
    compared = session.model;
    what.replaceChildren(...[...session.controls.values()].map((control) => make("option", { value: control.attribute, text: control.label })));
    placeComparison();
  }
  compare();
}

function placeComparison() {
  const control = session.controls.get(what.value);
  if (!control) return;
  [far.min, far.max] = control.flipped ? [-control.high, -control.low] : [control.low, control.high];
  far.value = 0.7 * far.max;
  const [left, right] = $$("#compare .far span");
  left.textContent = control.left;
  right.textContent = control.right;
}

async function compare() {
  const control = session.controls.get(what.value);
  if (!control) return;
  const mine = (comparing += 1);
  const result = $("#compare .result");
  if (!result.firstChild) result.textContent = "Comparing ...";
  const step = Math.round(far.value * 100) / 100;
  try {
    const answer = await ask("compare", { attribute: control.attribute, step: control.flipped ? -step : step });
    const html = await answer.text();
    if (mine === comparing) result.innerHTML = html;
  } catch (error) {
    if (mine === comparing && !(await anew(error))) result.textContent = error.message;
  }
}

what.addEventListener("change", () => { placeComparison(); compare(); });
far.addEventListener("change", compare);

// ---- Portrait check

const found = $("#portrait .found");
const convention = $("#portrait select");
let last = null; // the file that is judged again when the convention changes
let judging = 0;

async function judge(file) {
  last = file;
  const mine = (judging += 1);
  found.textContent = file || !$("#edit .mine").hidden ? "Looking ..." : "";
  if (!found.textContent) return;
  try {
    const answer = await ask("portrait", file || new Blob([]), { "x-name": encodeURIComponent(file ? file.name : ""), "x-for": convention.value });
    const html = await answer.text();
    if (mine === judging) found.innerHTML = html;
  } catch (error) {
    if (mine !== judging) return;
    if (!(await anew(error))) found.textContent = error.message;
    else if (file) judge(file);
  }
}

convention.addEventListener("change", () => judge(last));

const chooser = $("#portrait input");
chooser.addEventListener("change", () => { if (chooser.files[0]) judge(chooser.files[0]); chooser.value = ""; });
const zone = $("#portrait");
for (const name of ["dragover", "dragleave", "drop"]) {
  zone.addEventListener(name, (event) => {
    event.preventDefault();
    zone.toggleAttribute("data-over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) judge(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files || [])][0];
  if (file && !zone.hidden) judge(file);
});

// ---- colours

const dark = $(".top .dark");
const kept = localStorage.getItem("latentedit-theme");
const colour = (on) => {
  document.documentElement.classList.toggle("dark", on);
  dark.textContent = on ? "Light" : "Dark";
  dark.setAttribute("aria-label", on ? "Light colours" : "Dark colours");
};
colour(kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
dark.addEventListener("click", () => {
  const on = !document.documentElement.classList.contains("dark");
  localStorage.setItem("latentedit-theme", on ? "dark" : "light");
  colour(on);
});
