// The figure of how-it-works.md: discounted projection in two dimensions.

const place = document.getElementById("projection");

if (place) {
  const state = { moved: 20, held: 62, discount: 1 };
  place.innerHTML = `
    <canvas width="1280" height="800" role="img" aria-label="Two boundaries and the move between them"></canvas>
    <label><span>The attribute that moves</span><input type="range" min="-90" max="90" data-of="moved"></label>
    <label><span>The attribute that is held</span><input type="range" min="-90" max="90" data-of="held"></label>
    <label><span>Discount of the hold</span><input type="range" min="0" max="1" step="0.01" data-of="discount"></label>
    <output aria-live="polite"></output>`;
  const canvas = place.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const normal = (degrees) => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1];

  // v = n_p - n_h (n_h . n_p) / (1 + (1 - g) / g): the formula for one held boundary of unit length
  const projected = (own, other, discount) => {
    if (discount === 0) return own;
    const share = dot(own, other) / (1 + (1 - discount) / discount);
    return [own[0] - share * other[0], own[1] - share * other[1]];
  };

  const at = (x, y) => [640 + 300 * x, 400 - 300 * y];

  function line(from, to, colour, width, dashed = false) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.setLineDash(dashed ? [14, 12] : []);
    pen.beginPath();
    pen.moveTo(...at(...from));
    pen.lineTo(...at(...to));
    pen.stroke();
    pen.setLineDash([]);
  }

  function arrow(vector, colour, width) {
    const length = Math.hypot(...vector);
    if (length < 1e-3) return;
    line([0, 0], vector, colour, width);
    const angle = Math.atan2(vector[1], vector[0]);
    const [x, y] = at(...vector);
    pen.fillStyle = colour;
    pen.beginPath();
    for (const turn of [0, 2.6, -2.6]) pen.lineTo(x + 26 * Math.cos(angle + turn), y - 26 * Math.sin(angle + turn));
    pen.fill();
  }

  function word(text, vector, colour) {
    const [x, y] = at(...vector);
    pen.fillStyle = colour;
    pen.fillText(text, Math.min(Math.max(x + 16, 10), 1060), Math.min(Math.max(y - 14, 34), 780));
  }

  function draw() {
    const ink = getComputedStyle(place).color;
    const [own, other] = [normal(state.moved), normal(state.held)];
    const v = projected(own, other, state.discount);
    const left = Math.hypot(...v);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.font = "30px system-ui, sans-serif";
    for (const [n, colour] of [[own, "#0f766e"], [other, "#c2620a"]]) {
      line([-4 * n[1], 4 * n[0]], [4 * n[1], -4 * n[0]], colour, 4, true);
    }
    arrow(other, "#c2620a", 5);
    word("held", other, "#c2620a");
    arrow(own, "#8a8f98", 5);
    word("free", own, "#8a8f98");
    if (left > 0.02) {
      const unit = [v[0] / left, v[1] / left];
      arrow(unit, ink, 8);
      word("held move", [1.12 * unit[0], 1.12 * unit[1] - 0.06], ink);
    }
    place.querySelector("output").textContent = left > 0.02
      ? `Of the move is left: ${Math.abs(dot(v, own) / left).toFixed(2)} (cosine). It moves the held attribute by ${(dot(v, other) / left).toFixed(2)} a step; without the hold by ${dot(own, other).toFixed(2)}.`
      : "Nothing is left of the move: release the hold.";
  }

  for (const input of place.querySelectorAll("input")) {
    input.value = state[input.dataset.of];
    input.addEventListener("input", () => {
      state[input.dataset.of] = Number(input.value);
      draw();
    });
  }

  // the nearer of the two normals follows the pointer
  let dragged = null;
  const degrees = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width - 0.5;
    const y = (event.clientY - box.top) / box.height - 0.5;
    const angle = (Math.atan2(-y * 800, x * 1280) * 180) / Math.PI;
    return Math.min(90, Math.max(-90, angle));
  };
  canvas.addEventListener("pointerdown", (event) => {
    const angle = degrees(event);
    dragged = Math.abs(angle - state.moved) < Math.abs(angle - state.held) ? "moved" : "held";
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    state[dragged] = degrees(event);
    place.querySelector(`[data-of=${dragged}]`).value = state[dragged];
    draw();
  });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });
  draw();
}
