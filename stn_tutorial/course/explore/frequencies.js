// Frequencies: a wave is read a fraction of a pixel further on. What is left of it depends
// on its frequency, on the fraction and on the interpolation.

(() => {
  const stn = globalThis.stn;
  const NAMES = ["nearest", "bilinear", "bicubic"];
  const SHOWN = 16; // pixels of the wave
  const MEASURED = Array.from({ length: 16 }, (_, k) => (Math.PI * (k + 1)) / 16);
  const LONG = 32; // whole periods of each measured wave
  const LEAST = 0.1; // radians a pixel: a period of 63 pixels

  /** What is read of an endless wave of pixels at a pixel coordinate. */
  const read = (omega, x, interpolation) =>
    stn
      .weights(x, interpolation)
      .reduce((sum, [k, weight]) => sum + weight * Math.cos(omega * k), 0);

  /**
   * What becomes of a wave that is read a fraction of a pixel further on: the part of its
   * amplitude that is left, and how many pixels it goes too far.
   * @param {number} omega radians a pixel
   * @param {number} shift pixels
   * @param {string} interpolation
   */
  stn.response = (omega, shift, interpolation) => {
    let [real, imaginary] = [0, 0];
    for (const [k, weight] of stn.weights(shift, interpolation)) {
      real += weight * Math.cos(omega * k);
      imaginary += weight * Math.sin(omega * k);
    }
    const kept = Math.hypot(real, imaginary);
    return { kept, beside: Math.atan2(imaginary, real) / omega - shift };
  };

  /** The part of the amplitude that is left, by reading whole periods of a wave. */
  const measure = (omega, shift, interpolation) => {
    let [before, after] = [0, 0];
    for (let k = 0; k < LONG; k++) {
      before += Math.cos(omega * k) ** 2;
      after += read(omega, k + shift, interpolation) ** 2;
    }
    return Math.sqrt(after / before);
  };

  stn.figures.frequencies = (root, model) => {
    const get = (name) => model.get(name);

    const wave = stn.axes([-0.5, 2.3, SHOWN - 0.5, -1.15], {
      x: "x (pixels)",
      y: "value",
      xTicks: [0, 5, 10, 15],
      yTicks: [-1, 0, 1],
      ratio: 1.5,
    });
    const stripes = wave.canvas(-0.5, 2.25, SHOWN - 0.5, 1.85);
    const output = wave.canvas(-0.5, 1.7, SHOWN - 0.5, 1.3);
    output.classList.add("stn-out");
    wave.text("input", -0.5, 2.05, "stn-tick-y stn-index");
    wave.text("output", -0.5, 1.5, "stn-tick-y stn-index");
    const truth = wave.path("stn-rule");
    const pixels = wave.path("stn-input-dots");
    const missing = wave.path("stn-missing");
    const values = wave.path("stn-output-dots");

    const axes = stn.axes([0, 1.2, Math.PI + 1.1, 0], {
      x: "\u03c9 (radians a pixel)",
      y: "part of the amplitude left",
      xTicks: [0, 1, 2, 3],
      yTicks: [0, 0.5, 1],
      ratio: 1.5,
      ...{ digits: 1, xDigits: 0 },
    });
    const curves = NAMES.map(() => axes.path("stn-curve"));
    const letters = NAMES.map(() => axes.text("", 0, 0, "stn-at-end"));
    const dots = axes.path("stn-output-dots");
    const handle = stn.handle(axes, "frequency, radians a pixel", {
      get: () => [
        get("omega"),
        stn.response(get("omega"), get("shift"), get("interpolation")).kept,
      ],
      move: (omega) => {
        const rounded = Number(omega.toFixed(2));
        model.set({ omega: Math.min(Math.max(rounded, LEAST), Math.PI) });
      },
      style: "stn-third",
    });

    /** Half-way, the nearest pixel is the even one: no shift of the whole wave. */
    const tied = () => get("interpolation") === "nearest" && get("shift") === 0.5;

    const drawWave = () => {
      const [omega, shift, interpolation] = [
        ...[get("omega"), get("shift"), get("interpolation")],
      ];
      const places = Array.from({ length: SHOWN }, (_, k) => k);
      const before = places.map((k) => [k, Math.cos(omega * k)]);
      const after = places.map((k) => [k + shift, read(omega, k + shift, interpolation)]);
      const line = Array.from({ length: 8 * SHOWN + 1 }, (_, k) => {
        const x = k / 8 - 0.5;
        return [x, Math.cos(omega * x)];
      });
      truth.setAttribute("d", stn.path(line));
      pixels.setAttribute("d", stn.dots(before));
      const seen = after.filter(([x]) => x < SHOWN - 0.5);
      values.setAttribute("d", stn.dots(seen));
      missing.setAttribute(
        "d",
        seen
          .map(
            ([x, value]) => `M${x} ${value.toFixed(4)}V${Math.cos(omega * x).toFixed(4)}`,
          )
          .join(""),
      );
      const grey = (points) => points.map(([, value]) => 0.5 + value / 2);
      stn.paint(stripes, { width: SHOWN, height: 1, pixels: grey(before) });
      stn.paint(output, { width: SHOWN, height: 1, pixels: grey(after) });
    };

    const drawCurves = () => {
      const [shift, interpolation] = [get("shift"), get("interpolation")];
      const heights = NAMES.map((name, k) => {
        const points = Array.from({ length: 65 }, (_, n) => {
          const omega = ((n + 0.01) * Math.PI) / 64.01;
          return [omega, stn.response(omega, shift, name).kept];
        });
        curves[k].setAttribute("d", stn.path(points));
        curves[k].classList.toggle("stn-chosen", name === interpolation);
        return points.at(-1)[1];
      });
      const groups = stn.labels(NAMES, heights, 0.1);
      letters.forEach((text, k) => {
        text.hidden = k >= groups.length;
        if (text.hidden) return;
        text.textContent = groups[k].names.join("\n");
        axes.put(text, Math.PI + 0.1, groups[k].height);
      });
      const measured = tied()
        ? []
        : MEASURED.map((omega) => [omega, measure(omega, shift, interpolation)]);
      dots.setAttribute("d", stn.dots(measured));
    };

    stn.compose(root, model, {
      body: [stn.panels(wave, axes)],
      controls: [
        stn.choice(
          "interpolation",
          NAMES.map((name) => [name, name]),
          {
            get: () => get("interpolation"),
            set: (interpolation) => model.set({ interpolation }),
          },
        ),
        stn.slider("shift", {
          ...{ min: 0, max: 1, step: 0.05 },
          get: () => get("shift"),
          set: (shift) => model.set({ shift }),
          say: (shift) => `${stn.number(shift)} pixels`,
        }),
      ],
      handles: [handle],
      draw: () => {
        drawWave();
        drawCurves();
      },
      code: () => {
        const { omega, shift, interpolation } = model.all();
        const option =
          interpolation === "bilinear" ? "" : `, interpolation="${interpolation}"`;
        return (
          `sample(torch.cos(${stn.plain(omega, 4)} * torch.arange(${SHOWN})).expand(1, 1, ` +
          `${SHOWN}), base_grid((1, ${SHOWN})) + torch.tensor([${stn.plain(shift)} / ` +
          `${SHOWN / 2}, 0.0])${option})`
        );
      },
      status: () => {
        const { omega, shift, interpolation } = model.all();
        const period = (2 * Math.PI) / omega;
        const what =
          `Stripes with a period of ${stn.number(period, 1)} pixels, sampled by ` +
          `${interpolation} interpolation ${stn.number(shift)} pixels further on`;
        if (tied()) return `${what}: no pixel is nearest, and the even ones count.`;
        const { kept, beside } = stn.response(omega, shift, interpolation);
        if (kept < 5e-4) return `${what}: nothing of the amplitude is left.`;
        const where =
          Math.abs(beside) < 5e-3
            ? "at the right location"
            : `${stn.number(Math.abs(beside))} pixels ` +
              `${beside > 0 ? "beyond" : "behind"} the right location`;
        return `${what}: ${stn.number(kept, 3)} of the amplitude is left, ${where}.`;
      },
    });
  };
})();
