// Shows one face at a time. The next face appears before the server has saved the answer.

const $ = (selector) => document.querySelector(selector);
const KEYS = { j: "yes", arrowright: "yes", f: "no", arrowleft: "no", " ": "unsure", backspace: "back" };
const WORDS = { yes: "Yes", no: "No", unsure: "Cannot tell" };
const AHEAD = 8; // how many pictures the browser loads before they are shown

let state = null;
let faces = []; // the next seeds; the first one is on the screen
let chain = Promise.resolve(); // requests go one after another
let waiting = 0; // how many requests wait for a reply
const loaded = new Map();

function load(seed) {
  if (!loaded.has(seed)) {
    const image = new Image();
    image.src = `labels/face/${seed}`;
    image.addEventListener("error", () => { // it may be loaded again
      loaded.delete(seed);
      if (faces[0] === seed) failed();
    }, { once: true });
    loaded.set(seed, image);
    if (loaded.size > 40) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(seed);
}

function show() {
  const [seed] = faces;
  const image = $(".face img");
  document.body.dataset.seed = seed ?? "";
  $(".wait").hidden = true;
  if (seed === undefined) {
    image.removeAttribute("src");
    image.alt = "";
  } else {
    const drawn = load(seed);
    image.src = drawn.src;
    image.alt = `A generated face, seed ${seed}`;
    if (!drawn.complete) {
      $(".wait").hidden = false;
      const over = () => { if (faces[0] === seed) $(".wait").hidden = true; };
      drawn.addEventListener("load", over, { once: true });
      drawn.addEventListener("error", over, { once: true });
    }
  }
  faces.slice(1, AHEAD).forEach(load);
  for (const button of document.querySelectorAll("[data-says]")) button.disabled = seed === undefined;
}

function failed() {
  notice("This face could not be loaded: answer 'Cannot tell', or load the page again.");
  for (const button of document.querySelectorAll("[data-says=yes], [data-says=no]")) button.disabled = true;
}

function notice(text) {
  $(".notice").textContent = text;
  $(".notice").hidden = !text;
}

function count() {
  const done = state.yes + state.no;
  $(".name").textContent = state.name.replaceAll("_", " ");
  document.title = `${done} of ${state.wanted}: ${state.name}`;
  $(".done").textContent = done;
  $(".wanted").textContent = state.wanted;
  $("progress").max = state.wanted;
  $("progress").value = Math.min(done, state.wanted);
  $(".kinds").textContent = `${state.yes} yes · ${state.no} no · ${state.unsure} could not be told · ${state.model}`;
  $(".enough").hidden = !state.enough;
  $(".lacks").hidden = state.both;
  $(".fit").hidden = !state.both;
  $(".enough code").textContent = state.command;
  $("[data-do=back]").disabled = done + state.unsure === 0;
}

async function ask(what, body) {
  const reply = await fetch(`labels/${what}`, { method: "POST", body: JSON.stringify(body ?? {}) });
  if (!reply.ok) throw new Error(reply.statusText);
  return reply.json();
}

function request(what, body) {
  waiting += 1;
  document.body.dataset.waiting = waiting;
  chain = chain.then(async () => {
    try {
      const told = await ask(what, body);
      waiting -= 1;
      const lost = Boolean(told.message);
      state = told;
      notice(told.message ?? "");
      if (waiting === 0 || lost) {
        const before = faces[0];
        faces = told.faces;
        if (faces[0] !== before || before === undefined) show();
        else faces.slice(1, AHEAD).forEach(load);
      }
      count();
      if (waiting === 0 && faces.length === 0) notice("No face is left to label.");
    } catch {
      waiting -= 1;
      stopped = true;
      notice("The last answer was not saved: is the command still running? Start it again, then load this page again.");
    }
    document.body.dataset.waiting = waiting;
  });
  return chain;
}

let stopped = false;

function answer(says) {
  if (stopped || !state || faces.length === 0 || !$(".wait").hidden) return;
  if ($(`[data-says=${says}]`).disabled) return;
  const seed = faces.shift();
  $(".told").textContent = `${WORDS[says]}. ${state.yes + state.no + waiting + (says === "unsure" ? 0 : 1)} of ${state.wanted}.`;
  show();
  request("answer", { seed, says });
}

async function back() {
  if (stopped || !state || $("[data-do=back]").disabled && waiting === 0) return;
  await request("back");
  $(".told").textContent = "The last answer is taken back.";
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const does = KEYS[event.key.toLowerCase()];
  if (!does || (event.key === " " && event.target.closest("button"))) return; // Space presses a focused button
  event.preventDefault();
  if (does === "back") back();
  else answer(does);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (event.detail > 0) button.blur(); // keep Space free for 'Cannot tell'
  if (button.dataset.says) answer(button.dataset.says);
  else back();
});

request("start");
