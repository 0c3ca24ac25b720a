// Draw a digit by hand, and make of it what MNIST made of its writers' digits. Needs
// drawing.js.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  const SIZE = 28;
  const BOX = 20; // the larger side of a digit of MNIST
  const MIDDLE = 14; // the pixel of its centre of mass, in either direction
  const WIDTH = 2.8; // of a stroke, in pixels

  /** How far a point is from the segment between two others. */
  const distance = (x, y, [x0, y0], [x1, y1]) => {
    const [u, v] = [x1 - x0, y1 - y0];
    const length = u * u + v * v;
    const along = length ? ((x - x0) * u + (y - y0) * v) / length : 0;
    const t = Math.min(Math.max(along, 0), 1);
    return Math.hypot(x - x0 - t * u, y - y0 - t * v);
  };

  /** Strokes in pixel coordinates as a picture; its edges are smooth. */
  const ink = (strokes) => {
    const pixels = new Float32Array(SIZE * SIZE);
    const reach = WIDTH / 2 + 0.5;
    const within = (value) => Math.min(Math.max(value, 0), SIZE - 1);
    for (const stroke of strokes) {
      for (let n = 0; n < stroke.length; n++) {
        const [from, to] = [stroke[Math.max(n - 1, 0)], stroke[n]];
        const [top, bottom] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
        const [left, right] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
        for (let j = within(Math.ceil(top - reach)); j <= within(bottom + reach); j++) {
          for (let i = within(Math.ceil(left - reach)); i <= within(right + reach); i++) {
            const covered = Math.min(reach - distance(i, j, from, to), 1);
            const k = j * SIZE + i;
            if (covered > pixels[k]) pixels[k] = covered;
          }
        }
      }
    }
    return { width: SIZE, height: SIZE, pixels };
  };

  /** The centre of mass of a picture, in pixel coordinates. */
  stn.centreOfMass = ({ width, pixels }) => {
    let [mass, x, y] = [0, 0, 0];
    pixels.forEach((value, k) => {
      mass += value;
      x += value * (k % width);
      y += value * Math.floor(k / width);
    });
    return [x / mass, y / mass];
  };

  /**
   * A drawing as a digit of MNIST: its larger side is 20 pixels, and its centre of mass
   * comes, by whole pixels, to the middle of 28×28.
   * @param {number[][][]} strokes points of each, in any unit
   */
  stn.asMnist = (strokes) => {
    const points = strokes.flat();
    if (!points.length) return ink([]);
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const ends = [xs, ys].map((all) => [Math.min(...all), Math.max(...all)]);
    const side = Math.max(...ends.map(([low, high]) => high - low));
    const scale = side > 0 ? (BOX - WIDTH) / side : 1;
    const placed = (shift) =>
      strokes.map((stroke) =>
        stroke.map((point) =>
          point.map(
            (value, axis) =>
              (value - (ends[axis][0] + ends[axis][1]) / 2) * scale +
              (SIZE - 1) / 2 +
              shift[axis],
          ),
        ),
      );
    const centre = stn.centreOfMass(ink(placed([0, 0])));
    return ink(placed(centre.map((value) => Math.round(MIDDLE - value))));
  };

  /**
   * A pad to draw on by mouse, pen and finger: a panel, and a control.
   * @param {string} caption
   * @param {{get: () => number[][][], set: (strokes: number[][][]) => void,
   *   under: () => any}} drawing strokes in units of the pad's side, none while the
   *   picture `under` them is shown
   */
  stn.pad = (caption, { get, set, under }) => {
    const panel = stn.panel([0, 0, 1, 1], caption);
    const canvas = panel.canvas();
    canvas.classList.add("stn-pad");
    canvas.setAttribute("role", "img");
    canvas.setAttribute(
      "aria-label",
      "a pad to draw a digit on by mouse or finger; by keyboard, choose a test digit",
    );
    const path = panel.path("stn-ink");
    const at = (event) =>
      panel.at(event).map((value) => Number(Math.min(Math.max(value, 0), 1).toFixed(4)));
    let held = false;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held = true;
      canvas.setPointerCapture(event.pointerId);
      set([...get(), [at(event)]]);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      const events = event.getCoalescedEvents?.() ?? [];
      const more = (events.length ? events : [event]).map(at);
      const strokes = get();
      set([...strokes.slice(0, -1), [...strokes[strokes.length - 1], ...more]]);
    });
    const release = () => (held = false);
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    const update = () => {
      const strokes = get();
      stn.paint(canvas, under());
      // A stroke of one point is a dot, which a line must have a length for.
      path.setAttribute(
        "d",
        strokes.map(([first, ...more]) => stn.path([first, first, ...more])).join(""),
      );
    };
    return { ...panel, update };
  };
})();
