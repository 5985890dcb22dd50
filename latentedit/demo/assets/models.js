// The menu of models in the top bar: which one draws, which others are here, how to get more.

import { $, make, post, whenClosed } from "./tabs.js";

const menu = $(".model");
const chip = $("summary b", menu);
const card = $(".card", menu);
let listed = [];
let choose = () => {};

// `onChoice` is called with the name of the model that the user chooses.
export function startModels(onChoice) {
  choose = onChoice;
  whenClosed(menu);
  $("summary", menu).addEventListener("click", (event) => {
    if (menu.hasAttribute("data-loading")) event.preventDefault();
  });
  menu.addEventListener("toggle", async () => {
    if (!menu.open) return;
    try {
      drawModels((await post("models", {})).models); // a model may have been pulled meanwhile
    } catch { /* the old list stays */ }
  });
}

export function drawModels(models) {
  listed = models;
  const focused = document.activeElement?.closest?.(".model li")?.dataset.name;
  chip.textContent = drawing().name;
  card.replaceChildren(make("h3", { text: "Which model draws" }), make("ul", {}, ...models.map(entry)));
  if (focused) $("li[data-name=" + CSS.escape(focused) + "] button", card)?.focus();
}

export const drawing = () => listed.find((model) => model.drawing);

// Show that a model is being loaded; without a name, that loading has ended.
export function loadingModel(name) {
  menu.toggleAttribute("data-loading", Boolean(name));
  if (name) menu.open = false;
  chip.textContent = name ? "Loading " + name + " ..." : drawing().name;
}

// A model here that takes photos, and one that could be pulled.
export const takesPhotos = () => listed.find((model) => model.takes_photos && !model.command);
export const couldTakePhotos = () => listed.find((model) => model.takes_photos && model.command);

export function openModels() {
  menu.open = true;
  scrollTo({ top: 0 });
  $("summary", menu).focus();
}

function entry(model) {
  const size = model.edge ? "pictures of " + model.edge.toLocaleString("en") + " pixels, " : "";
  const about = size + (model.takes_photos ? "takes photos" : "no photos");
  if (model.command) return missing(model, about);
  const button = make("button", { type: "button", "aria-pressed": String(model.drawing) },
    make("b", { text: model.name }), make("small", { text: about }));
  button.addEventListener("click", () => {
    menu.open = false;
    $("summary", menu).focus();
    if (!model.drawing) choose(model.name);
  });
  return make("li", { "data-name": model.name }, button);
}

function missing(model, about) {
  const how = "Not here yet. Whoever runs this page gets it once (" + model.megabytes + " MB) in a terminal; then choose it here:";
  const copy = make("button", { type: "button", class: "tool", text: "Copy", "aria-label": "Copy the command that gets " + model.name });
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.command);
      copy.textContent = "Copied";
    } catch {
      copy.hidden = true; // the user can still select the text
    }
  });
  return make("li", { "data-name": model.name, class: "missing" },
    make("b", { text: model.name }), make("small", { text: about }), make("small", { text: how }),
    make("span", { class: "command" }, make("code", { text: model.command }), copy));
}
