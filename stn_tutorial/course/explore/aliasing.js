// Aliasing: a picture of rings is shrunk by sampling it. Rings that are too fine for the
// output come back as others, unless every output pixel is a mean over its patch.

(() => {
  const stn = globalThis.stn;
  const VIEW = [-1, -1, 1, 1];
  const MOST = 8; // samples a side, as in stn_tutorial.antialiasing

  /**
   * Shrink a square picture by sampling it at the base grid of a smaller one.
   * @param {{width: number, height: number, pixels: ArrayLike<number>}} image
   * @param {number} size pixels a side of the output
   * @param {boolean} antialias whether to take the mean of n×n samples in each patch,
   *   with n as many as it is pixels long
   */
  stn.shrink = (image, size, antialias) => {
    const step = image.width / size;
    const n = antialias ? Math.min(Math.max(Math.ceil(step - 1e-3), 1), MOST) : 1;
    const finer = /** @type {[number, number]} */ ([n * size, n * size]);
    const grid = stn.grid(stn.affine, stn.affine.identity, finer);
    const samples = stn.sample(image, grid, finer);
    const pixels = new Float64Array(size * size);
    samples.pixels.forEach((value, k) => {
      const [column, row] = [k % finer[1], Math.floor(k / finer[1])];
      pixels[Math.floor(row / n) * size + Math.floor(column / n)] += value / (n * n);
    });
    return { width: size, height: size, pixels, n };
  };

  stn.figures.aliasing = (root, model, data) => {
    const image = stn.unpack(data.image);

    /** How far along an axis two output pixels are still a ring and the gap beside it. */
    const limit = () => model.get("size") / (4 * data.rings);

    /** What is shown, and its standard deviation beyond the square. */
    let last = { key: "", shrunk: null, spread: 0, count: 0 };
    const result = () => {
      const { size, antialias } = model.all();
      const key = `${size} ${antialias}`;
      if (last.key === key) return last;
      const shrunk = stn.shrink(image, size, antialias);
      const beyond = shrunk.pixels.filter((_, k) => {
        const x = stn.toNormalized(k % size, size, false);
        const y = stn.toNormalized(Math.floor(k / size), size, false);
        return Math.max(Math.abs(x), Math.abs(y)) > limit();
      });
      const mean = beyond.reduce((sum, value) => sum + value, 0) / beyond.length;
      const squares = beyond.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      const count = beyond.length;
      last = { key, shrunk, count, spread: Math.sqrt(squares / count) };
      return last;
    };

    const input = stn.panel(VIEW, `input, ${image.width} \u00d7 ${image.height} pixels`);
    stn.paint(input.canvas(), image);
    const output = stn.panel(VIEW, "output");
    const out = output.canvas();
    out.classList.add("stn-out");
    [input, output].forEach((panel) => panel.element.classList.add("stn-small"));
    const outlines = [input, output].map((panel) => panel.path("stn-limit"));

    stn.compose(root, model, {
      body: [stn.panels(input, output)],
      controls: [
        stn.slider("output", {
          ...{ min: data.least, max: image.width, step: 1 },
          get: () => model.get("size"),
          set: (size) => model.set({ size }),
          say: (size) => `${size} \u00d7 ${size}`,
        }),
        stn.toggle("antialiasing", {
          get: () => model.get("antialias"),
          set: (antialias) => model.set({ antialias }),
        }),
      ],
      draw: () => {
        stn.paint(out, result().shrunk);
        const r = limit();
        const square = `M${-r} ${-r}H${r}V${r}H${-r}Z`;
        outlines.forEach((path) => path.setAttribute("d", square));
      },
      code: () => {
        const { size, antialias } = model.all();
        const option = antialias ? ", antialias=True" : "";
        return `sample(rings, base_grid((${size}, ${size}))${option})`;
      },
      status: () => {
        const { shrunk, spread, count } = result();
        const step = image.width / shrunk.width;
        const how =
          shrunk.n === 1
            ? `One sample every ${stn.number(step)} pixels`
            : `The mean of ${shrunk.n} \u00d7 ${shrunk.n} samples for every ` +
              `${stn.number(step)} pixels`;
        if (count === 0) return `${how}: the output carries all the rings.`;
        const share = stn.number((100 * count) / shrunk.pixels.length, 0);
        return (
          `${how}. Outside the square, on ${share} % of the output, the rings are too ` +
          `fine for it; there its standard deviation is ${stn.number(spread)}, ` +
          "where plain grey has 0."
        );
      },
    });
  };
})();
