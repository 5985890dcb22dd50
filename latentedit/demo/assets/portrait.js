// The tab Portrait check. A chosen photo is made smaller here if it is large, and sent as the value
// of this component; the reply's HTML is shown. `element`, `props`, `trigger` and `watch` are Gradio's.

const LONGEST = 1600;
const input = element.querySelector("input");
const zone = element.querySelector(".le-drop");
const found = element.querySelector(".le-found");
const convention = element.querySelector(".le-for select");
let last = null; // what is judged again when the convention changes

const base64 = (url) => url.slice(url.indexOf(",") + 1);

const fileAsUrl = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = failed;
  reader.readAsDataURL(file);
});

// what the browser can show is sent upright and small, anything else as it is
async function asUrl(file) {
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.95);
  } catch {
    return fileAsUrl(file);
  }
}

async function look(file) {
  if (!file) return;
  last = file;
  found.textContent = "Looking...";
  try {
    const photo = base64(await asUrl(file));
    props.value = { name: file.name, photo, for: convention.value };
    trigger("check");
  } catch {
    found.textContent = "The browser could not read this file.";
  }
}

convention.addEventListener("change", () => look(last));

input.addEventListener("change", () => { look(input.files[0]); input.value = ""; });

for (const name of ["dragover", "dragleave", "drop"]) {
  zone.addEventListener(name, (event) => {
    event.preventDefault();
    zone.toggleAttribute("data-over", name === "dragover");
    if (name === "drop") look(event.dataTransfer.files[0]);
  });
}

watch("value", () => {
  if (props.value && props.value.html) found.innerHTML = props.value.html;
});
