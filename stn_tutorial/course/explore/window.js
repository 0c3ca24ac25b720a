// The window: a frame on the input is what the output shows. Its handles are the columns
// of theta, and its numbers move the frame.

(() => {
  const stn = globalThis.stn;
  const VIEW = [-1.5, -1.5, 1.5, 1.5]; // half an image's width around the image
  const OUT = [64, 64];
  const COLUMNS = ["stn-first", "stn-second", "stn-third"]; // a colour for each
  const TICKS = [-7, -5, -3, -1, 1, 3, 5, 7].map((k) => k / 8);

  stn.figures.window = (root, model, data) => {
    const image = stn.unpack(data.image);
    const theta = () => model.get("theta");

    /** Where theta takes a point of the output. */
    const through = (x, y) => stn.affine.at(theta(), x, y);
    const withNumber = (k, value) =>
      model.set({ theta: theta().map((old, i) => (i === k ? value : old)) });
    const withColumn = (k, [x, y]) =>
      model.set({
        theta: theta().map((old, i) => (i === k ? x : i === k + 3 ? y : old)),
      });
    const fromMiddle = (x, y) => [x - theta()[2], y - theta()[5]];

    const input = stn.panel(VIEW, "input, and the frame that is sampled");
    stn.paint(input.canvas(-1, -1, 1, 1), image);
    const frame = stn.frame(input);
    const dots = input.path("stn-sample-dots");
    const output = stn.panel([-1, -1, 1, 1], "output");
    output.element.classList.add("stn-small");
    const out = output.canvas();
    out.classList.add("stn-out");

    /** Rotate and scale the frame so that its corner comes to a point. */
    const moveCorner = (x, y) => {
      const [a, b, c, d, e, f] = theta();
      const [u, v] = fromMiddle(...through(1, 1));
      const [p, q] = fromMiddle(x, y);
      const length = u * u + v * v;
      if (length < 1e-4 || p * p + q * q < 1e-4) return;
      const cos = (u * p + v * q) / length;
      const sin = (u * q - v * p) / length;
      model.set({
        theta: [
          ...[cos * a - sin * d, cos * b - sin * e, c],
          ...[sin * a + cos * d, sin * b + cos * e, f],
        ],
      });
    };
    const handles = [
      stn.handle(input, "corner of the frame, rotates and scales it", {
        get: () => through(1, 1),
        move: moveCorner,
      }),
      stn.handle(input, "right edge of the frame, first column of theta", {
        get: () => through(1, 0),
        move: (x, y) => withColumn(0, fromMiddle(x, y)),
        style: COLUMNS[0],
      }),
      stn.handle(input, "lower edge of the frame, second column of theta", {
        get: () => through(0, 1),
        move: (x, y) => withColumn(1, fromMiddle(x, y)),
        style: COLUMNS[1],
      }),
      stn.handle(input, "middle of the frame, third column of theta", {
        get: () => [theta()[2], theta()[5]],
        move: (x, y) => withColumn(2, [x, y]),
        style: COLUMNS[2],
      }),
    ];
    const fields = [..."abcdef"].map((letter, k) =>
      stn.field(`theta, ${letter}`, {
        get: () => theta()[k],
        set: (value) => withNumber(k, value),
        style: COLUMNS[k % 3],
      }),
    );
    const numbers = stn.element("div", { class: "stn-numbers" });
    numbers.append(...fields.map((field) => field.element));

    const draw = () => {
      frame(theta());
      const points = TICKS.flatMap((y) => TICKS.map((x) => through(x, y)));
      dots.setAttribute("d", model.get("grid") ? stn.dots(points) : "");
      stn.paint(out, stn.sample(image, stn.grid(stn.affine, theta(), OUT), OUT));
    };

    stn.compose(root, model, {
      body: [
        stn.panels(input, output),
        stn.element(
          "p",
          { class: "stn-caption" },
          "theta, from output to input coordinates",
        ),
        numbers,
      ],
      controls: [
        stn.toggle("sampling grid", {
          get: () => model.get("grid"),
          set: (grid) => model.set({ grid }),
        }),
      ],
      handles: [...handles, ...fields],
      draw,
      code: () => {
        const [first, second] = [theta().slice(0, 3), theta().slice(3)].map((row) =>
          row.map((value) => stn.plain(value)).join(", "),
        );
        return `theta = torch.tensor([[${first}], [${second}]])`;
      },
      status: () => {
        const [a, b, , d, e] = theta();
        const area = Math.abs(a * e - b * d);
        if (area < 0.005) {
          return "The frame has no area: the output repeats what lies on one line.";
        }
        const side = a * e - b * d < 0 ? ", mirrored" : "";
        const does =
          area > 1.05 ? "shrinks" : area < 0.95 ? "enlarges" : "keeps the size of";
        return (
          `The frame covers ${stn.number(area)} of the image's area${side}: ` +
          `the output ${does} what is seen.`
        );
      },
      rest: { theta: [...stn.affine.identity] },
    });
  };
})();
