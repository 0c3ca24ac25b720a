// Off by one: four samplers that have a fault each, and the identity, which they should
// return unchanged, warp after warp.

(() => {
  const stn = globalThis.stn;
  const MOST = 50;
  const NAMES = [..."ABCD"];
  const FAULTS = {
    right: "right sampler",
    A: "A: clips, then weighs",
    B: "B: scales to W",
    C: "C: scales to W \u2212 2",
    D: "D: mixes conventions",
  };

  /** Both neighbours are clipped into the image before their weights are found. */
  const clipThenWeigh = (x, n) => {
    const clip = (k) => Math.min(Math.max(k, 0), n - 1);
    const [left, right] = [clip(Math.floor(x)), clip(Math.floor(x) + 1)];
    return [
      [left, right - x],
      [right, x - left],
    ];
  };
  const tents = (x, n) =>
    stn.weights(x, "bilinear").filter(([pixel]) => pixel >= 0 && pixel < n);

  /** Of each sampler: how far its locations reach, where they begin, and its weights. */
  const SAMPLERS = {
    A: (n) => [n - 1, 0, clipThenWeigh],
    B: (n) => [n, 0, clipThenWeigh],
    C: (n) => [n - 2, 0, clipThenWeigh],
    D: (n) => [n, -0.5, tents],
  };

  /** For each output pixel along an axis, the pixels it is read from, with weights. */
  const axis = (sampler, n) => {
    const [reach, start, weigh] = SAMPLERS[sampler](n);
    return Array.from({ length: n }, (_, j) => weigh((j * reach) / (n - 1) + start, n));
  };

  /** One warp by the identity. */
  const warp = ({ width, height, pixels }, across, down) => {
    const rows = new Float64Array(pixels.length);
    const out = new Float64Array(pixels.length);
    for (let j = 0; j < height; j++) {
      for (let i = 0; i < width; i++) {
        for (const [k, weight] of across[i])
          rows[j * width + i] += weight * pixels[j * width + k];
      }
    }
    for (let j = 0; j < height; j++) {
      for (const [k, weight] of down[j]) {
        for (let i = 0; i < width; i++)
          out[j * width + i] += weight * rows[k * width + i];
      }
    }
    return { width, height, pixels: out };
  };

  /**
   * An image and what a sampler makes of it by the identity, 0 to 50 times, with the
   * largest and the mean absolute error of each.
   * @param {string} sampler A, B, C or D
   * @param {{width: number, height: number, pixels: ArrayLike<number>}} image
   */
  stn.repeatedIdentity = (sampler, image) => {
    const [across, down] = [axis(sampler, image.width), axis(sampler, image.height)];
    const pictures = [image];
    while (pictures.length <= MOST) pictures.push(warp(pictures.at(-1), across, down));
    const errors = pictures.map(({ pixels }) => {
      let [largest, sum] = [0, 0];
      for (let k = 0; k < pixels.length; k++) {
        const error = Math.abs(pixels[k] - image.pixels[k]);
        largest = Math.max(largest, error);
        sum += error;
      }
      return { largest, mean: sum / pixels.length };
    });
    return { pictures, errors };
  };

  stn.figures.off_by_one = (root, model, data) => {
    const images = new Map(
      data.images.map(([name, packed]) => [name, stn.unpack(packed)]),
    );
    const made = new Map();

    /** What all samplers make of the input; computed once for each input. */
    const results = () => {
      const input = model.get("input");
      if (!made.has(input)) {
        const image = images.get(input);
        const all = NAMES.map((name) => [name, stn.repeatedIdentity(name, image)]);
        made.set(input, Object.fromEntries(all));
      }
      return made.get(input);
    };

    const tiles = Object.entries(FAULTS).map(([name, words]) => {
      const panel = stn.panel([0, 0, 1, 1], words);
      const numbers = stn.element("p", { class: "stn-two-lines" });
      panel.element.append(numbers);
      return { name, canvas: panel.canvas(), numbers, panel };
    });
    const row = stn.element("div", { class: "stn-tiles" });
    row.append(...tiles.map(({ panel }) => panel.element));

    const axes = stn.axes([0, 1.05, MOST + 11, 0], {
      x: "identity warps",
      y: "absolute error",
      xTicks: [0, 10, 20, 30, 40, 50],
      yTicks: [0, 0.5, 1],
      ratio: 2.2,
      ...{ digits: 1, xDigits: 0 },
    });
    const now = axes.path("stn-rule stn-now");
    const curves = NAMES.map((name) => axes.path(`stn-curve-${name}`));
    const letters = NAMES.map((name) => axes.text(name, 0, 0, "stn-at-end"));
    const dots = axes.path("stn-output-dots");
    let drawn = ""; // whose curves stand there

    const drawCurves = () => {
      const [input, measure] = [model.get("input"), model.get("measure")];
      if (drawn === `${measure} ${input}`) return;
      drawn = `${measure} ${input}`;
      const all = NAMES.map((name) => results()[name].errors.map((e) => e[measure]));
      const ends = stn.labels(
        NAMES,
        all.map((errors) => errors[MOST]),
        0.05,
      );
      NAMES.forEach((_, k) => {
        curves[k].setAttribute("d", stn.path(all[k].map((error, n) => [n, error])));
        letters[k].hidden = k >= ends.length;
        if (letters[k].hidden) return;
        letters[k].textContent = ends[k].names.join(", ");
        axes.put(letters[k], MOST + 0.8, ends[k].height);
      });
    };

    const draw = () => {
      const n = model.get("warps");
      const measure = model.get("measure");
      const image = images.get(model.get("input"));
      const error = model.get("picture_of") === "error";
      for (const { name, canvas, numbers, panel } of tiles) {
        const { pictures, errors } = results()[name] ?? {
          pictures: { [n]: image },
          errors: { [n]: { largest: 0, mean: 0 } },
        };
        const { width, height, pixels } = pictures[n];
        panel.box.style.aspectRatio = `${width} / ${height}`;
        const shown = error
          ? Array.from(pixels, (v, k) => 4 * (v - image.pixels[k]))
          : pixels;
        const colours = error ? stn.colours.signed : stn.colours.grey;
        stn.paint(canvas, { width, height, pixels: shown }, colours);
        numbers.textContent =
          `largest ${stn.number(errors[n].largest)}\n` +
          `mean ${stn.number(errors[n].mean)}`;
      }
      drawCurves();
      now.setAttribute("d", `M${n} 0V1.05`);
      dots.setAttribute(
        "d",
        stn.dots(NAMES.map((name) => [n, results()[name].errors[n][measure]])),
      );
    };

    const state = (name) => ({
      get: () => model.get(name),
      set: (value) => model.set({ [name]: value }),
    });
    const same = (values) => values.map((value) => [value, value]);

    stn.compose(root, model, {
      body: [row, axes.element],
      controls: [
        stn.choice("input", same([...images.keys()]), state("input")),
        stn.slider("warps", {
          ...{ min: 0, max: MOST, step: 1 },
          ...state("warps"),
          say: (n) => (n === 1 ? "1 warp" : `${n} warps`),
        }),
        stn.choice(
          "pictures",
          [
            ["output", "output"],
            ["error", "error \u00d7 4"],
          ],
          state("picture_of"),
        ),
        stn.choice("curves", same(["largest", "mean"]), state("measure")),
      ],
      draw,
      code: () => `for _ in range(${model.get("warps")}): image = sampler(image)`,
      status: () => {
        const [n, input] = [model.get("warps"), model.get("input")];
        if (n === 0) return `Input: ${input}, no warp yet: all samplers show the input.`;
        const errors = NAMES.map((name) => results()[name].errors[n]);
        const exact = NAMES.filter((_, k) => errors[k].largest < 1e-6);
        const list = (kind) =>
          NAMES.map((name, k) => `${name} ${stn.number(errors[k][kind])}`).join(", ");
        const pass =
          exact.length > 0
            ? `${exact.join(" and ")} returns the input, as a right sampler does.`
            : "Only the right sampler returns the input.";
        return (
          `Input: ${input}, after ${n === 1 ? "one identity warp" : `${n} identity warps`}. ` +
          `Largest error: ${list("largest")}. Mean error: ${list("mean")}. ${pass}`
        );
      },
    });
  };
})();
