// A recorded training on a slider: digits with the frames in which a transformer samples,
// what the frames of many digits follow, and the error, of three runs.

(() => {
  const stn = globalThis.stn;
  const PAUSE = 600; // milliseconds from one moment to the next
  const DEGREES = 180 / Math.PI;

  /**
   * What a frame has of each part of a digit's pose, from theta and the input's size.
   * The scale is the side of a square of the frame's area; the rotation is that of the
   * closest matrix that rotates and scales alone.
   */
  const PARTS = {
    location: { unit: "px", of: ([, , x], size) => (x * size) / 2 },
    scale: {
      unit: "px",
      of: ([a, b, , c, d], size) => size * Math.sqrt(Math.abs(a * d - b * c)),
    },
    rotation: {
      unit: "°",
      of: ([a, b, , c, d]) => DEGREES * Math.atan2(c - b, a + d),
    },
  };
  const AXES = {
    location: {
      view: [-11, 14, 11, -14],
      ticks: { xTicks: [-10, -5, 0, 5, 10], yTicks: [-10, 0, 10] },
      names: ["x of the digit (px)", "x of the frame (px)"],
    },
    scale: {
      view: [19, 48, 35, 8],
      ticks: { xTicks: [20, 25, 30], yTicks: [10, 20, 30, 40] },
      names: ["size of the digit (px)", "size of the frame (px)"],
    },
    rotation: {
      view: [-50, 60, 50, -60],
      ticks: { xTicks: [-45, 0, 45], yTicks: [-45, 0, 45] },
      names: ["rotation of the digit (°)", "rotation of the frame (°)"],
    },
  };

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  /** The line through points that is nearest to them, by the squares along y. */
  stn.lineThrough = (x, y) => {
    const [x0, y0] = [mean(x), mean(y)];
    let [over, under] = [0, 0];
    x.forEach((value, k) => {
      over += (value - x0) * (y[k] - y0);
      under += (value - x0) ** 2;
    });
    return { x0, y0, slope: over / under };
  };

  stn.figures.training_film = (root, model, data) => {
    const { size, digits, runs } = data;
    const last = runs[0].epochs.length - 1;
    const moment = () => model.get("moment");
    const run = () => runs.find(({ name }) => name === model.get("run"));
    const epoch = (k = moment()) => stn.number(run().epochs[k]).replace(/\.?0+$/, "");

    /** Theta of a digit, at the moment that is shown. */
    const theta = (k) =>
      run()
        .thetas[moment()].slice(6 * k, 6 * k + 6)
        .map((value) => value / 1000);

    const shown = data.pictures.map((bytes) => {
      const image = stn.unpack({ width: size, height: size, bytes });
      const digit = stn.framedDigit();
      digit.paint(image);
      return { ...digit, image };
    });
    const pictures = stn.element(
      "div",
      { class: "stn-film-digits" },
      ...shown.map(({ element }) => element),
    );

    const clouds = Object.fromEntries(
      Object.entries(AXES).map(([part, { view, ticks, names }]) => {
        const axes = stn.axes(view, { x: names[0], y: names[1], ...ticks, ratio: 1.6 });
        const ends = [view[0], view[2]];
        axes.path("stn-rule stn-film-equal", stn.path(ends.map((x) => [x, x])));
        const line = axes.path("stn-film-line");
        const dots = axes.path("stn-sample-dots");
        const below = view[1] + 0.06 * (view[3] - view[1]); // the upper edge
        const beyond = axes.text("", (view[0] + view[2]) / 2, below);
        return [part, { axes, ends, line, dots, names, beyond }];
      }),
    );
    const cloud = stn.element(
      "div",
      {},
      ...Object.values(clouds).map(({ axes }) => axes.element),
    );

    const errors = stn.axes([0, 100, 12.6, 0], {
      x: "epoch",
      y: "error on test digits (%)",
      xTicks: [0, 2, 4, 6, 8, 10, 12],
      yTicks: [0, 25, 50, 75],
      ratio: 1.6,
    });
    const curves = runs.map(({ epochs, errors: percent }) => {
      const points = epochs.map((x, k) => [x, percent[k]]);
      return errors.path("stn-rule", stn.path(points));
    });
    const nearest = (x) =>
      run().epochs.reduce(
        (best, at, k, all) => (Math.abs(at - x) < Math.abs(all[best] - x) ? k : best),
        0,
      );
    const marker = stn.handle(errors, "moment of the training", {
      get: () => [run().epochs[moment()], run().errors[moment()]],
      move: (x) => model.set({ moment: nearest(x) }),
      step: 1,
      style: "stn-third",
      say: (x, y) => `epoch ${epoch()}, error ${stn.number(y, 1)}%`,
    });

    /** How the frames of all digits go with a part of these. */
    const follow = (part) => {
      const of = PARTS[part].of;
      const found = digits[part].map((_, k) => of(theta(k), size));
      const line = stn.lineThrough(digits[part], found);
      // A frame may be larger than its digit by a factor that all share.
      const share = part === "scale" ? (line.slope * line.x0) / line.y0 : line.slope;
      return { ...line, found, share };
    };

    const draw = () => {
      shown.forEach(({ image, show }, k) => show(image, theta(k)));
      for (const [part, { axes, ends, line, dots, beyond }] of Object.entries(clouds)) {
        axes.element.hidden = part !== model.get("part");
        if (axes.element.hidden) continue;
        const { x0, y0, slope, found } = follow(part);
        const [, upper, , lower] = axes.view;
        const inside = digits[part]
          .map((x, k) => [x, found[k]])
          .filter(([, y]) => y < upper && y > lower);
        dots.setAttribute("d", stn.dots(inside));
        const missing = found.length - inside.length;
        beyond.textContent = missing ? `${missing} of ${found.length} are beyond` : "";
        const level = Math.abs(y0) < 1e3 && Math.abs(slope) < 1e3;
        const through = ends.map((x) => [x, y0 + slope * (x - x0)]);
        line.setAttribute("d", level ? stn.path(through) : "");
      }
      curves.forEach((curve, k) =>
        curve.setAttribute("class", runs[k] === run() ? "stn-film-run" : "stn-rule"),
      );
    };

    let waited = 0;
    const play = stn.play("Play", {
      step: (milliseconds) => {
        waited += milliseconds;
        if (moment() === last) {
          waited = 0;
          model.set({ moment: 0 });
        } else if (waited > PAUSE) {
          waited = 0;
          model.set({ moment: moment() + 1 });
        }
        return moment() < last;
      },
      finish: () => model.set({ moment: last }),
    });

    const slider = stn.slider("Training", {
      min: 0,
      max: last,
      step: 1,
      get: moment,
      set: (k) => model.set({ moment: k }),
      say: (k) => `epoch ${epoch(k)}`,
    });

    const caption = (words) => stn.element("p", { class: "stn-caption" }, words);
    const percent = (share) =>
      Math.abs(share) < 9.995 ? `${stn.number(100 * share, 0)}%` : "no sensible share";
    stn.compose(root, model, {
      body: [
        caption("twelve test digits with their frames; below, what is passed on"),
        pictures,
        stn.element("div", { class: "stn-controls" }, slider.element, play.element),
        stn.panels({ element: cloud }, errors),
      ],
      controls: [
        stn.choice(
          "Run",
          runs.map(({ name }) => [name, name]),
          { get: () => model.get("run"), set: (name) => model.set({ run: name }) },
        ),
        stn.choice(
          "Compare",
          Object.keys(PARTS).map((part) => [part, part]),
          { get: () => model.get("part"), set: (part) => model.set({ part }) },
        ),
      ],
      handles: [marker, slider, play],
      draw,
      code: () =>
        `films[Film("${model.get("run")}")]["film"][${moment()}]  ` +
        `# epoch ${epoch()}`,
      status: () => {
        const shares = Object.keys(PARTS).map((part) => [part, follow(part).share]);
        const said = shares.map(([part, share]) => `${part} ${percent(share)}`);
        const outside = digits.location.filter((_, k) => {
          const [, , x, , , y] = theta(k);
          return Math.abs(x) > 1 || Math.abs(y) > 1;
        }).length;
        const lost = outside
          ? ` ${outside} of ${digits.location.length} frames have their middle outside.`
          : "";
        return (
          `Epoch ${epoch()}: ${stn.number(run().errors[moment()], 1)}% of the test ` +
          `digits are misclassified. Of a difference between two digits, the frames ` +
          `follow: ${said.join(", ")}.${lost}`
        );
      },
    });
  };
})();
