// The ruler: a row of pixels, the normalized coordinates of both conventions, and what
// becomes of a row whose grid is made with one convention and sampled with the other.

(() => {
  const stn = globalThis.stn;
  const MOST = 12; // pixels
  const TIMES = 20;
  const END = 1.3; // the row reaches from -1 to 1, and the point a little further
  const FALSE_AXIS = 3.4;
  const TRUE_AXIS = 7.6;
  const MIDDLE = 5.2;

  stn.figures.ruler = (root, model, data) => {
    const n = () => model.get("n");
    const axis = (align) => (align ? TRUE_AXIS : FALSE_AXIS);
    /** Where a pixel coordinate is on the panels, which put the row's edges at ±1. */
    const place = (x) => stn.toNormalized(x, n(), false);
    const pixels = () => [...Array(n()).keys()];
    const name = (align) => stn.toNormalized(model.get("x"), n(), align);
    const moveTo = (x) => {
      const end = stn.toPixel(END, n(), false);
      const within = Math.min(Math.max(x, n() - 1 - end), end);
      model.set({ x: Math.round(1e4 * within) / 1e4 });
    };
    /** Where the sampler goes for the address of the point. */
    const readAt = () => stn.toPixel(name(model.get("made")), n(), model.get("sampled"));
    /** By what a resampling multiplies every distance from the middle. */
    const factor = () =>
      model.get("made") === model.get("sampled")
        ? 1
        : model.get("made")
          ? (n() - 1) / n()
          : n() / (n() - 1);
    /** How far the outermost pixels have moved, outward. */
    const moved = () => ((n() - 1) / 2) * (factor() ** model.get("times") - 1);

    const ruler = stn.panel([-END, 0, END, 11], "a row of pixels, and its two rulers");
    ruler.box.classList.add("stn-ruler-row");
    const cells = ruler.path("stn-ruler-cells");
    const centres = ruler.path("stn-ruler-centres");
    const marks = ruler.path("stn-rule stn-ruler-marks");
    const ends = ruler.path("stn-ruler-ends");
    const read = ruler.path("stn-frame");
    const readDot = ruler.path("stn-sample-dots");
    const point = ruler.path("stn-ruler-point");
    const pointDot = ruler.path("stn-ruler-point stn-ruler-dot");
    const titles = { false: "±1 are the edges", true: "±1 are the outermost centres" };
    const label = (words, y, style = "") => ({
      y,
      element: ruler.text(words, 0, y, `stn-ruler-label ${style}`),
    });
    const most = [...Array(MOST).keys()];
    const labels = [false, true].map((align) => {
      const away = align ? 1 : -1;
      const title = `align_corners=${align ? "True" : "False"}: ${titles[align]}`;
      ruler.text(title, 0, axis(align) + 2.8 * away);
      const side = align ? "below" : "above";
      return most.map((k) =>
        label("", axis(align) + away, k % 2 ? `stn-ruler-odd-${side}` : ""),
      );
    });
    ruler.text("\u22121", -1, FALSE_AXIS - 1, "stn-ruler-end stn-ruler-left");
    ruler.text("1", 1, FALSE_AXIS - 1, "stn-ruler-end stn-ruler-right");
    const numbers = most.map((k) => label(String(k), MIDDLE + 1.25));

    const film = stn.panel(
      [-END, -0.5, END, TIMES + 1.5],
      "the row, and what each resampling makes of it",
    );
    film.box.classList.add("stn-ruler-film");
    const rows = film.canvas(-1, 0, 1, TIMES + 1);
    const columns = film.path("stn-rule");
    const paths = film.path("stn-ruler-paths");
    const outermost = film.path("stn-ruler-outermost");
    const start = film.text("0", -1.15, 0.5, "stn-ruler-label");
    const last = film.text("", -1.15, 0, "stn-ruler-label");

    const handle = stn.handle(ruler, "point on the row", {
      get: () => [place(model.get("x")), MIDDLE],
      move: (x) => moveTo(Math.round(100 * stn.toPixel(x, n(), false)) / 100),
      step: () => 0.5 / n(), // a quarter of a pixel
      style: "stn-third",
      say: () => `pixel coordinate ${stn.number(model.get("x"))}`,
    });
    const inPixels = { get: () => model.get("x"), set: moveTo, step: 0.25 };
    const fields = [
      ["pixels", stn.field("pixel coordinate", inPixels)],
      ...[false, true].map((align) => {
        const words = `align_corners=${align ? "True" : "False"}`;
        const set = (value) => moveTo(stn.toPixel(value, n(), align));
        const state = { get: () => name(align), set, digits: 3 };
        return [words, stn.field(`normalized, ${words}`, state)];
      }),
    ];
    const point3 = stn.element("div", { class: "stn-numbers stn-ruler-numbers" });
    point3.append(
      ...fields.map(([words, { element }]) =>
        stn.element("label", {}, stn.element("span", {}, words), element),
      ),
    );
    const convention = (words, key) =>
      stn.choice(
        words,
        [
          [false, "False"],
          [true, "True"],
        ],
        { get: () => model.get(key), set: (value) => model.set({ [key]: value }) },
      );
    const controls = [
      stn.slider("pixels in the row", {
        ...{ min: 2, max: MOST, step: 1, get: n },
        set: (value) => {
          // The point stays where it is between the outermost centres.
          const x = stn.toPixel(name(true), value, true);
          model.set({ n: value, x: Math.round(1e4 * x) / 1e4 });
        },
      }),
      stn.slider("resamplings", {
        ...{ min: 0, max: TIMES, step: 1, get: () => model.get("times") },
        set: (times) => model.set({ times }),
      }),
      convention("grid made with align_corners", "made"),
      convention("sampled with align_corners", "sampled"),
    ];

    /** The row after every number of resamplings up to the one that is chosen. */
    const resampled = () => {
      const size = [1, n()];
      const grid = stn.grid(stn.affine, stn.affine.identity, size, model.get("made"));
      const reading = { alignCorners: model.get("sampled") };
      const [outer, inner] = data.row;
      let row = {
        ...{ width: n(), height: 1 },
        pixels: pixels().map((k) => (k === 0 || k === n() - 1 ? outer : inner)),
      };
      const all = [...row.pixels];
      for (let k = 0; k < model.get("times"); k++) {
        row = stn.sample(row, grid, size, reading);
        all.push(...row.pixels);
      }
      return { width: n(), height: model.get("times") + 1, pixels: all };
    };

    const drawRuler = () => {
      const [top, bottom] = [FALSE_AXIS + 0.6, TRUE_AXIS - 0.6];
      const edges = [...pixels(), n()].map((k) => place(k - 0.5));
      const lines = edges.map((x) => `M${x} ${top}V${bottom}`).join("");
      cells.setAttribute("d", `${lines}M-1 ${top}H1M-1 ${bottom}H1`);
      const middles = pixels().map(place);
      centres.setAttribute("d", stn.dots(middles.map((x) => [x, MIDDLE])));
      const tick = (x, y) => `M${x} ${y - 0.3}V${y + 0.3}`;
      const axes = [FALSE_AXIS, TRUE_AXIS];
      marks.setAttribute(
        "d",
        axes.map((y) => `M${-END} ${y}H${END}`).join("") +
          axes.flatMap((y) => middles.map((x) => tick(x, y))).join(""),
      );
      const corner = place(n() - 1);
      ends.setAttribute(
        "d",
        tick(-1, FALSE_AXIS) +
          tick(1, FALSE_AXIS) +
          tick(-corner, TRUE_AXIS) +
          tick(corner, TRUE_AXIS),
      );
      ruler.box.classList.toggle("stn-ruler-crowd", n() > 7);
      ruler.box.classList.toggle("stn-ruler-uneven", n() % 2 === 1);
      for (const row of [...labels, numbers]) {
        row.forEach(({ element, y }, k) => {
          element.hidden = k >= n();
          if (k < n()) ruler.put(element, middles[k], y);
        });
      }
      labels.forEach((those, align) => {
        for (const k of pixels()) {
          const value = stn.toNormalized(k, n(), align === 1);
          those[k].element.textContent = stn.number(value);
          const end = Math.abs(value) === 1;
          those[k].element.classList.toggle("stn-ruler-end", end);
        }
      });
      const across = (x) => `M${x} ${FALSE_AXIS}V${TRUE_AXIS}`;
      const [here, there] = [place(model.get("x")), place(readAt())];
      point.setAttribute("d", across(here));
      pointDot.setAttribute("d", stn.dots([[here, axis(model.get("made"))]]));
      read.setAttribute("d", across(there));
      readDot.setAttribute("d", stn.dots([[there, axis(model.get("sampled"))]]));
    };

    const drawFilm = () => {
      const times = model.get("times");
      stn.paint(rows, resampled());
      rows.style.height = `${(100 * (times + 1)) / (TIMES + 2)}%`;
      const lines = pixels().map((k) => `M${place(k)} -0.5V${TIMES + 1.5}`);
      columns.setAttribute("d", lines.join(""));
      /** Where the content of a pixel's centre is after each resampling. */
      const path = (k) => {
        const steps = [...Array(times + 1).keys()];
        const way = steps.map((step) => [place(k) * factor() ** step, step + 0.5]);
        return stn.path([[place(k), 0], ...way]);
      };
      paths.setAttribute("d", pixels().slice(1, -1).map(path).join(""));
      outermost.setAttribute("d", path(0) + path(n() - 1));
      start.hidden = times === 0;
      last.textContent = String(times);
      film.put(last, -1.15, times + 0.5);
    };

    stn.compose(root, model, {
      body: [
        ruler.element,
        stn.element(
          "p",
          { class: "stn-caption stn-ruler-caption" },
          "the point, in pixels and normalized",
        ),
        point3,
        film.element,
      ],
      controls,
      handles: [handle, ...fields.map(([, field]) => field)],
      draw: () => {
        drawRuler();
        drawFilm();
      },
      code: () => {
        const said = (key) => (model.get(key) ? "True" : "False");
        const size = `(1, ${n()})`;
        return (
          `for _ in range(${model.get("times")}): row = sample(row, base_grid(${size}, ` +
          `align_corners=${said("made")})[None], align_corners=${said("sampled")})`
        );
      },
      status: () => {
        const times = model.get("times");
        const after = `After ${times} resampling${times === 1 ? "" : "s"}`;
        if (factor() === 1) {
          return (
            "Made and sampled with one convention, every coordinate means the location " +
            `it was made for. ${after}, the row is what it was.`
          );
        }
        const [x, middle] = [model.get("x"), (n() - 1) / 2];
        const off = Math.abs(readAt() - middle) - Math.abs(x - middle);
        const side = off < 0 ? "too near the middle" : "too far out";
        const way = moved() < 0 ? "towards the middle" : "away from the middle";
        return (
          `The coordinate of pixel ${stn.number(x)} is sampled at pixel ` +
          `${stn.number(readAt())} (pink), ${stn.number(Math.abs(off))} pixels ${side}. ` +
          `${after}, the outermost pixels have moved by ` +
          `${stn.number(Math.abs(moved()))} pixels ${way}.`
        );
      },
    });
  };
})();
