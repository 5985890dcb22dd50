// A photo by the camera of a desktop; phones offer theirs where files are chosen.

import { $ } from "./tabs.js";

const dialog = $(".shooting");
const video = $("video", dialog);
const shutter = $(".shutter", dialog);
const LARGEST = { width: { ideal: 4096 }, height: { ideal: 2160 } };
const QUALITY = 0.95;

const REFUSED = {
  NotAllowedError: "The camera was not allowed. Allow it in the browser's address bar, or choose a photo.",
  NotFoundError: "No camera was found: choose a photo instead.",
  NotReadableError: "The camera is used by another program: close that, or choose a photo.",
};

let asked = 0; // of several askings only the last counts
let stream = null;

// Hides the button where there is no camera; otherwise it opens one.
export function startCamera(button, onPhoto, onTrouble) {
  button.hidden = !navigator.mediaDevices?.getUserMedia;
  button.addEventListener("click", () => open(onTrouble));
  shutter.addEventListener("click", () => shoot(onPhoto, onTrouble));
  $(".cancel", dialog).addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    stop();
    button.focus();
  });
}

async function open(onTrouble) {
  const mine = (asked += 1);
  $(".waiting", dialog).hidden = false;
  shutter.disabled = true;
  dialog.showModal();
  let found;
  try {
    found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", ...LARGEST }, audio: false });
  } catch (error) {
    if (mine !== asked) return; // closed meanwhile
    dialog.close();
    onTrouble(REFUSED[error.name] || "The camera cannot be used: choose a photo instead.");
    return;
  }
  if (mine !== asked) {
    end(found);
    return;
  }
  stream = found;
  for (const track of found.getTracks()) {
    track.addEventListener("ended", () => { // taken out; not by us
      dialog.close();
      onTrouble("The camera was switched off: choose a photo instead.");
    });
  }
  video.addEventListener("loadeddata", () => {
    $(".waiting", dialog).hidden = true;
    shutter.disabled = false;
    shutter.focus();
  }, { once: true });
  video.srcObject = found;
}

// The whole picture as the camera gives it, not mirrored as it is shown.
function shoot(onPhoto, onTrouble) {
  const still = document.createElement("canvas");
  still.width = video.videoWidth;
  still.height = video.videoHeight;
  still.getContext("2d").drawImage(video, 0, 0);
  dialog.close();
  still.toBlob((blob) => {
    if (blob) onPhoto(new File([blob], "camera.jpg", { type: "image/jpeg" }));
    else onTrouble("The camera gave no picture: try again, or choose a photo.");
  }, "image/jpeg", QUALITY);
}

function stop() {
  asked += 1;
  if (stream) end(stream);
  stream = null;
  video.srcObject = null;
}

function end(ended) {
  for (const track of ended.getTracks()) track.stop();
}
