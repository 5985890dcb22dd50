// Takes a photo with a desktop's camera. Phones offer their camera in the file chooser.

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

let asked = 0; // counts requests for the camera; only the last one is valid
let stream = null;

// Hides the button if the browser has no camera access; otherwise the button opens the camera.
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
    track.addEventListener("ended", () => { // for example unplugged; our own stop() sends no event
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

// Take the whole picture as the camera gives it; only the preview is mirrored.
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
