// The order: a shift and a rotation, done to an image one after the other. One point of
// the output is taken back through both, and both products of their thetas are shown.

(() => {
  const stn = globalThis.stn;
  const SIZE = [64, 64];
  const AWAY = 2.5; // from the middle of one picture to that of the next
  const BESIDE = 1.2; // where a point is shown that lies outside of its picture

  /** The product of two affine matrices, of six numbers each. */
  const product = ([a, b, c, d, e, f], [g, h, i, j, k, l]) => [
    ...[a * g + b * j, a * h + b * k, a * i + b * l + c],
    ...[d * g + e * j, d * h + e * k, d * i + e * l + f],
  ];

  stn.figures.order = (root, model, data) => {
    const image = stn.unpack(data.image);
    const names = () =>
      model.get("first") === "shift" ? ["shift", "rotate"] : ["rotate", "shift"];
    const thetaOf = (name) => {
      if (name === "shift") return [1, 0, model.get("shift"), 0, 1, 0];
      const angle = (model.get("angle") * Math.PI) / 180;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      return [cos, -sin, 0, sin, cos, 0];
    };
    /** The one theta that does two warps: the one that is done first stands left. */
    const composed = (first, second) => product(thetaOf(first), thetaOf(second));
    const through = (theta, [x, y]) => stn.affine.at(theta, x, y);
    /** The point on the output, the intermediate picture and the input. */
    const trace = () => {
      const [first, second] = names().map(thetaOf);
      const between = through(second, model.get("point"));
      return [model.get("point"), between, through(first, between)];
    };
    const other = () => {
      const [first, second] = names();
      return through(composed(second, first), model.get("point"));
    };

    const panel = stn.panel([-1.1, -1.5, 2 * AWAY + 1.1, 1.12]);
    const captions = ["input", "intermediate", "output"];
    const canvases = captions.map((caption, k) => {
      panel.text(caption, k * AWAY, -1.26);
      return panel.canvas(k * AWAY - 1, -1, k * AWAY + 1, 1);
    });
    stn.paint(canvases[0], image);
    /** Where a point of a picture is on the panel; it is not shown far outside. */
    const plane = ([x, y], k) => {
      const [u, v] = [x, y].map((value) => Math.min(Math.max(value, -BESIDE), BESIDE));
      return [u + k * AWAY, v];
    };
    const arrows = panel.path("stn-frame");
    const otherDot = panel.path("stn-order-other");
    const dots = panel.path("stn-sample-dots");
    const moveTo = (x, y) => {
      const within = [x, y].map((value) => Math.min(Math.max(value, -1), 1));
      model.set({ point: within.map((value) => Math.round(100 * value) / 100) });
    };
    const handle = stn.handle(panel, "point on the output", {
      get: () => plane(model.get("point"), 2),
      move: (x, y) => moveTo(x - 2 * AWAY, y),
      style: "stn-third",
      say: () => {
        const [x, y] = model.get("point").map((value) => stn.number(value));
        return `x ${x}, y ${y}`;
      },
    });
    stn.aim(panel, (x, y) => {
      if (x > 2 * AWAY - 1) moveTo(x - 2 * AWAY, y);
    });

    /** A theta as a table of its six numbers. */
    const matrix = () => {
      const cells = [...Array(6)].map(() => stn.element("span"));
      const element = stn.element("div", { class: "stn-order-matrix" }, ...cells);
      /** Show a theta; what is different in another one is marked. */
      const update = (theta, marked = theta) =>
        cells.forEach((cell, k) => {
          cell.textContent = stn.number(theta[k]);
          const differs = Math.abs(theta[k] - marked[k]) > 5e-4;
          cell.classList.toggle("stn-order-differs", differs);
        });
      return { element, update };
    };
    const sliders = {
      shift: stn.slider("shift c", {
        ...{ min: -1, max: 1, step: 0.05, get: () => model.get("shift") },
        set: (shift) => model.set({ shift }),
        say: (value) => stn.number(value),
      }),
      rotate: stn.slider("angle", {
        ...{ min: -180, max: 180, step: 1, get: () => model.get("angle") },
        set: (angle) => model.set({ angle }),
        say: (value) => `${stn.number(value, 0)}°`,
      }),
    };
    const cards = {};
    for (const name of ["shift", "rotate"]) {
      const title = stn.element("p", { class: "stn-order-title" });
      const theta = matrix();
      const element = stn.element(
        "div",
        { class: "stn-order-card" },
        ...[title, theta.element, sliders[name].element],
      );
      cards[name] = { title, theta, element };
    }
    const row = stn.element(
      "div",
      { class: "stn-order-row" },
      ...names().map((name) => cards[name].element),
    );
    const products = [
      ["shift", "rotate"],
      ["rotate", "shift"],
    ].map(([first, second]) => {
      const theta = matrix();
      const element = stn.element(
        "div",
        { class: "stn-order-product" },
        stn.element("p", {}, `${first}, then ${second}: theta = ${first} · ${second}`),
        theta.element,
      );
      return { first, second, theta, element };
    });
    const both = stn.element(
      "div",
      { class: "stn-order-row" },
      ...products.map(({ element }) => element),
    );

    const draw = () => {
      const [first, second] = names();
      const seen = (theta) => stn.sample(image, stn.grid(stn.affine, theta, SIZE), SIZE);
      stn.paint(canvases[1], seen(thetaOf(first)));
      stn.paint(canvases[2], seen(composed(first, second)));
      const [p, q, r] = trace().map((point, k) => plane(point, 2 - k));
      arrows.setAttribute("d", stn.arrow(p, q, 0.16) + stn.arrow(q, r, 0.16));
      dots.setAttribute("d", stn.dots([q, r]));
      otherDot.setAttribute("d", stn.dots([plane(other(), 0)]));
      names().forEach((name, k) => {
        const { title, theta, element } = cards[name];
        title.textContent = `${k + 1}. ${name}`;
        theta.update(thetaOf(name));
        // What has the focus keeps it: the card without it changes its place.
        if (row.children[k] === element) return;
        const moves = element.contains(document.activeElement)
          ? cards[names()[1 - k]].element
          : element;
        if ((moves === element) === (k === 0)) row.prepend(moves);
        else row.append(moves);
      });
      const thetas = products.map((each) => composed(each.first, each.second));
      products.forEach(({ theta, element, first: own }, k) => {
        theta.update(thetas[k], thetas[1 - k]);
        element.classList.toggle("stn-order-chosen", own === first);
      });
    };

    const pair = (point) => `(${point.map((value) => stn.number(value)).join(", ")})`;
    const code = (name) =>
      `${name} = torch.tensor([${thetaOf(name)
        .map((value) => stn.plain(value, 4))
        .join(", ")}])`;
    stn.compose(root, model, {
      body: [panel.element, row, both],
      controls: [stn.button("Swap the cards", () => model.set({ first: names()[1] }))],
      handles: [handle, sliders.shift, sliders.rotate],
      draw,
      code: () => {
        const [first, second] = names();
        const call = `Affine().compose(first=${first}, second=${second})`;
        return [code("shift"), code("rotate"), `theta = ${call}`].join("\n");
      },
      status: () => {
        const [first, second] = names();
        const [p, q, r] = trace();
        const apart = Math.hypot(r[0] - other()[0], r[1] - other()[1]);
        const called = { shift: "the shift", rotate: "the rotation" };
        return (
          `From ${pair(p)} in the output, ${called[second]} leads to ${pair(q)} in the ` +
          `intermediate picture, and ${called[first]} to ${pair(r)} in the input. The ` +
          "other order samples " +
          (apart < 0.005 ? "the same location." : `${stn.number(apart)} beside it.`)
        );
      },
    });
  };
})();
